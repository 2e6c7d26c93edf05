"""An asyncio client for the Kiwoom Securities REST API that cannot double an order."""

__version__ = "0.1.0"
