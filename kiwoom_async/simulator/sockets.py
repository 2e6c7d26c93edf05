"""How a connection breaks: what both servers do to one."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

GRACE: Final = 0.02
"""Seconds between the last byte and the RST: a reset takes away what the peer has not read yet. Our choice."""
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection with an RST."""
    if transport is None or transport.is_closing():
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
