"""What is read out of a rate-limit answer."""

from __future__ import annotations

import json

import pytest

from kiwoom_async._wire.exchange import Answer
from kiwoom_async._wire.rate_limits import MetLimit, read_limit

_PHRASE = "허용된 요청 개수를 초과하였습니다"

ANSWERS = [
    (429, 5, f"{_PHRASE}[1700:허용된 API 요청 개수를 초과하였습니다. 유량=5, API ID=ka10081]", MetLimit(False, 5.0)),
    (200, 5, f"{_PHRASE}[1700:허용된 API 요청 개수를 초과하였습니다. 유량=1, API ID=kt10001]", MetLimit(False, 1.0)),
    (200, "1700", f"{_PHRASE}", MetLimit(False, None)),
    (429, 5, f"{_PHRASE}[1700:{_PHRASE}. API ID=ka10001]", MetLimit(False, None)),
    (429, 5, f"{_PHRASE}[1700:{_PHRASE}. 유량=au10001, API ID={{1}}]", MetLimit(False, None)),
    (429, 5, f"{_PHRASE}[1700:{_PHRASE}. 유량=0, API ID=ka10001]", MetLimit(False, None)),
    (429, 5, f"{_PHRASE}[1700:{_PHRASE}. 유량=5000000000, API ID=ka10001]", MetLimit(False, None)),
    (429, 5, f"{_PHRASE}[1700:{_PHRASE}. 유량 = 2.5, API ID=ka10001]", MetLimit(False, 2.5)),
    (429, 5, f"{_PHRASE}[1701:허용된 전체 요청 개수를 초과하였습니다. 총유량=20]", MetLimit(True, 20.0)),
    (429, 5, f"{_PHRASE}[1702:허용된 그룹 요청 개수를 초과하였습니다]", MetLimit(True, None)),
    (200, 5, f"{_PHRASE}[1634:{_PHRASE}. 유량=5, API ID=ka10095]", None),
    (200, 0, "유량=5 [1700:유량=5]", None),
    (200, 20, "[2000](855056:매수증거금이 부족합니다. 유량=5)", None),
]


@pytest.mark.parametrize(("status", "return_code", "message", "limit"), ANSWERS)
def test_stated_limit(status: int, return_code: object, message: str, limit: MetLimit | None) -> None:
    """Only the codes of a limit count, and only a number that is one."""
    content = json.dumps({"return_code": return_code, "return_msg": message}).encode()
    assert read_limit(Answer(status, {}, content), "ka10081") == limit


@pytest.mark.parametrize("content", [b"", b"<html>[1700:", b"[1700]", b'{"return_msg": "[1700:"}', b"\xff"])
def test_anything_else_is_no_limit(content: bytes) -> None:
    """A page of a firewall teaches nothing."""
    assert read_limit(Answer(429, {}, content), "ka10081") is None
