"""What is damage of the file, and what is a fault of ours: only what decodes rows may say that a row cannot be read."""

from __future__ import annotations

from contextlib import ContextDecorator
from decimal import InvalidOperation
from types import TracebackType
from typing import Final

import cattrs

_UNREADABLE: Final = (ValueError, LookupError, TypeError, InvalidOperation, cattrs.BaseValidationError)
"""What comes of decoding texts that are not what we wrote."""


class Unreadable(Exception):
    """A value in the file is not what we wrote. Names the kind of error alone: its own text quotes the value."""


class decoding(ContextDecorator):  # noqa: N801 - used as a statement and as a decorator
    """Decode what a row says. Belongs around nothing else: a fault of ours is no damage of the file."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, _UNREADABLE):
            raise Unreadable(type(error).__name__) from error
