"""Which unclaimed rows of the ledger are which unresolved attempts, as far as the evidence forces it.

A possible world gives each row to at most one attempt related to it; every other row is a stranger's, and
every other attempt was not accepted, or is accepted and hidden where that is still possible. On an exclusive
account every row that is likely ours is some attempt's. **A fact is reported only if it is true in every
possible world, up to renaming interchangeable attempts**: same request, same rows, same obligation. Nothing
is ever guessed.

The worlds are not enumerated: a fact fails in some world exactly when a matching with the opposite edge still
covers all rows that must be covered, and that is a question of reachability.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum, unique

from attrs import define, field, frozen

from kiwoom_async._domain.relations import (
    HOME_TRADING_CHANNELS,
    ChannelKnowledge,
    Claimant,
    Relation,
    relation,
)
from kiwoom_async._domain.reports import LedgerOrder

__all__ = [
    "HOME_TRADING_CHANNELS",
    "Alarm",
    "AlarmKind",
    "ChannelKnowledge",
    "Claimant",
    "Matching",
    "Relation",
    "match",
    "relation",
]


@unique
class AlarmKind(StrEnum):
    """What the ledger proves that should not be."""

    FOREIGN_ACTOR = "foreign_actor"
    """More orders that must be ours than attempts: somebody else trades on an exclusive account (A9)."""
    LEDGER_SHRANK = "ledger_shrank"
    """A row that was listed is not listed any more (A5)."""


@frozen
class Alarm:
    """An assumption that the evidence breaks.

    Attributes:
        orders: The rows that prove it.
        attempts: Keys of all attempts those rows could be.
    """

    kind: AlarmKind
    orders: tuple[LedgerOrder, ...]
    attempts: tuple[str, ...] = ()


@frozen
class Matching:
    """What one look at the ledger forces to be true.

    Attributes:
        bindings: Attempt key to the row that is its order; the oldest of interchangeable attempts to the
            smallest number.
        absent: Keys of attempts no row can be, and none of whose twins waits for a row, and that cannot be
            hidden. The evidence of one look only: a proof of absence asks for more.
        candidates: For every other attempt not in flight, the unbound rows that may be it. An attempt with no
            such row is in none of the three: it may still be hidden.
        foreign: Rows that no attempt is related to.
        alarms: Assumptions that do not hold.
    """

    bindings: Mapping[str, LedgerOrder]
    absent: frozenset[str]
    candidates: Mapping[str, tuple[LedgerOrder, ...]]
    foreign: tuple[LedgerOrder, ...]
    alarms: tuple[Alarm, ...] = ()


@frozen(eq=False)
class _Twins:
    """Interchangeable attempts, oldest first, and the rows (by position) each of them is related to."""

    members: tuple[Claimant, ...]
    edges: Mapping[int, Relation]

    @property
    def is_claimable(self) -> bool:
        return self.members[0].is_claimable


@define(eq=False)
class _Cover:
    """Rows that must be covered, each given to a class of twins; no class takes more than it has members."""

    classes: Sequence[_Twins]
    room: list[int]
    takers: dict[int, list[int]]
    owner: dict[int, int] = field(factory=dict)
    owned: dict[int, set[int]] = field(factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, classes: Sequence[_Twins]) -> _Cover:
        """Start with nothing covered."""
        must = {row for twins in classes for row, told in twins.edges.items() if told is Relation.LIKELY}
        takers = {row: [place for place, twins in enumerate(classes) if row in twins.edges] for row in sorted(must)}
        return cls(classes, [len(twins.members) for twins in classes], takers)

    def add(self, row: int) -> set[int]:
        """Cover one more row, moving others along if need be.

        Returns:
            Empty on success; otherwise the classes that are full of rows which have nowhere else to go.
        """
        via: dict[int, int] = {}
        queue = [row]
        for moved in queue:
            for place in self.takers[moved]:
                if place in via:
                    continue
                via[place] = moved
                if len(self.owned[place]) < self.room[place]:
                    self._shift(place, via)
                    return set()
                queue.extend(self.owned[place])
        return set(via)

    def _shift(self, place: int | None, via: Mapping[int, int]) -> None:
        while place is not None:
            moved = via[place]
            before = self.owner.get(moved)  # None of the new row alone: the others were somebody's
            self.owner[moved] = place
            self.owned[place].add(moved)
            if before is not None:
                self.owned[before].remove(moved)
            place = before

    def certain(self) -> dict[int, list[int]]:
        """List, by class, the rows that are the class's in every world. Asks that every row is covered.

        A row can go to another class if that one has room, or can make room by passing rows on, or passes a
        row on until one arrives at the class that has just given this one away.
        """
        reach = [1 << place for place in range(len(self.classes))]
        for row, place in self.owner.items():
            for taker in self.takers[row]:
                reach[place] |= 1 << taker
        for between in range(len(reach)):  # Warshall's closure, a row of the table in one number
            for place, reached in enumerate(reach):
                if reached >> between & 1:
                    reach[place] |= reach[between]
        roomy = sum(1 << place for place, room in enumerate(self.room) if len(self.owned[place]) < room)
        found: dict[int, list[int]] = defaultdict(list)
        for row, place in self.owner.items():
            if not any(reach[taker] & (roomy | 1 << place) for taker in self.takers[row] if taker != place):
                found[place].append(row)
        return found

    def fewest(self, place: int) -> int:
        """Count the members of a class that are on the book in every world, whichever rows they have."""
        others = _Cover.of(self.classes)
        others.room[place] = 0
        # What all other classes together cannot cover is the class's.
        return sum(1 for row in others.takers if others.add(row))


def match(
    claimants: Iterable[Claimant],
    rows: Iterable[LedgerOrder],
    *,
    is_exclusive: bool,
    channels: ChannelKnowledge,
) -> Matching:
    """Tell what is true of the attempts in every possible world.

    The order of the arguments does not matter.

    Args:
        claimants: Every attempt of the account that is unresolved or in flight; one that is left out makes
            its order look like a stranger's, or like another attempt's.
        rows: Every unclaimed row of the days in question, of complete snapshots.
        is_exclusive: No other program places orders on the account that could be taken for ours. Nothing is bound
            near a claimant of which that is not true.
        channels: What is learnt about the desk's channel texts.
    """
    listed = sorted(rows, key=lambda row: (row.day, row.number))
    classes = list(_group(sorted(claimants, key=_by_age), listed, channels))
    bindings: dict[str, LedgerOrder] = {}
    absent: set[str] = set()
    candidates: dict[str, tuple[LedgerOrder, ...]] = {}
    alarms: list[Alarm] = []
    for component in _components(classes):
        is_ours_alone = is_exclusive and all(member.is_exclusive for twins in component for member in twins.members)
        bound = _bind(component, listed, alarms) if is_ours_alone else {}
        taken = set(bound.values())
        bindings.update((key, listed[row]) for key, row in bound.items())
        for twins in component:
            if not twins.is_claimable:
                continue
            left = tuple(listed[row] for row in sorted(twins.edges) if row not in taken)
            for member in twins.members:
                if member.key in bound:
                    continue
                if left:
                    # One twin more than there are rows is absent in every world, too. It is not said while a
                    # row is still open: no absence is ever told in a class that has candidates (guarantees,
                    # section 7).
                    candidates[member.key] = left
                elif not member.is_hidden_possible:
                    absent.add(member.key)
    related = {row for twins in classes for row in twins.edges}
    foreign = tuple(row for position, row in enumerate(listed) if position not in related)
    return Matching(bindings, frozenset(absent), candidates, foreign, tuple(alarms))


def _group(claimants: Sequence[Claimant], rows: Sequence[LedgerOrder], channels: ChannelKnowledge) -> Iterator[_Twins]:
    nearby: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        nearby[row.action, row.symbol].append(position)
    twins: dict[tuple[object, ...], list[Claimant]] = defaultdict(list)
    for claimant in claimants:
        related = []
        for position in nearby.get((claimant.request.action, claimant.request.symbol), ()):
            told = relation(claimant, rows[position], channels)
            if told is not Relation.NONE:
                related.append((position, told))
        kind = (claimant.request.fingerprint, claimant.obligation, claimant.is_claimable, tuple(related))
        twins[kind].append(claimant)
    for (_, _, _, edges), members in twins.items():
        yield _Twins(tuple(members), dict(edges))  # type: ignore[call-overload]


def _components(classes: Sequence[_Twins]) -> Iterator[list[_Twins]]:
    by_row: dict[int, list[_Twins]] = defaultdict(list)
    for twins in classes:
        for row in twins.edges:
            by_row[row].append(twins)
    seen: set[int] = set()
    seen_rows: set[int] = set()
    for start in classes:
        if id(start) in seen:
            continue
        seen.add(id(start))
        component = [start]
        for twins in component:
            for row in twins.edges.keys() - seen_rows:
                seen_rows.add(row)
                fresh = [other for other in by_row[row] if id(other) not in seen]
                seen.update(map(id, fresh))
                component.extend(fresh)
        yield component


def _bind(classes: Sequence[_Twins], rows: Sequence[LedgerOrder], alarms: list[Alarm]) -> dict[str, int]:
    """Give the rows that are the same class's in every world to its members, on an exclusive account."""
    cover = _Cover.of(classes)
    for row in cover.takers:
        full = cover.add(row)
        if full:
            # Hall's condition fails: these rows are more than the attempts they could be. One of them is a
            # stranger's, nobody knows which, so here the account is not exclusive and nothing is bound.
            proof = sorted({row}.union(*(cover.owned[place] for place in full)))
            keys = tuple(member.key for place in sorted(full) for member in classes[place].members)
            alarms.append(Alarm(AlarmKind.FOREIGN_ACTOR, tuple(rows[position] for position in proof), keys))
            return {}
    bound: dict[str, int] = {}
    for place, certain in cover.certain().items():
        twins = classes[place]
        claimable = sorted(row for row in certain if twins.edges[row] is Relation.LIKELY)
        if twins.is_claimable and claimable:
            chosen = _choose(cover, place, len(claimable))
            bound.update(zip((member.key for member in chosen), claimable, strict=False))
    return bound


def _choose(cover: _Cover, place: int, wanted: int) -> list[Claimant]:
    """Choose the members of a class that get its certain rows, oldest first; fewer than `wanted` if need be.

    Twins share the rows that are listed. They share those that are not listed yet only if their windows and
    marks are equal too: if the younger one's order is the listed row and the older one's is still hidden,
    then swapping their names could leave the hidden order outside of the younger one's window, and it would
    be taken for a stranger's. So a member that can be hidden gets a row only where no world needs all of its
    like to be hidden.
    """
    members = cover.classes[place].members
    if wanted == len(members):
        return list(members)
    chosen = [member for member in members if not member.is_hidden_possible][:wanted]
    if len(chosen) < wanted:
        alike: dict[tuple[object, ...], list[Claimant]] = defaultdict(list)
        for member in members:
            if member.is_hidden_possible:
                alike[member.outlook].append(member)
        most_hidden = len(members) - cover.fewest(place)
        safe = [member for group in alike.values() for member in group[: max(0, len(group) - most_hidden)]]
        chosen += sorted(safe, key=_by_age)[: wanted - len(chosen)]
    return sorted(chosen, key=_by_age)


def _by_age(claimant: Claimant) -> tuple[tuple[float, int], str]:
    return claimant.age, claimant.key
