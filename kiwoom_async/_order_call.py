"""An order that is about to be placed: a coroutine that knows its key before it runs."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any

from kiwoom_async._domain.orders import Order


class OrderCall(Coroutine[Any, Any, Order]):
    """What the verbs of a desk return: await it, or give it to `create_task`; nothing happens before that.

    Attributes:
        client_order_id: The idempotency key, given or generated: write it down before you await, if you want to ask
            for the same order after a crash.
    """

    def __init__(self, client_order_id: str, work: Coroutine[Any, Any, Order]) -> None:
        self.client_order_id = client_order_id
        self._work = work

    def __await__(self) -> Generator[Any, Any, Order]:
        return self._work.__await__()

    def send(self, value: Any) -> Any:
        """Run on, as every coroutine."""
        return self._work.send(value)

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
    ) -> Any:
        """Take an exception, as every coroutine."""
        if value is None and traceback is None:
            return self._work.throw(kind)
        return self._work.throw(kind, value, traceback)  # type: ignore[arg-type]

    def close(self) -> None:
        """End without having run, as every coroutine."""
        self._work.close()

    def __repr__(self) -> str:
        return f"<OrderCall {self.client_order_id}>"
