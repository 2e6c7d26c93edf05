"""A local broker that speaks Kiwoom's REST API and its websocket: to test and try bots, and to prove the client.

Its purpose is to be wrong in every way the real broker has been seen to be wrong, on demand and from a seed,
while its own book (`broker.orders`) tells the truth that a client must find out.

Its law: it shares nothing with the client but the words of an order. It may import the value types of
`_domain` and the one source of time; it writes and reads its own JSON, so that it cannot repeat a mistake of
the client's wire.

Read `exchange.py` (pure: books, numbers, fills), then `faults.py`, then `service.py`, which joins them;
`server.py` and `transport.py` only deliver what the service replies. The real-time feed is built alike: `frames.py`
says what a change of an order looks like on the wire, `feed_faults.py` what goes wrong, `feed.py` and
`feed_pusher.py` join them, and `feed_server.py` only delivers.

```python
async with Simulator(seed=1, faults=[Fault(FaultKind.DROP_AFTER_ACCEPTANCE)]) as broker:
    async with KiwoomClient(credentials, environment=broker.environment, journal=path) as client:
        order = await client.stock.buy("005930", 10, price=70_000)
    assert len(broker.orders) == 1
```
"""

from __future__ import annotations

from kiwoom_async.simulator.broker import Simulator
from kiwoom_async.simulator.exchange import LimitFill, Liquidity
from kiwoom_async.simulator.faults import ORDER_FAULTS, QUERY_FAULTS, Fault, FaultKind, FaultPlan
from kiwoom_async.simulator.feed import FeedHabits
from kiwoom_async.simulator.feed_faults import FeedFault, FeedFaultKind, FeedFaultPlan
from kiwoom_async.simulator.frames import Reporting, SymbolForm
from kiwoom_async.simulator.gate import RateLimitStyle, TokenPolicy
from kiwoom_async.simulator.orders import BookOrder, Channel, Fill, Flavour, ReceivedRequest
from kiwoom_async.simulator.queries import EmptyList
from kiwoom_async.simulator.rejections import Funds, Hours

__all__ = [
    "ORDER_FAULTS",
    "QUERY_FAULTS",
    "BookOrder",
    "Channel",
    "EmptyList",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "FeedFault",
    "FeedFaultKind",
    "FeedFaultPlan",
    "FeedHabits",
    "Fill",
    "Flavour",
    "Funds",
    "Hours",
    "LimitFill",
    "Liquidity",
    "RateLimitStyle",
    "ReceivedRequest",
    "Reporting",
    "Simulator",
    "SymbolForm",
    "TokenPolicy",
]
