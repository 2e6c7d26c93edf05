"""What can go wrong between a client and the broker, and the plans that make it happen.

A fault is chosen when a request arrives. A script hits the next matching requests in order. Rates hit at
random, but the chance of an order request depends on nothing but the seed, its `Idempotency-Key` and how
often that key was seen: two clients that send the same keys meet the same faults.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum, auto, unique
from typing import Final

from attrs import define, evolve, field, frozen

from kiwoom_async.simulator.catalog import ORDER_API_IDS, QUERY_API_IDS, Purpose
from kiwoom_async.simulator.chance import drawn


@unique
class FaultKind(StrEnum):
    """What happens to a request. "Accepted" means: the order is on the book."""

    DROP_BEFORE_ACCEPTANCE = "drop_before_acceptance"
    DROP_AFTER_ACCEPTANCE = "drop_after_acceptance"
    RESET_AFTER_BYTES = "reset_after_bytes"
    DELAY_ANSWER = "delay_answer"
    ACCEPT_LATE = "accept_late"
    HANG = "hang"
    RATE_LIMITED = "rate_limited"
    RATE_LIMITED_GHOST = "rate_limited_ghost"
    SERVER_ERROR = "server_error"
    HTML_OK = "html_ok"
    TRUNCATED_JSON = "truncated_json"
    NO_ORDER_NUMBER = "no_order_number"
    UNEXPECTED_ERROR = "unexpected_error"
    TOKEN_DIES = "token_dies"  # noqa: S105 - a name
    REDIRECT = "redirect"
    WRONG_API_ID = "wrong_api_id"
    REFUSE_CONNECTION = "refuse_connection"
    ORDER_REFUSED = "order_refused"
    QUERY_ERROR = "query_error"
    QUERY_SERVER_ERROR = "query_server_error"
    QUERY_DROP = "query_drop"
    PAGE_REPEATS = "page_repeats"
    PAGE_SHIFTS = "page_shifts"
    PAGE_FAILS = "page_fails"
    CONT_WITHOUT_KEY = "cont_without_key"
    STALE_LEDGER = "stale_ledger"


class Page(Enum):
    """Which pages of a list a fault can hit."""

    ANY = auto()
    LATER = auto()
    NAMED = auto()


@frozen
class _KindRule:
    """What a kind means where a fault leaves it open.

    Attributes:
        accepted: What `Fault.accepted=None` means in a script.
        is_settled: Whether the kind itself says if the order is accepted; `Fault.accepted` then changes
            nothing.
    """

    purpose: Purpose = Purpose.ORDER
    accepted: bool = True
    is_settled: bool = True
    page: Page = Page.ANY
    seconds: float = 0.2
    status: int = 200


_OPEN: Final = False
KIND_RULES: Final[Mapping[FaultKind, _KindRule]] = {
    FaultKind.DROP_BEFORE_ACCEPTANCE: _KindRule(accepted=False),
    FaultKind.DROP_AFTER_ACCEPTANCE: _KindRule(),
    FaultKind.RESET_AFTER_BYTES: _KindRule(),
    FaultKind.DELAY_ANSWER: _KindRule(),
    FaultKind.ACCEPT_LATE: _KindRule(),
    FaultKind.HANG: _KindRule(is_settled=_OPEN),
    FaultKind.RATE_LIMITED: _KindRule(accepted=False, status=429),
    FaultKind.RATE_LIMITED_GHOST: _KindRule(status=429),
    FaultKind.SERVER_ERROR: _KindRule(accepted=False, is_settled=_OPEN, status=502),
    FaultKind.HTML_OK: _KindRule(accepted=False, is_settled=_OPEN),
    FaultKind.TRUNCATED_JSON: _KindRule(),
    FaultKind.NO_ORDER_NUMBER: _KindRule(is_settled=_OPEN),
    FaultKind.UNEXPECTED_ERROR: _KindRule(accepted=False, is_settled=_OPEN),
    FaultKind.TOKEN_DIES: _KindRule(accepted=False),
    FaultKind.REDIRECT: _KindRule(accepted=False, status=307),
    FaultKind.WRONG_API_ID: _KindRule(),
    FaultKind.REFUSE_CONNECTION: _KindRule(accepted=False),
    FaultKind.ORDER_REFUSED: _KindRule(accepted=False),
    FaultKind.QUERY_ERROR: _KindRule(Purpose.QUERY, accepted=False),
    FaultKind.QUERY_SERVER_ERROR: _KindRule(Purpose.QUERY, accepted=False, status=502),
    FaultKind.QUERY_DROP: _KindRule(Purpose.QUERY, accepted=False),
    FaultKind.PAGE_REPEATS: _KindRule(Purpose.QUERY, page=Page.LATER),
    FaultKind.PAGE_SHIFTS: _KindRule(Purpose.QUERY, page=Page.LATER),
    FaultKind.PAGE_FAILS: _KindRule(Purpose.QUERY, accepted=False, page=Page.NAMED),
    FaultKind.CONT_WITHOUT_KEY: _KindRule(Purpose.QUERY),
    FaultKind.STALE_LEDGER: _KindRule(Purpose.QUERY, seconds=2.0),
}

ORDER_FAULTS: Final = tuple(kind for kind, rule in KIND_RULES.items() if rule.purpose is Purpose.ORDER)
QUERY_FAULTS: Final = tuple(kind for kind, rule in KIND_RULES.items() if rule.purpose is Purpose.QUERY)
_API_IDS: Final = {Purpose.ORDER: ORDER_API_IDS, Purpose.QUERY: QUERY_API_IDS}


def _names(api_ids: Iterable[str] | str | None) -> frozenset[str] | None:
    if api_ids is None:
        return None
    return frozenset({api_ids} if isinstance(api_ids, str) else api_ids)


@frozen
class Fault:
    """One fault.

    Attributes:
        kind: What happens.
        accepted: Whether the order is on the book all the same; None: what is usual for the kind. Kinds whose
            name says it ignore this.
        seconds: DELAY_ANSWER, ACCEPT_LATE, REFUSE_CONNECTION: how long. STALE_LEDGER: how old the view is.
            HANG: the connection closes after this long; None: never.
        after_bytes: RESET_AFTER_BYTES: how much of the answer arrives; None: half of it.
        status: The HTTP status, where the kind has several.
        api_ids: Which TRs; None: all orders or all queries, as the kind says.
        times: How many requests it hits.
        code: ORDER_REFUSED, QUERY_ERROR, PAGE_FAILS: the code of the order host.
        page: PAGE_FAILS: which page, counted from 1.
    """

    kind: FaultKind
    accepted: bool | None = None
    seconds: float | None = None
    after_bytes: int | None = None
    status: int | None = None
    api_ids: frozenset[str] | None = field(default=None, converter=_names)
    times: int = 1
    code: str | None = None
    page: int = 2

    @property
    def rule(self) -> _KindRule:
        """What the kind says."""
        return KIND_RULES[self.kind]

    @property
    def is_accepted(self) -> bool:
        """Whether the request is carried out."""
        if self.rule.is_settled or self.accepted is None:
            return self.rule.accepted
        return self.accepted

    @property
    def duration(self) -> float:
        """The seconds, with the usual value of the kind."""
        return self.rule.seconds if self.seconds is None else self.seconds

    @property
    def http_status(self) -> int:
        """The status, with the usual value of the kind."""
        return self.status or self.rule.status

    def hits(self, api_id: str, page: int) -> bool:
        """Whether a request is one the fault can hit."""
        wanted = self.rule.page
        if (wanted is Page.LATER and page == 1) or (wanted is Page.NAMED and page != self.page):
            return False
        return api_id in (_API_IDS[self.rule.purpose] if self.api_ids is None else self.api_ids)


def _in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


_SERVER_ERRORS: Final = (500, 502, 503, 504)
_RATE_STATUSES: Final = (429, 200)
_LONGEST_PREFIX: Final = 400
_SHORTEST: Final = 0.02

_ORDER_WEIGHTS: Final[Mapping[FaultKind, float]] = {
    FaultKind.DROP_BEFORE_ACCEPTANCE: 3,
    FaultKind.DROP_AFTER_ACCEPTANCE: 3,
    FaultKind.RESET_AFTER_BYTES: 3,
    FaultKind.DELAY_ANSWER: 2,
    FaultKind.ACCEPT_LATE: 2,
    FaultKind.HANG: 1,
    FaultKind.RATE_LIMITED: 1,
    FaultKind.RATE_LIMITED_GHOST: 2,
    FaultKind.SERVER_ERROR: 2,
    FaultKind.HTML_OK: 1,
    FaultKind.TRUNCATED_JSON: 2,
    FaultKind.NO_ORDER_NUMBER: 1,
    FaultKind.UNEXPECTED_ERROR: 1,
    FaultKind.TOKEN_DIES: 1,
    FaultKind.REDIRECT: 1,
    FaultKind.WRONG_API_ID: 1,
    FaultKind.REFUSE_CONNECTION: 1,
}


@frozen
class FaultPlan:
    """What will go wrong.

    Attributes:
        script: Hit the next matching requests, in order.
        rates: Probability of each kind, for every order or every query.
        seed: Of the rates.
        longest: Upper bound of the seconds that the rates draw.
        templates: Fixed values for faults that the rates draw, by kind; what they leave open is drawn.
    """

    script: tuple[Fault, ...] = field(default=(), converter=_in_order)
    rates: Mapping[FaultKind, float] = field(factory=dict)
    seed: int = 0
    longest: float = 0.4
    templates: Mapping[FaultKind, Fault] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for kinds in (ORDER_FAULTS, QUERY_FAULTS):
            if sum(self.rates.get(kind, 0.0) for kind in kinds) > 1.0 + 1e-9:
                raise ValueError(
                    "The rates of the order faults, and those of the query faults, must not exceed 1 in sum."
                )

    @classmethod
    def of(cls, faults: FaultPlan | Iterable[Fault] | None) -> FaultPlan:
        """Make a plan of what a user gave."""
        if isinstance(faults, FaultPlan):
            return faults
        return cls(script=tuple(faults or ()))

    @classmethod
    def hostile(
        cls,
        seed: int,
        intensity: float = 0.3,
        *,
        query_intensity: float | None = None,
        longest: float = 0.4,
        without: Iterable[FaultKind] = (),
    ) -> FaultPlan:
        """Make a plan of everything at once.

        Args:
            seed: Of the chance.
            intensity: Share of the orders that are hit.
            query_intensity: Share of the queries that are hit; None: half of `intensity`.
            longest: Upper bound of every delay, in seconds.
            without: Kinds to leave out.
        """
        left_out = frozenset(without)
        orders = {kind: weight for kind, weight in _ORDER_WEIGHTS.items() if kind not in left_out}
        queries = [kind for kind in QUERY_FAULTS if kind not in left_out]
        per_query = (intensity / 2 if query_intensity is None else query_intensity) / max(len(queries), 1)
        total = sum(orders.values()) or 1.0
        rates = {kind: intensity * weight / total for kind, weight in orders.items()}
        return cls(rates=rates | dict.fromkeys(queries, per_query), seed=seed, longest=longest)


@define
class FaultDirector:
    """Carries a plan out: which fault hits the request that has just arrived."""

    plan: FaultPlan
    injected: Counter[FaultKind] = field(factory=Counter)
    _left: list[tuple[Fault, int]] = field(factory=list)
    _seen: Counter[str] = field(factory=Counter)
    _count: Counter[Purpose] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.follow(self.plan)

    def follow(self, plan: FaultPlan) -> None:
        """Replace the plan; what was counted stays."""
        self.plan = plan
        self._left = [(fault, fault.times) for fault in plan.script if fault.times > 0]

    def choose(self, api_id: str, purpose: Purpose, key: str | None, page: int) -> Fault | None:
        """Decide about a request.

        Args:
            api_id: The TR.
            purpose: What it is for.
            key: Its `Idempotency-Key`, if it has one.
            page: Which page of a list it asks for.
        """
        self._count[purpose] += 1
        label = f"#{self._count[purpose]}"
        if key is not None and purpose is Purpose.ORDER:
            self._seen[key] += 1
            label = f"{key}#{self._seen[key]}"
        fault = self._scripted(api_id, page) or self._by_chance(api_id, purpose, label, page)
        if fault is not None:
            self.injected[fault.kind] += 1
        return fault

    def _scripted(self, api_id: str, page: int) -> Fault | None:
        for index, (fault, left) in enumerate(self._left):
            if fault.hits(api_id, page):
                if left > 1:
                    self._left[index] = (fault, left - 1)
                else:
                    del self._left[index]
                return fault
        return None

    def _by_chance(self, api_id: str, purpose: Purpose, label: str, page: int) -> Fault | None:
        if not self.plan.rates:
            return None
        kinds = {Purpose.ORDER: ORDER_FAULTS, Purpose.QUERY: QUERY_FAULTS}.get(purpose, ())
        share = drawn(self.plan.seed, purpose.name, label)
        for kind in kinds:
            share -= self.plan.rates.get(kind, 0.0)
            if share < 0:
                fault = self._completed(self.plan.templates.get(kind, Fault(kind)), label)
                return fault if fault.hits(api_id, page) else None
        return None

    def _completed(self, fault: Fault, label: str) -> Fault:
        """Draw what a fault by chance leaves open."""

        def draw(what: str) -> float:
            return drawn(self.plan.seed, label, what)

        statuses = {
            FaultKind.SERVER_ERROR: _SERVER_ERRORS,
            FaultKind.QUERY_SERVER_ERROR: _SERVER_ERRORS,
            FaultKind.RATE_LIMITED: _RATE_STATUSES,
            FaultKind.RATE_LIMITED_GHOST: _RATE_STATUSES,
        }.get(fault.kind, (fault.http_status,))
        span = max(self.plan.longest - _SHORTEST, 0.0)
        return evolve(
            fault,
            accepted=draw("accepted") < 0.5 if fault.accepted is None else fault.accepted,
            seconds=_SHORTEST + draw("seconds") * span if fault.seconds is None else fault.seconds,
            after_bytes=int(draw("bytes") * _LONGEST_PREFIX) if fault.after_bytes is None else fault.after_bytes,
            status=fault.status or statuses[int(draw("status") * len(statuses))],
        )
