"""An asyncio client for the Kiwoom Securities REST API that cannot double an order.

The public names are these, and the records of `client.account` in `kiwoom_async.records`; everything under a name with
an underscore is private.
"""

from kiwoom_async._client import KiwoomClient
from kiwoom_async._credentials import (
    load_credentials_from_environment,
    load_credentials_from_file,
    load_credentials_from_keyring,
)
from kiwoom_async._domain.absence import AbsenceProof
from kiwoom_async._domain.cancellations import CancelOutcome, CancelReport, CancelResult
from kiwoom_async._domain.day_close import DayClose
from kiwoom_async._domain.events import OrderEvent, OrderEventKind
from kiwoom_async._domain.feed_status import FeedState, FeedStatus
from kiwoom_async._domain.guards import KillSwitchState, OrderLimits
from kiwoom_async._domain.health import Assumption, AssumptionHealth, Health, HealthState, JournalFacts
from kiwoom_async._domain.limit_status import LimitStatus
from kiwoom_async._domain.market_rules import MarketRules, RuleFinding, Strictness
from kiwoom_async._domain.orders import Order
from kiwoom_async._domain.reconciliation import ForeignOrder, ReconciliationReport, UnresolvedOrder
from kiwoom_async._domain.settings import Credentials, Environment, Limits, Timing
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.ticks import SymbolKind, round_to_tick
from kiwoom_async._domain.vocabulary import Action, CreditKind, Desk, OrderStatus, OrderType, ResolvedBy, Route, Side
from kiwoom_async._execution.dispatcher import TwinPolicy
from kiwoom_async._version import __version__
from kiwoom_async.errors import (
    AuthenticationError,
    ClientOrderIdConflict,
    ConfigurationError,
    InvalidRequest,
    JournalError,
    KiwoomError,
    LimitExceeded,
    NotSent,
    OrderNotAccepted,
    OrderRefused,
    OutcomeUnknown,
    QueryFailed,
    RateLimited,
    StreamError,
    ValidationError,
)

__all__ = [
    "AbsenceProof",
    "Action",
    "Assumption",
    "AssumptionHealth",
    "AuthenticationError",
    "CancelOutcome",
    "CancelReport",
    "CancelResult",
    "ClientOrderIdConflict",
    "ConfigurationError",
    "Credentials",
    "CreditKind",
    "DayClose",
    "Delivery",
    "Desk",
    "Environment",
    "FeedState",
    "FeedStatus",
    "ForeignOrder",
    "Health",
    "HealthState",
    "InvalidRequest",
    "JournalError",
    "JournalFacts",
    "KillSwitchState",
    "KiwoomClient",
    "KiwoomError",
    "LimitExceeded",
    "LimitStatus",
    "Limits",
    "MarketRules",
    "NotSent",
    "Order",
    "OrderEvent",
    "OrderEventKind",
    "OrderLimits",
    "OrderNotAccepted",
    "OrderRefused",
    "OrderStatus",
    "OrderType",
    "OutcomeUnknown",
    "QueryFailed",
    "RateLimited",
    "ReconciliationReport",
    "ResolvedBy",
    "Route",
    "RuleFinding",
    "Side",
    "StreamError",
    "Strictness",
    "SymbolKind",
    "Timing",
    "TwinPolicy",
    "UnresolvedOrder",
    "ValidationError",
    "__version__",
    "load_credentials_from_environment",
    "load_credentials_from_file",
    "load_credentials_from_keyring",
    "round_to_tick",
]
