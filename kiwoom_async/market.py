"""The rules of the markets as data: kinds of symbols, tick sizes, sessions, the calendar, and what checks find.

```python
from kiwoom_async.market import SpecialDay, TradingCalendar

rules = MarketRules(trading_calendar=TradingCalendar(special_days={date(2027, 11, 18): SpecialDay.exam()}))
```
"""

from kiwoom_async._domain.market_rules import Rule, RuleFinding
from kiwoom_async._domain.sessions import SESSIONS, Bell, Place, Session, SessionName
from kiwoom_async._domain.ticks import TICK_TABLES, Rounding, SymbolKind, TickTable
from kiwoom_async._domain.trading_calendar import SpecialDay, TradingCalendar
from kiwoom_async._market import Market

__all__ = [
    "SESSIONS",
    "TICK_TABLES",
    "Bell",
    "Market",
    "Place",
    "Rounding",
    "Rule",
    "RuleFinding",
    "Session",
    "SessionName",
    "SpecialDay",
    "SymbolKind",
    "TickTable",
    "TradingCalendar",
]
