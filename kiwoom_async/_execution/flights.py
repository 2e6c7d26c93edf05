"""The work on one client order id in this process, and who waits for it."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

import anyio
from attrs import define, field

from kiwoom_async._domain.intents import Attempt, Intent
from kiwoom_async._domain.orders import Order
from kiwoom_async._transport.mark import DeliveryMark
from kiwoom_async.errors import KiwoomError


@unique
class Stage(StrEnum):
    """How far a flight is."""

    LOOKING_UP = "looking_up"
    """Whether the id was sent before is not known yet."""
    ON_THE_GROUND = "on_the_ground"
    COMMITTING = "committing"
    IN_THE_AIR = "in_the_air"
    SETTLING = "settling"


MAY_BE_CALLED_OFF: Final = frozenset({Stage.LOOKING_UP, Stage.ON_THE_GROUND, Stage.SETTLING})
"""Stages in which a flight does nothing that must be seen to its end."""


@define(eq=False)
class Flight:
    """The work on one client order id in this process, and who waits for it.

    Attributes:
        mark: Of the send under way; tells whether the broker may have it.
        is_ours: The library itself wants it, whoever waits: a resend, a durable obligation.
        is_unsent: The transaction of a permission has found that nobody has sent the id, and nobody can since.
    """

    intent: Intent
    is_fresh: bool
    deadline: float | None
    landed: anyio.Event = field(factory=anyio.Event)
    answer: Order | KiwoomError | None = None
    passengers: int = 0
    is_ours: bool = False
    is_unsent: bool = False
    stage: Stage = Stage.LOOKING_UP
    mark: DeliveryMark | None = None
    last: Attempt | None = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants the order to be sent."""
        return self.passengers > 0 or self.is_ours

    @property
    def may_have_left(self) -> bool:
        """Whether the broker may have the order now, or may get it. Changes only where the loop runs the guard."""
        if self.stage is Stage.ON_THE_GROUND:
            return self.is_ours
        if self.stage is Stage.COMMITTING:
            return self.mark is not None and self.mark.handed_over
        return True
