"""What the server answers and how it is delivered: in full, in part, late, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum, auto
from typing import Final

from attrs import frozen

from kiwoom_async.simulator.rejections import GatewayRefusal, Refusal

Answer = dict[str, object]

_JSON: Final = "application/json;charset=UTF-8"
_HTML: Final = "text/html;charset=UTF-8"


class Manner(Enum):
    """How a reply leaves."""

    ANSWER = auto()
    DROP = auto()  # the connection is closed without an answer
    RESET = auto()  # a part of the answer, then RST
    HANG = auto()
    REFUSE = auto()  # dropped, and nobody can connect for a while


@frozen
class Delivery:
    """How a reply leaves, with its numbers.

    Attributes:
        seconds: ANSWER: waits this long before. HANG: closes after this long, None: never. REFUSE: how long.
        after_bytes: RESET: how much of the answer leaves; None: half.
        late: Carried out `late_seconds` after the connection was dropped.
    """

    manner: Manner = Manner.ANSWER
    seconds: float | None = None
    after_bytes: int | None = None
    late: Callable[[], None] | None = None
    late_seconds: float = 0.0


@frozen
class Reply:
    """An HTTP answer and its delivery."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delivery: Delivery = Delivery()


@frozen
class Content:
    """What an answer says before it becomes bytes."""

    answer: Answer
    status: int = 200
    next_key: str = ""
    has_more: bool = False


def json_reply(api_id: str, content: Content, at: datetime) -> Reply:
    """Put an answer into bytes."""
    headers = {
        "Content-Type": _JSON,
        "Date": _date(at),
        "api-id": api_id,
        "cont-yn": "Y" if content.has_more else "N",
        "next-key": content.next_key,
    }
    body = json.dumps(content.answer, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(content.status, headers, body)


def page_reply(page: str, status: int, at: datetime) -> Reply:
    """Answer with a page for people."""
    return Reply(status, {"Content-Type": _HTML, "Date": _date(at)}, page.encode())


def _date(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True)


def refused(refusal: GatewayRefusal) -> Content:
    """Say no in the gateway's way."""
    return Content({"return_code": refusal.return_code, "return_msg": refusal.message})


def business_refusal(refusal: Refusal) -> Content:
    """Say no to what an order or a query asks."""
    return Content({"return_code": 20, "return_msg": f"[2000]({refusal.code}:{refusal.message})"})
