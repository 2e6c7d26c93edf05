"""The history checker: what callers asked and were told, held against the broker's own book. Pure.

It knows nothing of the client: not its journal, not its words for a state. It takes lists and answers with what
contradicts the promises. Whoever wants to prove the client, or another one, fills the lists from a run; a list that
nobody has recorded is None, and what only it could show is not judged.

| | what must hold | harm if it does not |
|---|---|---|
| I1 | one client order id has at most one order on the book, however often it was sent | doubled |
| I1 | it is on the wire at most once. Again only where every send before it is proven to have come to nothing, and \
where a caller has permitted it; a cancel of all that is left may be repeated | risked |
| I2 | an accepted answer names an order of that id on the book, with all its fields; one number, one id | lost, wrong |
| I3 | an id whose answer says "not there" (refused, not accepted, not sent, failed) is not on it when the \
answer is told, nor later by what this caller asked for, or the client has reported that it turned up | lost |
| I4 | no order of somebody else was claimed, changed or canceled | wrong |
| I5 | one id has one answer, from every process, for ever. "Not sent" may be followed by another one, "unknown" is \
none, and "not accepted" may be followed by "accepted" where the client has reported that it turned up | wrong |
| I6 | each fill is counted once: the fills a listener heard sum up to the book's, no answer tells of more, none of \
fewer than one before it, and in the end they have told of all | wrong |
| I7 | in the end nothing is unknown, and nothing that was known has become so | unknown |
| P3 | a caller is told something, and within its deadline | late |

The harms, exactly:

- **doubled**: more than one order on the book with one client order id. A resend that was proven right does not
  change that: there is still one on the book.
- **lost**: an id about which caller and book disagree whether there is an order at all. Either the caller was told
  "accepted" and it is not there, or the caller was told that there is none and it is there, where nobody minds it.
- **wrong**: any other untrue answer: another order's number, other fields, another answer the second time, somebody
  else's order, fills that did not happen.
- **unknown**: an id without an answer at the end of the run.
- **risked**: it could have been doubled. It was sent again without a proof, or without a permission.
- **late**: a caller was kept waiting, perhaps for ever.

"Not sent" is about one caller's own ask. The order that another caller of the same id has made meanwhile does not make
it untrue; one that was there before, or that nobody else can have made, does. Numbers are valid on a ledger and a day.

Read `records` for what goes in and comes out, then `check`. May import: nothing of ours.
"""

from kiwoom_async._audit.check import check_history
from kiwoom_async._audit.records import (
    DENIALS,
    FINAL,
    Answer,
    Ask,
    Attempt,
    Audit,
    BookEntry,
    FillHeard,
    Harm,
    Terms,
    Verdict,
    Violation,
)

__all__ = [
    "DENIALS",
    "FINAL",
    "Answer",
    "Ask",
    "Attempt",
    "Audit",
    "BookEntry",
    "FillHeard",
    "Harm",
    "Terms",
    "Verdict",
    "Violation",
    "check_history",
]
