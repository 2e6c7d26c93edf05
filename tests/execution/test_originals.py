"""What a look shows of the order that a cancel names, in every form in which modifies and cancels may be listed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import evolve, field, frozen

from kiwoom_async._domain.intents import Attempt, OrderRequest
from kiwoom_async._domain.reports import LedgerOrder, OpenOrder, Snapshot
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.states import Delivery
from kiwoom_async._domain.vocabulary import Action, Desk, OrderStatus, Side
from kiwoom_async._execution.ledger_reader import LedgerReader
from kiwoom_async._execution.originals import Originals, OriginalState
from kiwoom_async._journal.journal import Journal
from kiwoom_async._journal.records import Claim
from kiwoom_async.errors import QueryFailed

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=KST)
CANCEL = OrderRequest(Desk.STOCK, Action.CANCEL, "005930", Side.BUY, None, original="0000005", original_day=DAY)
ATTEMPT = Attempt("cancel", 1, "account", CANCEL, Delivery.UNKNOWN, DAY, 5, "runner", "boot", NOON, 0.0, 1.0)
OPEN, FILLED, CANCELED, UNCLEAR = (
    OriginalState.OPEN,
    OriginalState.FILLED,
    OriginalState.CANCELED,
    OriginalState.UNCLEAR,
)


def row(quantity: int = 10, filled: int = 0, leaves: int | None = 0, **changes: Any) -> LedgerOrder:
    """Make the row of the original."""
    made = LedgerOrder(
        day=DAY,
        desk=Desk.STOCK,
        broker_order_id="0000005",
        action=Action.NEW,
        symbol="005930",
        side=Side.BUY,
        quantity=quantity,
        price=70_000,
        order_types=frozenset(),
        route=None,
        stop_price=None,
        original=None,
        channel="",
        ordered_at=NOON,
        filled_quantity=filled,
        average_fill_price=None,
        leaves_quantity=leaves,
        confirmed_quantity=0,
    )
    return evolve(made, **changes)


def change(action: Action, confirmed: int, number: int = 9, *, quantity: int | None = None) -> LedgerOrder:
    """Make the row of a modify or cancel of the original."""
    size = confirmed if quantity is None else quantity
    leaves = confirmed if action is Action.MODIFY else 0
    return row(
        size,
        leaves=leaves,
        action=action,
        confirmed_quantity=confirmed,
        broker_order_id=f"{number:07d}",
        original="0000005",
    )


def modify(confirmed: int, number: int = 9, *, quantity: int | None = None) -> LedgerOrder:
    """Make the row of a modify."""
    return change(Action.MODIFY, confirmed, number, quantity=quantity)


def cancel(confirmed: int, number: int = 9) -> LedgerOrder:
    """Make the row of a cancel."""
    return change(Action.CANCEL, confirmed, number)


@frozen
class Book:
    """A ledger and a journal that say what they are told to say.

    Attributes:
        asked: What the modifies and cancels of ours were asked for, by number.
        parts: Modifies that were seen to leave a part in the book.
        aimed_at: What ours were aimed at.
        is_final: The day was over when the ledger was read.
        open: The open orders; None where that list fails.
    """

    rows: tuple[LedgerOrder, ...]
    asked: Mapping[int, int | None]
    parts: frozenset[str] = frozenset()
    aimed_at: str = "0000005"
    is_final: bool = False
    open: tuple[OpenOrder, ...] | None = ()
    questions: list[tuple[Any, ...]] = field(factory=list)

    async def fetch_snapshot(self, *asked: Any, symbol: str) -> Snapshot:
        """Give the ledger."""
        self.questions.append((*asked, symbol))
        return Snapshot(Desk.STOCK, DAY, 0, self.rows, 0, 1, self.is_final, 1)

    async def fetch_open_orders(self, *_: Any) -> tuple[OpenOrder, ...]:
        """Give the open orders."""
        if self.open is None:
            raise QueryFailed("kt50075", "an empty list came as an error")
        return self.open

    async def claims(self, *_: Any) -> Mapping[str, tuple[None, Attempt]]:
        """Give our modifies and cancels."""
        return {
            f"{number:07d}": (None, evolve(ATTEMPT, request=evolve(CANCEL, quantity=quantity, original=self.aimed_at)))
            for number, quantity in self.asked.items()
        }

    async def claim_of(self, *_: Any) -> Claim:
        """Give the claim of the original."""
        return Claim("account", DAY, "0000005", "order", 1, None, 0, None, None)

    async def parts_moved(self, *_: Any) -> frozenset[str]:
        """Give the modifies that have left a part in the book."""
        return self.parts


def originals(
    *rows: LedgerOrder, asked: Mapping[int, int | None] | None = None, parts: frozenset[str] = frozenset()
) -> Originals:
    """Look at a ledger with these rows."""
    book = Book(rows, asked or {}, parts)
    return Originals(cast("Journal", book), cast("LedgerReader", book))


@pytest.mark.parametrize(
    ("rows", "asked", "state"),
    [
        pytest.param([row(leaves=10)], {}, OPEN, id="untouched"),
        pytest.param([row(filled=10)], {}, FILLED, id="filled"),
        pytest.param([row(filled=4)], {}, CANCELED, id="canceled by a cancel that is not listed"),
        # A part was modified, or a modify was refused: that keeps nobody from canceling what is left.
        pytest.param([row(leaves=6), modify(4)], {9: 4}, OPEN, id="partly modified, the rest is in the book"),
        pytest.param([row(leaves=10), modify(0, quantity=4)], {}, OPEN, id="modify refused, it is in the book"),
        pytest.param([row(leaves=10), modify(10)], {}, UNCLEAR, id="wholly modified, its row left as it was"),
        pytest.param([row(filled=10), modify(0, quantity=4)], {}, FILLED, id="modify refused, then filled"),
        pytest.param([row(filled=2), modify(4)], {}, CANCELED, id="partly modified, the rest canceled"),
        # Where it may live on under the number of a modify, nothing is said.
        pytest.param([row(), modify(10)], {}, UNCLEAR, id="wholly modified"),
        pytest.param([row(filled=4), modify(6)], {}, UNCLEAR, id="modified after a fill, or before it"),
        pytest.param([row(), modify(0, quantity=10)], {}, UNCLEAR, id="modify that shows nothing as confirmed"),
        pytest.param([row(quantity=0, action=Action.MODIFY)], {}, UNCLEAR, id="original of no size"),
        # Which of the fill and a cancel came last.
        pytest.param([row(filled=7), cancel(3)], {9: 3}, FILLED, id="our cancel of a part, the rest filled"),
        pytest.param([row(filled=7), cancel(3)], {9: None}, CANCELED, id="our cancel of the rest"),
        pytest.param([row(filled=7), cancel(3)], {}, CANCELED, id="somebody's cancel"),
        pytest.param([row(), cancel(3), cancel(7, 10)], {9: 3, 10: 7}, CANCELED, id="canceled in parts"),
        pytest.param([row(), modify(4), cancel(6, 10)], {9: 4, 10: None}, CANCELED, id="modify of a part, cancel"),
        # A modify of all that is left may be listed with no quantity of its own.
        pytest.param(
            [row(quantity=0, action=Action.MODIFY, confirmed_quantity=10)], {}, CANCELED, id="canceled modify"
        ),
        pytest.param(
            [row(quantity=0, filled=10, action=Action.MODIFY, confirmed_quantity=10)], {}, FILLED, id="filled modify"
        ),
        pytest.param([modify(10)], {}, UNCLEAR, id="not listed"),
        # What is listed as left is left, unless modifies cannot have left so much.
        pytest.param([row(filled=4, leaves=10)], {}, OPEN, id="filled, its row left as it was"),
        pytest.param([row(filled=4, leaves=6), modify(4)], {}, UNCLEAR, id="modified, its row left as it was"),
        pytest.param([row(leaves=6), modify(4), cancel(4, 10)], {}, OPEN, id="what was modified is canceled"),
        pytest.param([row(quantity=0, leaves=5, action=Action.MODIFY), modify(4)], {}, OPEN, id="left of no size"),
        # What took the last of it.
        pytest.param([row(filled=10), modify(4)], {}, FILLED, id="filled, whatever a modify shows"),
        pytest.param([row(filled=1), cancel(9)], {9: 9}, FILLED, id="our cancel of a part, the last one filled"),
        pytest.param([row(filled=6), cancel(3)], {9: 3}, CANCELED, id="one is missing"),
        pytest.param([row(filled=7), cancel(3), cancel(0, 10)], {9: 3, 10: None}, FILLED, id="ours found nothing"),
        pytest.param([row(filled=4), cancel(0)], {}, CANCELED, id="a cancel that found nothing, and one not listed"),
        pytest.param([row(filled=7), cancel(3), modify(0, 10)], {9: 3}, FILLED, id="nothing is left for a modify"),
        pytest.param([row(filled=6), cancel(3), modify(0, 10)], {9: 3}, UNCLEAR, id="one is left for a modify"),
    ],
)
async def test_state_of_an_original(
    rows: list[LedgerOrder], asked: Mapping[int, int | None], state: OriginalState
) -> None:
    """It is open, filled or canceled where the rows leave no other possibility."""
    assert await originals(*rows, asked=asked).fetch_state(ATTEMPT) is state


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([row(filled=6), modify(4)], FILLED),
        ([row(filled=3), modify(4), cancel(3, 10)], FILLED),
        ([row(filled=3), modify(4)], CANCELED),
        ([row(filled=3), modify(4), modify(3, 10)], UNCLEAR),
    ],
)
async def test_modify_that_left_a_part_did_not_take_the_last_of_it(
    rows: list[LedgerOrder], state: OriginalState
) -> None:
    """It was seen to leave a part in the book, so what came last was a fill, a cancel, or another modify."""
    asked = {9: 4, 10: 3}
    assert await originals(*rows, asked=asked, parts=frozenset({"0000009"})).fetch_state(ATTEMPT) is state


async def test_row_of_ours_may_name_the_root_of_the_chain() -> None:
    """Our request says what it was aimed at: the row does not count for the root, and is not missed for its target."""
    root, first = row(filled=4), "0000009"
    moved_on = Book((root, evolve(modify(6), leaves_quantity=0), modify(6, 10)), {10: None}, aimed_at=first)
    look = Originals(cast("Journal", moved_on), cast("LedgerReader", moved_on))
    assert await look.fetch_state(evolve(ATTEMPT, request=evolve(CANCEL, original=first))) is UNCLEAR
    canceled = Book((root, modify(6), cancel(6, 10)), {10: None}, frozenset({first}), aimed_at=first)
    look = Originals(cast("Journal", canceled), cast("LedgerReader", canceled))
    assert await look.fetch_state(ATTEMPT) is FILLED


def in_gold(book: Book) -> Originals:
    """Look at a ledger that does not tell what is left of an order."""
    return Originals(cast("Journal", book), cast("LedgerReader", book))


@pytest.mark.parametrize(
    ("filled", "changes", "state"),
    [
        pytest.param(10, [], FILLED, id="filled"),
        pytest.param(4, [cancel(6)], CANCELED, id="canceled"),
        pytest.param(0, [cancel(4, 9), cancel(6, 10)], CANCELED, id="canceled in two"),
    ],
)
async def test_order_that_its_ledger_accounts_for_needs_no_list_of_open_orders(
    filled: int, changes: list[LedgerOrder], state: OriginalState
) -> None:
    """An empty list may come as an error, which says nothing; what was taken does not come back."""
    book = Book((row(filled=filled, leaves=None), *changes), {}, open=None)
    assert await in_gold(book).fetch_state(ATTEMPT) is state


@pytest.mark.parametrize("changes", [[], [cancel(4)], [modify(5), cancel(5, 10)]])
async def test_order_that_its_ledger_does_not_account_for_needs_the_open_orders(changes: list[LedgerOrder]) -> None:
    """Failure is not absence; and with a modify in between, a cancel that names the root took from what was moved."""
    with pytest.raises(QueryFailed, match="came as an error"):
        await in_gold(Book((row(leaves=None), *changes), {}, open=None)).fetch_state(ATTEMPT)


async def test_open_orders_say_nothing_about_a_day_that_is_over() -> None:
    """They are those of today: under the number of yesterday's order stands another one."""
    namesake = OpenOrder(Desk.STOCK, "0000005", "005930", Side.BUY, 10, 70_000, 10, 0, None)
    book = Book((row(leaves=None),), {}, is_final=True, open=(namesake,))
    assert await in_gold(book).fetch_state(ATTEMPT) is UNCLEAR
    assert await in_gold(evolve(book, is_final=False)).fetch_state(ATTEMPT) is OPEN


async def test_loss_of_an_original_of_unknown_size_is_unexplained() -> None:
    """A modify of all that is left is as large as what it moved; one that shows no size may have lost anything."""
    sized = row(quantity=0, leaves=10, action=Action.MODIFY, confirmed_quantity=10)
    assert await originals(sized).find_unexplained_loss(ATTEMPT) == ""
    assert await originals(evolve(sized, leaves_quantity=6)).find_unexplained_loss(ATTEMPT)
    assert (
        await originals(evolve(sized, quantity=10, confirmed_quantity=6, leaves_quantity=6)).find_unexplained_loss(
            ATTEMPT
        )
        == ""
    )
    assert await originals(evolve(sized, confirmed_quantity=0)).find_unexplained_loss(ATTEMPT)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        pytest.param([modify(5), cancel(5, 10)], CANCELED, id="all of it"),
        pytest.param([modify(4), cancel(4, 10)], UNCLEAR, id="not all of it"),
    ],
)
async def test_order_in_no_list_of_open_orders_is_gone_if_all_of_it_is_accounted_for(
    rows: list[LedgerOrder], state: OriginalState
) -> None:
    """Otherwise it may not be listed yet."""
    book = Book((row(leaves=None), *rows), {}, frozenset({"0000009"}))
    assert await in_gold(book).fetch_state(ATTEMPT) is state


async def test_order_of_no_size_is_never_accounted_for() -> None:
    """Whatever was taken from it."""
    book = Book((row(quantity=0, leaves=None, action=Action.MODIFY), cancel(4)), {})
    assert await in_gold(book).fetch_state(ATTEMPT) is UNCLEAR


@pytest.mark.parametrize("original_day", [DAY, None])
async def test_ledger_is_read_from_the_original_on_and_on_its_day(original_day: date | None) -> None:
    """Its own row is the first one, and numbers mean something else on other days."""
    attempt = evolve(
        ATTEMPT,
        request=evolve(CANCEL, original_day=original_day, desk=Desk.CREDIT),
        day=DAY + timedelta(days=1) if original_day else DAY,
    )
    book = Book((row(leaves=10),), {})
    assert await in_gold(book).fetch_state(attempt) is OPEN
    assert book.questions == [(Desk.STOCK, DAY, 4, "005930")]


@pytest.mark.parametrize(
    ("rows", "is_final", "loss"),
    [
        pytest.param([row(leaves=10)], False, "", id="untouched"),
        pytest.param([row(leaves=6), cancel(4)], False, "", id="a listed cancel has it"),
        pytest.param([row(filled=4, leaves=6)], False, "", id="a fill has it"),
        pytest.param([row(leaves=6)], False, "lost a quantity", id="nothing has it"),
        pytest.param([row(leaves=None)], True, "lost a quantity", id="nothing tells"),
        pytest.param([], False, "is not listed", id="not listed"),
    ],
)
async def test_loss_that_nothing_explains(rows: list[LedgerOrder], loss: str, *, is_final: bool) -> None:
    """A cancel without a row of its own may have taken it."""
    told = await in_gold(Book(tuple(rows), {}, is_final=is_final)).find_unexplained_loss(ATTEMPT)
    assert loss in told
    assert bool(loss) == bool(told)


async def test_new_order_has_no_original_to_lose() -> None:
    """Nothing is asked for it."""
    book = Book((), {})
    new = evolve(ATTEMPT, request=evolve(CANCEL, action=Action.NEW, original=None))
    assert await in_gold(book).find_unexplained_loss(new) == ""
    assert book.questions == []


@frozen
class Chain:
    """A journal that knows which order each of our orders was aimed at; None: it has no record of it."""

    aims: Mapping[str, str | None]
    days: list[date] = field(factory=list)

    async def claim_of(self, _: Desk, day: date, number: str) -> Claim | None:
        """Give whose a number is."""
        self.days.append(day)
        return Claim("account", day, number, number, 1, None, 0, None, None) if number in self.aims else None

    async def find(self, client_order_id: str) -> Any:
        """Give what was asked for."""
        aim = self.aims[client_order_id]
        return None if aim is None else SimpleNamespace(speaking=SimpleNamespace(request=evolve(CANCEL, original=aim)))


@pytest.mark.parametrize(
    ("aims", "ancestors"),
    [
        ({}, set()),
        ({"0000005": "0000004"}, {"0000004"}),
        ({"0000005": "0000004", "0000004": "0000003"}, {"0000004", "0000003"}),
        ({"0000005": "0000004", "0000004": None}, {"0000004"}),
        ({"0000005": "0000004", "0000004": "0000005"}, {"0000004"}),
    ],
)
@pytest.mark.parametrize("original_day", [DAY, None])
async def test_chain_is_followed_to_its_root(
    aims: Mapping[str, str | None], ancestors: set[str], original_day: date | None
) -> None:
    """As far as the journal knows it, on the day of the original, and once around if it should lead back."""
    chain = Chain(aims)
    attempt = evolve(
        ATTEMPT,
        request=evolve(CANCEL, original_day=original_day),
        day=DAY + timedelta(days=1) if original_day else DAY,
    )
    looked = Originals(cast("Journal", chain), cast("LedgerReader", chain))
    assert await looked.read_ancestors(attempt) == ancestors
    assert set(chain.days) == {DAY}


async def test_order_without_an_original_has_no_ancestors() -> None:
    """A new order is the root of its own chain."""
    chain = Chain({})
    new = evolve(ATTEMPT, request=evolve(CANCEL, action=Action.NEW, original=None))
    assert await Originals(cast("Journal", chain), cast("LedgerReader", chain)).read_ancestors(new) == frozenset()


@pytest.mark.parametrize(
    ("state", "status"),
    [(OPEN, None), (FILLED, OrderStatus.FILLED), (CANCELED, OrderStatus.CANCELED), (UNCLEAR, None)],
)
def test_status_of_an_order_of_which_nothing_is_left(state: OriginalState, status: OrderStatus | None) -> None:
    """The others have none that this look could tell."""
    assert state.status is status


@pytest.mark.parametrize(
    ("listed", "status"),
    [
        (row(quantity=0, action=Action.CANCEL, confirmed_quantity=10), OrderStatus.CANCELED),
        (row(quantity=0, action=Action.MODIFY, confirmed_quantity=10), OrderStatus.CANCELED),
        (row(quantity=10, filled=6, action=Action.MODIFY, confirmed_quantity=6), OrderStatus.FILLED),
    ],
)
def test_row_without_a_quantity_of_its_own_is_not_filled(listed: LedgerOrder, status: OrderStatus) -> None:
    """A modify or cancel of all that is left may be listed with a quantity of 0."""
    assert listed.status is status
