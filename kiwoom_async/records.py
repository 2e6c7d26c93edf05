"""The records that `client.account` gives: frozen, with exact numbers, every field beside Kiwoom's own name for it.

They are here to be named in annotations; only the client makes them.

```python
from kiwoom_async.records import Balance, Holding
```
"""

from kiwoom_async._domain.account import (
    AccountNumber,
    Balance,
    BalanceTotals,
    Deposit,
    FilledBalance,
    FilledPosition,
    FilledTotals,
    GoldBalance,
    GoldDeposit,
    GoldHolding,
    GoldTotals,
    Holding,
    RateAmount,
)
from kiwoom_async._domain.buying_power import BuyingPower, CreditBuyingPower, OrderFunds, RateCapacity
from kiwoom_async._domain.executions import ExecutedOrder
from kiwoom_async._domain.quotes import OrderBook, PriceLevel, Quote
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder

__all__ = [
    "AccountNumber",
    "Balance",
    "BalanceTotals",
    "BuyingPower",
    "CreditBuyingPower",
    "Deposit",
    "ExecutedOrder",
    "FilledBalance",
    "FilledPosition",
    "FilledTotals",
    "GoldBalance",
    "GoldDeposit",
    "GoldHolding",
    "GoldTotals",
    "Holding",
    "LedgerOrder",
    "OpenOrder",
    "OrderBook",
    "OrderFunds",
    "PriceLevel",
    "Quote",
    "RateAmount",
    "RateCapacity",
]
