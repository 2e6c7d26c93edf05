"""Every possible world, one by one: the specification of the matcher, as slow as it is plain.

A world says of each attempt which row is its order, or that it was not accepted, or that it is accepted and
hidden. The fast algorithm must report exactly what is true in all of them, up to renaming twins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from attrs import frozen

from kiwoom_async._domain.matching import ChannelKnowledge, Claimant, Matching, Relation, relation
from kiwoom_async._domain.reports import LedgerOrder

ABSENT, HIDDEN, FREE = "absent", "hidden", "free"
Role = int | str
World = tuple[Role, ...]
Edges = Mapping[tuple[int, int], Relation]


@frozen
class Problem:
    """Attempts and rows by position, and what they are to each other."""

    claimants: Sequence[Claimant]
    rows: Sequence[LedgerOrder]
    edges: Edges
    is_exclusive: bool

    @classmethod
    def of(
        cls,
        claimants: Sequence[Claimant],
        rows: Sequence[LedgerOrder],
        *,
        is_exclusive: bool,
        channels: ChannelKnowledge,
    ) -> Problem:
        """Relate every attempt to every row."""
        told = {
            (place, position): relation(claimant, row, channels)
            for place, claimant in enumerate(claimants)
            for position, row in enumerate(rows)
        }
        edges = {edge: kind for edge, kind in told.items() if kind is not Relation.NONE}
        return cls(claimants, rows, edges, is_exclusive)

    def component_of(self, place: int) -> tuple[list[int], list[int]]:
        """Give the attempts and rows that hang together with one attempt."""
        places, positions = {place}, set[int]()
        while True:
            more = {position for taker, position in self.edges if taker in places}
            wider = places | {taker for taker, position in self.edges if position in more}
            if (more, wider) == (positions, places):
                return sorted(places), sorted(positions)
            places, positions = wider, more

    def twins_of(self, place: int) -> list[int]:
        """Give the attempts that no evidence can tell apart from one."""
        return [other for other in range(len(self.claimants)) if self._description(other) == self._description(place)]

    def _description(self, place: int) -> tuple[object, ...]:
        claimant = self.claimants[place]
        edges = tuple(self.edges.get((place, position)) for position in range(len(self.rows)))
        return claimant.request, claimant.obligation, claimant.is_claimable, edges


def worlds_of(problem: Problem, places: Sequence[int], positions: Sequence[int]) -> tuple[list[World], bool]:
    """Enumerate the worlds of one component, and say whether all rows that must be ours can be ours."""
    everything = list(_assignments(problem, places))
    if not problem.is_exclusive:
        return everything, True
    must = {
        position
        for position in positions
        if any(problem.edges.get((place, position)) is Relation.LIKELY for place in places)
    }
    covering = [world for world in everything if must <= set(world)]
    return (covering, True) if covering else (everything, False)


def _assignments(problem: Problem, places: Sequence[int], taken: frozenset[int] = frozenset()) -> Iterator[World]:
    if not places:
        yield ()
        return
    first, rest = places[0], places[1:]
    for position in range(len(problem.rows)):
        if (first, position) in problem.edges and position not in taken:
            for others in _assignments(problem, rest, taken | {position}):
                yield (position, *others)
    for others in _assignments(problem, rest, taken):
        yield (ABSENT, *others)
        if problem.claimants[first].is_hidden_possible:
            yield (HIDDEN, *others)


def is_true_in_all(problem: Problem, worlds: Sequence[World], places: Sequence[int], facts: Mapping[int, Role]) -> bool:
    """Tell whether each world can be renamed, twins for twins, into one in which all facts hold together.

    The role of a hidden order moves only to a twin that may be hidden with the same outlook: its row, once it
    is listed, must be able to be that twin's.
    """
    seen: set[tuple[int, ...]] = set()
    for place in places:
        twins = tuple(twin for twin in problem.twins_of(place) if twin in places)
        if twins in seen:
            continue
        seen.add(twins)
        indices = [places.index(twin) for twin in twins]
        for roles in {tuple(world[index] for index in indices) for world in worlds}:
            if not _can_be_renamed(problem, twins, roles, facts):
                return False
    return True


def _can_be_renamed(problem: Problem, twins: Sequence[int], roles: Sequence[Role], facts: Mapping[int, Role]) -> bool:
    outlooks = [problem.claimants[twin].outlook for twin in twins]

    def fits(twin: int, giver: int) -> bool:
        if facts.get(twins[twin], FREE) not in {FREE, roles[giver]}:
            return False
        can_hide = problem.claimants[twins[twin]].is_hidden_possible
        return roles[giver] != HIDDEN or (can_hide and outlooks[twin] == outlooks[giver])

    def place(twin: int, left: frozenset[int]) -> bool:
        if twin == len(twins):
            return True
        return any(place(twin + 1, left - {giver}) for giver in left if fits(twin, giver))

    return place(0, frozenset(range(len(twins))))


def check(problem: Problem, matching: Matching) -> None:
    """Assert that a matching reports what is true in every world, all of it, and nothing else."""
    keys = [claimant.key for claimant in problem.claimants]
    facts: dict[int, Role] = {keys.index(key): problem.rows.index(row) for key, row in matching.bindings.items()}
    facts |= dict.fromkeys(map(keys.index, matching.absent), ABSENT)
    _check_shape(problem, matching, facts)
    done: set[int] = set()
    alarms = 0
    for start in range(len(keys)):
        if start in done:
            continue
        places, positions = problem.component_of(start)
        done.update(places)
        worlds, is_coverable = worlds_of(problem, places, positions)
        alarms += not is_coverable
        known = {place: fact for place, fact in facts.items() if place in places}
        assert is_true_in_all(problem, worlds, places, known), "something reported is not true in every world"
        for place, fact in _further_facts(problem, places, positions, known):
            if fact != ABSENT and not (problem.is_exclusive and is_coverable):
                continue
            assert not is_true_in_all(problem, worlds, places, known | {place: fact}), (
                f"{keys[place]} is {fact} in every world, and that was not reported"
            )
    assert len(matching.alarms) == alarms
    _check_alarms(problem, matching)


def _further_facts(
    problem: Problem, places: Sequence[int], positions: Sequence[int], known: Mapping[int, Role]
) -> Iterator[tuple[int, Role]]:
    for place in places:
        if place in known or not problem.claimants[place].is_claimable:
            continue
        open_rows = [
            position for position in positions if position not in known.values() and (place, position) in problem.edges
        ]
        for position in open_rows:
            if problem.edges[place, position] is Relation.LIKELY:
                yield place, position
        if not open_rows:  # no absence is told in a class that has candidates
            yield place, ABSENT


def _check_shape(problem: Problem, matching: Matching, facts: Mapping[int, Role]) -> None:
    bound = [fact for fact in facts.values() if fact != ABSENT]
    assert len(set(bound)) == len(bound), "a row is bound twice"
    for place, fact in facts.items():
        assert problem.claimants[place].is_claimable, "something is said of an attempt in flight"
        if isinstance(fact, int):
            assert problem.is_exclusive
            assert problem.edges.get((place, fact)) is Relation.LIKELY
    candidates = {}
    for place, claimant in enumerate(problem.claimants):
        related = [position for taker, position in problem.edges if taker == place and position not in bound]
        if place not in facts and claimant.is_claimable and related:
            in_order = sorted((problem.rows[position] for position in related), key=lambda row: (row.day, row.number))
            candidates[claimant.key] = tuple(in_order)
        if place in facts and facts[place] == ABSENT:
            assert not related, "an absence is told while a row is open"
    assert matching.candidates == candidates
    related_rows = {position for _, position in problem.edges}
    assert set(matching.foreign) == {row for at, row in enumerate(problem.rows) if at not in related_rows}
    _check_order(problem, facts)


def _check_order(problem: Problem, facts: Mapping[int, Role]) -> None:
    """The oldest twin has the smallest number."""
    by_class: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, fact in facts.items():
        if isinstance(fact, int):
            by_class[tuple(problem.twins_of(place))].append(place)
    for places in by_class.values():
        places.sort(key=lambda place: (problem.claimants[place].age, problem.claimants[place].key))
        rows = [problem.rows[fact] for place in places if isinstance(fact := facts[place], int)]
        for older, younger in combinations(rows, 2):
            assert (older.day, older.number) < (younger.day, younger.number)


def _check_alarms(problem: Problem, matching: Matching) -> None:
    """An alarm proves itself: more rows than attempts that could have placed any of them."""
    keys = [claimant.key for claimant in problem.claimants]
    for alarm in matching.alarms:
        positions = {problem.rows.index(row) for row in alarm.orders}
        takers = {keys[place] for place, position in problem.edges if position in positions}
        assert takers == set(alarm.attempts)
        assert len(positions) > len(takers)
