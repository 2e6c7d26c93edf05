"""The token: one issue for all, one re-issue for a storm of refusals, and nothing secret in any text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest

from kiwoom_async._domain.settings import Credentials, Timing
from kiwoom_async._transport.session import RestSession
from kiwoom_async._transport.tokens import COOL_DOWN, COOL_DOWN_AT_MOST, Token, TokenKeeper
from kiwoom_async.errors import AuthenticationError, NotSent
from tests.transport.clocks import START, Clock

CREDENTIALS = Credentials(app_key="the-app-key", secret_key="the-secret-key")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace time."""
    clock = Clock()
    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    return clock


class Broker:
    """Issue tokens, or do what the test says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.issued = 0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.reply: Callable[[], httpx.Response] = self.issue
        self.gate: Callable[[], Awaitable[object]] | None = None

    def issue(self) -> httpx.Response:
        """Issue the next token for 24 hours."""
        self.issued += 1
        expires = self.clock.now() + timedelta(hours=24)
        return self.say(0, "ok", token=f"secret-token-{self.issued}", expires_dt=expires.strftime("%Y%m%d%H%M%S"))

    def say(self, return_code: object, message: str, **fields: str) -> httpx.Response:
        """Answer in Kiwoom's form."""
        return httpx.Response(200, json={"return_code": return_code, "return_msg": message, **fields})

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Note the call and answer it."""
        self.calls.append((request.url.path, json.loads(request.content)))
        if self.gate is not None:
            await self.gate()
        return self.reply()


def keeper_of(broker: Broker, **options: Any) -> TokenKeeper:
    """Make a keeper that talks to the broker."""
    session = RestSession("https://mockapi.kiwoom.com", httpx.MockTransport(broker.handle))
    return TokenKeeper(session, CREDENTIALS, broker.clock, Timing(), **options)


async def test_token_is_issued_and_kept(clock: Clock) -> None:
    """One request, the documented body, Korean time, and no token in a repr."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    token = await keeper.get()
    assert await keeper.get() is token
    assert broker.calls == [
        (
            "/oauth2/token",
            {
                "grant_type": "client_credentials",
                "appkey": "the-app-key",
                "secretkey": "the-secret-key",
            },
        )
    ]
    assert token.authorization == "Bearer secret-token-1"
    assert token.expires_at == START + timedelta(hours=24)
    assert "secret" not in repr(token)
    assert "secret" not in repr(keeper)


async def test_concurrent_waiters_share_one_issue(clock: Clock) -> None:
    """Fifty runners at start-up are one au10001."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    tokens = await asyncio.gather(*(keeper.get() for _ in range(50)))
    assert broker.issued == 1
    assert len({token.value for token in tokens}) == 1


async def test_cancelled_waiter_does_not_cancel_the_issue_of_others(clock: Clock) -> None:
    """Also the one who caused the issue may go away."""
    broker, release, entered = Broker(clock), asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        entered.set()
        await release.wait()

    broker.gate = gate
    keeper = keeper_of(broker)
    first = asyncio.create_task(keeper.get())
    await entered.wait()
    second = asyncio.create_task(keeper.get())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    release.set()
    assert (await second).value == "secret-token-1"
    assert broker.issued == 1


async def test_storm_of_refusals_causes_one_new_issue(clock: Clock) -> None:
    """Many requests get 8005 for the same token; it is dropped once."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    old = await keeper.get()
    clock.passed += 3600

    async def refused() -> Token:
        keeper.reject(old)
        return await keeper.get()

    tokens = await asyncio.gather(*(refused() for _ in range(30)))
    keeper.reject(old)
    assert (await keeper.get()).value == "secret-token-2"
    assert {token.value for token in tokens} == {"secret-token-2"}
    assert broker.issued == 2
    assert clock.slept == []


async def test_permanent_refusal_slows_down(clock: Clock) -> None:
    """A token that is refused right after its issue, again and again, does not flood Kiwoom."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    for _ in range(6):
        keeper.reject(await keeper.get())
    assert clock.slept == [2.2, 4.4, 8.8, COOL_DOWN_AT_MOST, COOL_DOWN_AT_MOST]


async def test_token_is_renewed_ten_minutes_before_its_end(clock: Clock) -> None:
    """The old one serves until 600 s before the end."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    clock.passed = 0.0
    first = await keeper.get()
    clock.passed = 24 * 3600 - 601
    assert await keeper.get() is first
    clock.passed = 24 * 3600 - 600
    assert (await keeper.get()).value == "secret-token-2"


async def test_failed_renewal_keeps_the_valid_token(clock: Clock) -> None:
    """An outage in the last ten minutes hurts nobody, and nobody waits for the next attempt."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    first = await keeper.get()
    broker.reply = lambda: httpx.Response(503, text="<html>")
    clock.passed = 24 * 3600 - 300
    assert await keeper.get() is first
    assert await keeper.get() is first
    assert len(broker.calls) == 2
    assert clock.slept == []
    clock.passed = 24 * 3600 + 1
    with pytest.raises(NotSent):
        await keeper.get()


@pytest.mark.parametrize(
    ("code", "return_code"),
    [("8001", 3), ("8050", 3), ("8030", 2), ("8005", "3")],
)
async def test_refused_issue_tells_the_code(clock: Clock, code: str, return_code: object) -> None:
    """Kiwoom's code comes out of its message, and no key does."""
    broker = Broker(clock)
    broker.reply = lambda: broker.say(return_code, f"인증에 실패했습니다[{code}:the-app-key the-secret-key]")
    keeper = keeper_of(broker)
    with pytest.raises(AuthenticationError) as caught:
        await keeper.get()
    assert caught.value.code == code
    assert "the-app-key" not in str(caught.value) + caught.value.message
    assert "the-secret-key" not in str(caught.value) + caught.value.message


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(502, text="<html>secret-token</html>"),
        httpx.Response(200, text="secret-token"),
        httpx.Response(200, text='{"secret-token":' + "[" * 100_000),
        httpx.Response(200, json=["secret-token"]),
        httpx.Response(200, json={"return_code": 0, "expires_dt": "20261103090000"}),
        httpx.Response(200, json={"return_code": 0, "token": "secret-token", "expires_dt": "soon"}),
        httpx.Response(200, json={"return_code": 0, "token": "secret\ntoken", "expires_dt": "20261103090000"}),
        httpx.Response(200, json={"return_code": 0, "token": "secret-token", "expires_dt": "20260101000000"}),
        httpx.Response(429, json={"return_code": 5, "return_msg": "초과[1700:유량=au10001]"}),
        httpx.Response(200, json={"return_code": 5, "return_msg": "초과[1700:유량=au10001]"}),
        httpx.Response(200, json={"return_code": 1, "return_msg": "[1999:예기치 못한 에러]"}),
        httpx.Response(500, json={"return_code": 3, "return_msg": "[8005:]"}),
        httpx.Response(307, headers={"Location": "https://elsewhere.invalid/"}),
    ],
)
async def test_unusable_answer_is_not_sent(clock: Clock, response: httpx.Response) -> None:
    """Without a token no order has left, and the text quotes nothing secret."""
    broker = Broker(clock)
    broker.reply = lambda: response
    with pytest.raises(NotSent) as caught:
        await keeper_of(broker).get()
    assert caught.value.api_id == "au10001"
    assert "secret" not in str(caught.value)
    assert len(broker.calls) == 1


async def test_network_failure_is_not_sent_and_cools_down(clock: Clock) -> None:
    """One attempt per call; the next one waits, and each waiter has an error of its own."""
    broker = Broker(clock)

    def fail() -> httpx.Response:
        raise httpx.ConnectError("refused")

    broker.reply = fail
    keeper = keeper_of(broker)
    errors = await asyncio.gather(keeper.get(), keeper.get(), return_exceptions=True)
    assert all(isinstance(error, NotSent) for error in errors)
    assert errors[0] is not errors[1]
    assert len(broker.calls) == 1
    broker.reply = broker.issue
    assert (await keeper.get()).value == "secret-token-1"
    assert clock.slept == [COOL_DOWN * 2]


async def test_deadline_ends_the_wait_and_not_the_issue(clock: Clock) -> None:
    """Who cannot wait is told so; the token still comes for the next one."""
    broker, release = Broker(clock), asyncio.Event()
    broker.gate = release.wait
    keeper = keeper_of(broker)
    with pytest.raises(NotSent, match="deadline"):
        await keeper.get(deadline=clock.monotonic() + 0.01)
    release.set()
    assert (await keeper.get()).value == "secret-token-1"
    assert broker.issued == 1


async def test_revoke_gives_the_token_back(clock: Clock) -> None:
    """au10002 with the token; afterwards there is none."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    assert not await keeper.revoke()
    await keeper.get()
    broker.reply = lambda: broker.say(0, "정상")
    assert await keeper.revoke()
    assert broker.calls[-1][0] == "/oauth2/revoke"
    assert broker.calls[-1][1]["token"] == "secret-token-1"
    assert not await keeper.revoke()


async def test_close_ends_an_issue_under_way(clock: Clock) -> None:
    """Nothing of the keeper outlives it."""
    broker = Broker(clock)
    broker.gate = asyncio.Event().wait
    keeper = keeper_of(broker)
    waiter = asyncio.create_task(keeper.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await keeper.aclose()
    await keeper.aclose()
    with pytest.raises((NotSent, asyncio.CancelledError)):
        await waiter


class Store:
    """A store of two processes."""

    token: Token | None = None

    async def load(self) -> Token | None:
        """Read."""
        return self.token

    async def save(self, token: Token) -> None:
        """Write."""
        self.token = token


async def test_shared_token_is_used_before_another_is_issued(clock: Clock) -> None:
    """A second token may end the first one's life, so that a second process takes the first one's."""
    broker, store = Broker(clock), Store()
    one, other = keeper_of(broker, store=store), keeper_of(broker, store=store)
    token = await one.get()
    assert (await other.get()).value == token.value
    assert broker.issued == 1
    clock.passed += 3600
    one.reject(token)
    fresh = await one.get()
    other.reject(token)
    assert (await other.get()).value == fresh.value
    assert broker.issued == 2
