"""The token: one issue for all, one re-issue for a storm of refusals, and nothing secret in any text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from attrs import evolve

from kiwoom_async._domain.settings import Credentials, Timing
from kiwoom_async._domain.sharing import SharedStateUnusable, Token, TokenRecord
from kiwoom_async._transport.session import RestSession
from kiwoom_async._transport.tokens import COOL_DOWN, COOL_DOWN_AT_MOST, RENEW_AGAIN, TokenKeeper
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


async def next_token(keeper: TokenKeeper, old: Token) -> Token:
    """Wait until the keeper gives another token than the old one."""
    while (token := await keeper.get()) is old:  # noqa: ASYNC110 - the keeper tells nobody of a renewal
        await asyncio.sleep(0)
    return token


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
    assert (await next_token(keeper, first)).value == "secret-token-2"
    assert broker.issued == 2


async def test_slow_renewal_holds_nobody_up(clock: Clock) -> None:
    """The old token serves at once while one new one is on its way; near its end the new one is waited for."""
    broker, release, entered = Broker(clock), asyncio.Event(), asyncio.Event()
    keeper = keeper_of(broker)
    first = await keeper.get()

    async def gate() -> None:
        entered.set()
        await release.wait()

    broker.gate = gate
    clock.passed = 24 * 3600 - 599
    assert await asyncio.gather(*(keeper.get() for _ in range(5))) == [first] * 5
    await entered.wait()
    assert await keeper.get() is first
    clock.passed = 24 * 3600 - 1
    waiter = asyncio.create_task(keeper.get())
    await asyncio.sleep(0)
    assert not waiter.done()
    release.set()
    assert (await waiter).value == "secret-token-2"
    assert len(broker.calls) == 2


async def test_token_refused_during_its_renewal_is_no_setback(clock: Clock) -> None:
    """Kiwoom may end the old token when it issues the new one: who was refused waits for that one, and only for it."""
    broker, release, entered = Broker(clock), asyncio.Event(), asyncio.Event()
    keeper = keeper_of(broker)
    first = await keeper.get()

    async def gate() -> None:
        entered.set()
        await release.wait()

    broker.gate = gate
    clock.passed = 24 * 3600 - 300
    await keeper.get()
    await entered.wait()
    keeper.reject(first)
    waiter = asyncio.create_task(keeper.get())
    await asyncio.sleep(0)
    release.set()
    second = await waiter
    assert second.value == "secret-token-2"
    clock.passed += COOL_DOWN
    keeper.reject(second)
    await keeper.get()
    assert clock.slept == [pytest.approx(COOL_DOWN)]  # after one setback, not two


async def test_failed_renewal_keeps_the_valid_token(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An outage in the last ten minutes hurts nobody, is told, and nobody waits for the next attempt."""
    broker = Broker(clock)
    keeper = keeper_of(broker)
    first = await keeper.get()
    broker.reply = lambda: httpx.Response(503, text="<html>")
    clock.passed = 24 * 3600 - 300
    while not caplog.records:
        assert await keeper.get() is first
        await asyncio.sleep(0)
    assert "could not be renewed" in caplog.text
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
    with pytest.raises(NotSent, match="closed"):
        await waiter
    with pytest.raises(NotSent, match="closed"):
        await keeper.get()


async def test_cancelled_waiter_is_cancelled_although_the_keeper_closes(clock: Clock) -> None:
    """Only a task that nobody cancels hears of the close."""
    broker, entered = Broker(clock), asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    broker.gate = hang
    keeper = keeper_of(broker)
    waiter = asyncio.create_task(keeper.get())
    await entered.wait()
    waiter.cancel()
    await keeper.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_close_ends_a_renewal_that_nobody_waits_for(clock: Clock) -> None:
    """No task is left behind, and the token is given still."""
    broker, entered = Broker(clock), asyncio.Event()
    keeper = keeper_of(broker)
    first = await keeper.get()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    broker.gate = hang
    clock.passed = 24 * 3600 - 300
    await keeper.get()
    await entered.wait()
    await keeper.aclose()
    assert await keeper.get() is first
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Store:
    """A store of several processes; `is_broken` makes it unusable."""

    def __init__(self) -> None:
        self.record = TokenRecord()
        self.lock = asyncio.Lock()
        self.is_broken = False

    def _touch(self) -> None:
        if self.is_broken:
            raise SharedStateUnusable

    async def load(self) -> TokenRecord:
        """Read."""
        await asyncio.sleep(0)
        self._touch()
        return self.record

    async def save(self, record: TokenRecord) -> None:
        """Write."""
        await asyncio.sleep(0)
        self._touch()
        self.record = record

    async def forget(self, token: Token) -> None:
        """Remove."""
        self._touch()
        if self.record.token == token:
            self.record = evolve(self.record, token=None)

    @asynccontextmanager
    async def issuing(self) -> AsyncIterator[None]:
        """Be alone."""
        self._touch()
        async with self.lock:
            yield


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


async def test_processes_that_start_together_issue_once(clock: Clock) -> None:
    """Whoever waited for the lock reads again before it asks."""
    broker, store = Broker(clock), Store()
    tokens = await asyncio.gather(*(keeper_of(broker, store=store).get() for _ in range(5)))
    assert {token.value for token in tokens} == {"secret-token-1"}
    assert broker.issued == 1


async def test_processes_whose_token_died_together_renew_once(clock: Clock) -> None:
    """The first one renews; the others find a newer token than the refused one."""
    broker, store = Broker(clock), Store()
    keepers = [keeper_of(broker, store=store) for _ in range(3)]
    tokens = [await keeper.get() for keeper in keepers]
    clock.passed += 3600
    for keeper, token in zip(keepers, tokens, strict=True):
        keeper.reject(token)
    again = await asyncio.gather(*(keeper.get() for keeper in keepers))
    assert {token.value for token in again} == {"secret-token-2"}
    assert broker.issued == 2
    assert clock.slept == []


async def test_failed_issue_slows_the_other_processes_down(clock: Clock) -> None:
    """What one process has met, the others need not meet at once."""
    broker, store = Broker(clock), Store()
    broker.reply = lambda: broker.say(5, "초과[1700:유량=au10001]")
    with pytest.raises(NotSent):
        await keeper_of(broker, store=store).get()
    broker.reply = broker.issue
    assert (await keeper_of(broker, store=store).get()).value == "secret-token-1"
    assert clock.slept == [COOL_DOWN * 2]


async def test_same_token_again_is_not_asked_for_all_the_time(clock: Clock) -> None:
    """Kiwoom may give the old token back while it is valid: that is an answer for a minute, for every process."""
    broker, store = Broker(clock), Store()
    keeper = keeper_of(broker, store=store)
    first = await keeper.get()
    end = first.expires_at.strftime("%Y%m%d%H%M%S")
    broker.reply = lambda: broker.say(0, "ok", token=first.value, expires_dt=end)
    clock.passed = 24 * 3600 - 300
    for _ in range(5):
        assert (await keeper.get()).value == first.value
        assert (await keeper_of(broker, store=store).get()).value == first.value
        clock.passed += 5
    assert len(broker.calls) == 2
    clock.passed += RENEW_AGAIN
    while len(broker.calls) < 3:
        await keeper.get()
        await asyncio.sleep(0)


async def test_revoked_token_is_gone_for_every_process(clock: Clock) -> None:
    """The next one that opens asks for a new one."""
    broker, store = Broker(clock), Store()
    keeper = keeper_of(broker, store=store)
    await keeper.get()
    broker.reply = lambda: broker.say(0, "정상")
    assert await keeper.revoke()
    assert store.record.token is None
    broker.reply = broker.issue
    assert (await keeper_of(broker, store=store).get()).value == "secret-token-2"


async def test_unusable_store_is_gone_without(clock: Clock) -> None:
    """A token of one's own, kept, renewed and revoked."""
    broker, store = Broker(clock), Store()
    store.is_broken = True
    keeper = keeper_of(broker, store=store)
    token = await keeper.get()
    assert await keeper.get() is token
    keeper.reject(token)
    assert (await keeper.get()).value == "secret-token-2"
    broker.reply = lambda: broker.say(0, "정상")
    assert await keeper.revoke()


async def test_old_token_of_an_address_on_this_machine_is_not_adopted(clock: Clock) -> None:
    """Another simulator may have got the port; but a token of a minute ago is that of our sister process."""
    broker, store = Broker(clock), Store()
    await keeper_of(broker, store=store).get()
    clock.passed += 50
    assert (await keeper_of(broker, store=store, adopts_within=60).get()).value == "secret-token-1"
    clock.passed += 50
    assert (await keeper_of(broker, store=store, adopts_within=60).get()).value == "secret-token-2"
    assert (await keeper_of(broker, store=store).get()).value == "secret-token-2"


async def test_process_that_is_cancelled_while_it_issues_lets_go(clock: Clock) -> None:
    """Its lock is free for the next one."""
    broker, store = Broker(clock), Store()
    entered = asyncio.Event()

    async def hang() -> None:
        entered.set()
        await asyncio.Event().wait()

    broker.gate = hang
    keeper = keeper_of(broker, store=store)
    waiter = asyncio.create_task(keeper.get())
    await entered.wait()
    await keeper.aclose()
    with pytest.raises(NotSent, match="closed"):
        await waiter
    broker.gate = None
    assert (await keeper_of(broker, store=store).get()).value == "secret-token-1"
