"""Rate budgets: who may start a request now, and when may the others?

Every budget counts requests within a sliding window, so a burst is free and the next request waits until the oldest has
left the window. A request draws on two budgets, that of its class and that of its TR, and starts when both allow it.

**When a request counts.** The broker counts a request at some moment between our decision to send it and its answer.
So it is counted at the end, when its answer was read, and until then at the present: whatever the way there does to it,
two requests that share a second at the broker share a window here. One that is never answered counts `HANGS_AFTER`
seconds after its start.

**Who is first.** Cancels go before everything else of their class. Within a rank the lanes take turns, a lane being one
TR of one process for one purpose: a flood of one query cannot starve another one, nor one process another, nor a bot's
own queries the library's looks for lost answers. Within a lane requests start in the order in which they asked. A
request that fits into a gap before others, without moving them, takes it.

All of it is one function, `look`, from a state, the present and one process's news to the next state. Whether the state
lives in memory or in a file that several processes share makes no difference here. `now` is any clock that never jumps
back and that all who share the state share, in seconds.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum, unique
from typing import Final, TypeAlias

from attrs import define, evolve, field, frozen

from kiwoom_async._domain.settings import Limits

MARGIN: Final = 0.05
"""Seconds added to each window. Source: the runner of a bot on the mock (1/s) measured that gaps of 1.05 s are
needed."""

HANGS_AFTER: Final = 3.0
"""Seconds after which an unanswered request counts as arrived, so that a few answers that never come do not stop the
cancels. Source: our choice, several times the latency that runners of bots report."""

FORGET_AFTER: Final = 3.0
"""A process that has not looked for so many seconds does not wait any more: it was killed, or stands still. Source: our
choice, several times the pause between two looks."""

LESSON_LASTS: Final = 60.0
"""Seconds for which a rate stays lowered after Kiwoom has refused. Source: our choice; nobody has measured for how long
a lower limit holds."""

LOWEST_RATE: Final = 0.2
"""Requests per second that halving stops at. Source: our choice: one in five seconds."""

UNSTATED_RATE: Final = 1.0
"""What a TR without a limit is lowered to when a refusal states none. Source: the mock's published limit."""


@unique
class RequestClass(StrEnum):
    """Kiwoom counts orders and queries separately (measured: a quote right after an order is not refused)."""

    ORDERS = "orders"
    QUERIES = "queries"


@unique
class Rank(IntEnum):
    """Who goes first within a class."""

    CANCEL = 0
    AGAIN = 1
    """What has waited its turn before: an order sent again, with a proof or a new token."""
    USUAL = 2


@unique
class Purpose(StrEnum):
    """Who wants to know: both ask the same TRs, and neither may keep the other from asking."""

    CALLER = "caller"
    LIBRARY = "library"


Lane: TypeAlias = tuple[str, str, Purpose]
"""What takes turns with others: one TR of one owner for one purpose."""


@frozen
class Waiter:
    """A request that waits for its start.

    Attributes:
        owner: Whose it is: one client of one process.
        number: Names it among the requests of its owner.
        api_id: The TR.
        asked: When it began to wait.
        latest: The last moment that is of use. None: any.
    """

    owner: str
    number: int
    api_id: str
    kind: RequestClass
    rank: Rank
    asked: float
    latest: float | None = None
    purpose: Purpose = Purpose.CALLER

    @property
    def lane(self) -> Lane:
        """Give its lane."""
        return self.owner, self.api_id, self.purpose

    def begin(self, now: float) -> Start:
        """Let it begin."""
        return Start(self.owner, self.number, self.api_id, self.kind, now, purpose=self.purpose)


@frozen
class Start:
    """A request that has begun.

    Attributes:
        ended: When its answer was read. None: not yet.
    """

    owner: str
    number: int
    api_id: str
    kind: RequestClass
    moment: float
    ended: float | None = None
    purpose: Purpose = Purpose.CALLER

    @property
    def lane(self) -> Lane:
        """Give the lane in which it waited."""
        return self.owner, self.api_id, self.purpose

    def counted_at(self, now: float) -> float:
        """Give the latest moment at which the broker may have counted it."""
        return min(now if self.ended is None else self.ended, self.moment + HANGS_AFTER)


@frozen
class Refusal:
    """Kiwoom's answer that there were too many requests.

    Attributes:
        scope: What is limited: a TR, or a whole class.
        stated: The limit that the answer states, per second. None: it states none.
    """

    scope: str
    stated: float | None = None


@frozen
class Lesson:
    """A rate that Kiwoom has taught.

    Attributes:
        scope: A TR, or a whole class.
        rate: Requests per second.
        since: When it was learnt; nothing of its scope starts within a window after that.
        until: When the usual rate holds again.
    """

    scope: str
    rate: float
    since: float
    until: float

    def within_reason(self, now: float) -> Lesson:
        """Give it as a refusal could have taught it: what was read from a file must not stop all requests."""
        # In this order, because `max` and `min` keep their first argument where the other one is not a number.
        return evolve(self, rate=max(LOWEST_RATE, self.rate), until=min(now + LESSON_LASTS, self.until))


@frozen
class Budgets:
    """Everything that is counted for one key.

    Attributes:
        starts: Requests that a window may still hold.
        waiting: Requests that wait.
        looked: When each owner looked last.
        lessons: Lowered rates.
    """

    starts: tuple[Start, ...] = ()
    waiting: tuple[Waiter, ...] = ()
    looked: Mapping[str, float] = field(factory=dict)
    lessons: tuple[Lesson, ...] = ()


@frozen
class News:
    """What one owner has to tell when it looks.

    Attributes:
        waiting: All its requests that wait.
        ended: Requests whose answer was read, with the moment.
        returned: Requests that have begun here and were not sent after all.
        refusals: Rate-limit answers.
    """

    owner: str
    waiting: tuple[Waiter, ...] = ()
    ended: Mapping[int, float] = field(factory=dict)
    returned: frozenset[int] = frozenset()
    refusals: tuple[Refusal, ...] = ()


@frozen
class Sight:
    """What one owner sees.

    Attributes:
        begun: Its requests that begin now.
        denied: Its requests whose moment comes too late; they do not wait any more.
        moments: When the others will begin, as far as can be told now.
        lessons: Lowered rates that hold now.
    """

    begun: frozenset[int] = frozenset()
    denied: frozenset[int] = frozenset()
    moments: Mapping[int, float] = field(factory=dict)
    lessons: tuple[Lesson, ...] = ()


@define
class _Window:
    """At most `count` requests in any stretch of `length` seconds; `moments` is sorted."""

    count: int
    length: float
    moments: list[float] = field(factory=list)

    @classmethod
    def per_second(cls, rate: float) -> _Window:
        """Make a window for a rate: whole requests over the seconds that belong to them."""
        count = max(1, int(rate))
        return cls(count, count / rate + MARGIN)

    def first_free(self, moment: float) -> float:
        """Give the first moment, not before the given one, at which one more request fits."""
        while (later := self._pushed_to(moment)) is not None:
            moment = later
        return moment

    def _pushed_to(self, moment: float) -> float | None:
        # One more request overfills a stretch if `count` neighbours lie within its length, however many of them come
        # before it and how many after it.
        at = bisect_right(self.moments, moment)
        for first in range(max(0, at - self.count), min(at, len(self.moments) - self.count) + 1):
            begin = self.moments[first]
            end = self.moments[first + self.count - 1]
            # A sum on both sides: the difference of two moments may be rounded to less than the length for ever.
            if max(moment, end) < min(moment, begin) + self.length:
                return begin + self.length
        return None


class _Windows:
    """The windows of one look, made when they are needed."""

    def __init__(self, now: float, limits: Limits, starts: Iterable[Start], lessons: Iterable[Lesson]) -> None:
        self._now = now
        self._limits = limits
        self._lessons = {lesson.scope: lesson for lesson in lessons}
        self._windows: dict[str, _Window | None] = {}
        self._counted: defaultdict[str, list[float]] = defaultdict(list)
        for start in starts:
            for scope in (start.kind.value, start.api_id):
                self._counted[scope].append(start.counted_at(now))

    def first_free(self, waiter: Waiter, moment: float) -> float:
        """Give the first moment at which all budgets of a request allow it."""
        scopes = (waiter.kind.value, waiter.api_id)
        windows = [window for scope in scopes if (window := self._window(scope)) is not None]
        moment = max(moment, *(self._rests_until(scope) for scope in scopes))
        while True:
            later = max((window.first_free(moment) for window in windows), default=moment)
            if later == moment:
                return moment
            moment = later

    def add(self, waiter: Waiter, moment: float) -> None:
        """Count a request."""
        for scope in (waiter.kind.value, waiter.api_id):
            window = self._window(scope)
            if window is not None:
                insort(window.moments, moment)

    def _rests_until(self, scope: str) -> float:
        lesson = self._lessons.get(scope)
        return self._now if lesson is None else lesson.since + 1.0 + MARGIN

    def _window(self, scope: str) -> _Window | None:
        if scope not in self._windows:
            rate = rate_of(scope, self._limits, self._lessons.get(scope))
            self._windows[scope] = None if rate is None else _Window.per_second(rate)
            if (window := self._windows[scope]) is not None:
                window.moments = sorted(self._counted[scope])
        return self._windows[scope]


def rate_of(scope: str, limits: Limits, lesson: Lesson | None) -> float | None:
    """Give the rate of a TR or a class; None where it has no limit."""
    usual = {
        RequestClass.ORDERS.value: limits.orders_per_second,
        RequestClass.QUERIES.value: limits.queries_per_second,
    }.get(scope, limits.per_tr_per_second)
    if lesson is None or usual is None:
        return usual if lesson is None else lesson.rate
    return min(usual, lesson.rate)


def look(budgets: Budgets, now: float, limits: Limits, news: News) -> tuple[Budgets, Sight]:
    """Take one owner's news into the state, and let begin what may.

    A request of another owner that may begin keeps its place: its owner lets it begin when it looks.

    Args:
        budgets: The state.
        now: The present.
        limits: The owner's rates; None in a field means that there is no such budget.
        news: What the owner has to tell.

    Returns:
        The next state, and what the owner sees.
    """
    lessons = _learn(budgets.lessons, now, limits, news.refusals)
    starts = _kept(budgets.starts, now, limits, lessons, news)
    looked = {owner: at for owner, at in budgets.looked.items() if now - FORGET_AFTER <= at <= now}
    looked[news.owner] = now
    others = [one for one in budgets.waiting if one.owner != news.owner and one.owner in looked]
    windows = _Windows(now, limits, starts, lessons)
    begun: list[Start] = []
    denied: set[int] = set()
    moments: dict[int, float] = {}
    earliest: dict[Lane, float] = {}
    for waiter in _in_turn([*others, *news.waiting], starts, now):
        moment = windows.first_free(waiter, earliest.get(waiter.lane, now))
        is_own = waiter.owner == news.owner
        if waiter.latest is not None and moment > waiter.latest:
            if is_own:
                denied.add(waiter.number)
            continue
        earliest[waiter.lane] = moment
        windows.add(waiter, moment)
        if is_own and moment <= now:
            begun.append(waiter.begin(now))
        elif is_own:
            moments[waiter.number] = moment
    waiting = (*others, *(one for one in news.waiting if one.number in moments))
    sight = Sight(frozenset(start.number for start in begun), frozenset(denied), moments, lessons)
    return Budgets((*starts, *begun), waiting, looked, lessons), sight


def follow(budgets: Budgets, now: float, limits: Limits, news: News, sight: Sight) -> Budgets:
    """Note what an owner did with budgets that are kept elsewhere, so that it can go on alone.

    Args:
        budgets: What it has noted so far.
        now: The present.
        limits: Its rates.
        news: What it told there.
        sight: What it saw there.
    """
    begun = [one.begin(now) for one in news.waiting if one.number in sight.begun]
    return Budgets((*_kept(budgets.starts, now, limits, sight.lessons, news), *begun), lessons=sight.lessons)


def _kept(
    starts: Iterable[Start], now: float, limits: Limits, lessons: tuple[Lesson, ...], news: News
) -> tuple[Start, ...]:
    rates = (limits.orders_per_second, limits.queries_per_second, limits.per_tr_per_second)
    slowest = min([rate for rate in rates if rate is not None] + [lesson.rate for lesson in lessons], default=1.0)
    # A second longer than the windows need: whose turn it was is read from it, too.
    longest = max(1.0, 1.0 / slowest) + 1.0 + MARGIN
    kept = []
    for start in starts:
        if start.owner == news.owner and start.number in news.returned:
            continue
        if start.owner == news.owner and start.number in news.ended:
            start = evolve(start, ended=news.ended[start.number])  # noqa: PLW2901 - the same request
        if start.moment <= now and start.counted_at(now) + longest > now:
            kept.append(start)
    return tuple(kept)


def _in_turn(waiting: Iterable[Waiter], starts: Iterable[Start], now: float) -> Iterable[Waiter]:
    """Give all who wait in the order in which they may choose their moments."""
    served: dict[Lane, float] = {}
    for start in starts:
        served[start.lane] = max(served.get(start.lane, start.moment), start.moment)
    ranks: defaultdict[Rank, defaultdict[Lane, deque[Waiter]]] = defaultdict(lambda: defaultdict(deque))
    for waiter in sorted(waiting, key=lambda one: (one.asked, one.number)):
        ranks[waiter.rank][waiter.lane].append(waiter)
    for rank in sorted(ranks):
        lanes = ranks[rank]
        # The lane that has begun something longest ago comes first; one that has just had its turn comes last.
        turns = [(served.get(lane, float("-inf")), 0, queue[0].asked, lane) for lane, queue in lanes.items()]
        heapq.heapify(turns)
        turn = 0
        while turns:
            lane = turns[0][-1]
            yield lanes[lane].popleft()
            if lanes[lane]:
                turn += 1
                heapq.heapreplace(turns, (now, turn, lanes[lane][0].asked, lane))
            else:
                heapq.heappop(turns)


def _learn(lessons: Iterable[Lesson], now: float, limits: Limits, refusals: Iterable[Refusal]) -> tuple[Lesson, ...]:
    """Lower what was refused: to the limit that the refusal states, or to half where it states none that is lower.

    Refusals within one window are one lesson: a burst that was too fast is refused many times at once.
    """
    known = {lesson.scope: lesson for lesson in lessons if lesson.since <= now < lesson.until}
    for refusal in refusals:
        old = known.get(refusal.scope)
        rate = rate_of(refusal.scope, limits, old)
        if old is not None and now < old.since + 1.0 + MARGIN:
            lowered = old.rate
        elif rate is None:
            lowered = refusal.stated or UNSTATED_RATE
        elif refusal.stated is not None and refusal.stated < rate:
            lowered = refusal.stated
        else:
            lowered = max(rate / 2, min(rate, LOWEST_RATE))
        known[refusal.scope] = Lesson(refusal.scope, lowered, now, now + LESSON_LASTS)
    return tuple(known.values())
