"""`client.kill_switch`: one lever for every client of a journal."""

from __future__ import annotations

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.guards import KillSwitchState
from kiwoom_async._execution.guards import engage
from kiwoom_async._journal.guards import this_process
from kiwoom_async._journal.journal import Journal
from kiwoom_async.errors import ValidationError


class KillSwitch:
    """Stop new orders and modifies of every client on this journal, in every process, also after a restart.

    Cancels go through, and so does everything that only reads. `kiwoom-async halt JOURNAL --reason …` and
    `kiwoom-async resume JOURNAL --reason …` do the same from a command line.
    """

    def __init__(self, journal: Journal, ambient: Ambient, longest_lag: float = 0.0) -> None:
        self._journal = journal
        self._ambient = ambient
        self._longest_lag = longest_lag

    async def engage(self, *, reason: str, by: str | None = None) -> KillSwitchState:
        """Hold new orders and modifies, those that wait for something included, and resends as well.

        Once this has returned, none leaves any more. What had its permission to leave before that keeps it until it is
        on the wire or `Timing.connect_timeout` has passed, and this waits for the end of it; the wait is usually a
        round trip. Orders at the broker stay there: see `client.orders.cancel_all`.

        An injected `transport` that does not ask our guard may wait for a connection as long as for an answer. If this
        client has one, this waits for that, too, at most `Timing.connect_timeout` twice and `Timing.response_timeout`
        once. What another process on the journal sends by such a transport is waited for only if this client has one
        as well: otherwise, and with `kiwoom-async halt`, an order of that process may leave that much later.

        Args:
            reason: Why; shown to whoever is held, and kept.
            by: Who does it. None: the user and the process.

        Returns:
            The state of the switch.

        Raises:
            ValidationError: No reason is given.
            JournalError: It is not recorded, and so not engaged.

        Delivery: Durable before it takes effect; the same moment for every process.

        Cancellation: It may be engaged all the same; look at `status`.
        """
        state = self._state(reason, by, is_engaged=True)
        return await engage(self._journal, self._ambient, state, self._longest_lag)

    async def release(self, *, reason: str, by: str | None = None) -> KillSwitchState:
        """Let orders through again. Nothing that was held is sent by itself: call again with the same id.

        Args:
            reason: Why it is safe again; kept.
            by: Who does it. None: the user and the process.

        Returns:
            The state of the switch. To release a switch that is not engaged changes nothing.

        Raises:
            ValidationError: No reason is given.
            JournalError: It is not recorded, and so still engaged.

        Delivery: Durable when this returns.

        Cancellation: It may be released all the same; look at `status`.
        """
        return await self._journal.move_switch(self._state(reason, by, is_engaged=False))

    async def status(self) -> KillSwitchState:
        """Read what the switch was last told, by whom, when and why. Asks the journal only."""
        return await self._journal.kill_switch()

    def _state(self, reason: str, by: str | None, *, is_engaged: bool) -> KillSwitchState:
        words = _require_words("reason", reason)
        who = this_process() if by is None else _require_words("by", by)
        return KillSwitchState(is_engaged, words, who, self._ambient.now())


def _require_words(argument: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValidationError(argument, value, "a few words; they are kept, and shown to whoever is held")
    return value.strip()
