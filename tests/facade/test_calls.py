"""Any TR by name: found, paged, refused where it would be an order, and silent about what it carried."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import respx

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._calls import Calls
from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.settings import Credentials, Environment, Limits, Timing
from kiwoom_async._transport.gateway import Gateway
from kiwoom_async._transport.limiter import Limiter
from kiwoom_async._transport.session import RestSession
from kiwoom_async._transport.tokens import TokenKeeper
from kiwoom_async.errors import (
    AuthenticationError,
    InvalidRequest,
    QueryFailed,
    RateLimited,
    ValidationError,
)
from kiwoom_async.simulator import EmptyList, Fault, FaultKind, Simulator
from tests.transport.clocks import Clock

URL = "https://mockapi.kiwoom.com"
CREDENTIALS = Credentials(app_key="app-key-nobody-may-see", secret_key="secret-nobody-may-see")
LEDGER = {
    "ord_dt": "",
    "qry_tp": "1",
    "stk_bond_tp": "0",
    "sell_tp": "0",
    "stk_cd": "",
    "fr_ord_no": "",
    "dmst_stex_tp": "%",
}
OPEN = {"all_stk_tp": "0", "trde_tp": "0", "stk_cd": "", "stex_tp": "0"}
CHART = {"stk_cd": "005930", "base_dt": "20261102", "upd_stkpc_tp": "1"}


@asynccontextmanager
async def calling(
    environment: Environment,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    limits: Limits | None = None,
    ambient: Ambient | None = None,
) -> AsyncIterator[Calls]:
    """Make a caller of an environment."""
    clock, timing = ambient or SystemAmbient(), Timing(response_timeout=20)
    async with RestSession(environment.rest_url, transport) as session:
        tokens = TokenKeeper(session, CREDENTIALS, clock, timing)
        limiter = Limiter(limits or Limits.off(), clock)
        yield Calls(Gateway(session, tokens, limiter, timing, clock, idempotency_header=None))
        await tokens.aclose()


class Kiwoom:
    """A router that issues tokens and answers one path with a list of answers."""

    def __init__(self, path: str, *answers: httpx.Response) -> None:
        self.router = respx.MockRouter(assert_all_called=False)
        token = {"return_code": 0, "return_msg": "", "token": "a-token", "expires_dt": "20991231235959"}
        self.router.post(f"{URL}/oauth2/token").respond(200, json=token)
        self.route = self.router.post(f"{URL}{path}").mock(side_effect=list(answers))

    def calling(self, **settings: Any) -> Any:
        """Make a caller of this router."""
        return calling(Environment.MOCK, httpx.MockTransport(self.router.async_handler), **settings)

    @property
    def asked(self) -> list[httpx.Request]:
        """What was asked on the path."""
        return [call.request for call in self.route.calls]


def page(*rows: str, next_key: str = "", **changes: Any) -> httpx.Response:
    """Answer one page of a chart."""
    body = {"rows": list(rows), "return_code": 0, "return_msg": "정상적으로 처리되었습니다"}
    return httpx.Response(200, json=body | changes, headers={"cont-yn": "Y" if next_key else "N", "next-key": next_key})


def place(broker: Simulator, count: int) -> list[str]:
    """Put orders on the book."""
    return [
        broker.place_foreign(symbol="005930", side="buy", quantity=1, price=60_000).broker_order_id
        for _ in range(count)
    ]


async def test_a_call_gives_the_first_page_as_it_came() -> None:
    """The body with all its fields, `return_code` too; more pages are left where they are."""
    async with Simulator(page_size=2) as broker, calling(broker.environment) as calls:
        placed = place(broker, 3)
        answer = await calls.call("kt00007", LEDGER)
        assert [row["ord_no"] for row in answer["acnt_ord_cntr_prps_dtl"]] == placed[:2]
        assert answer["return_code"] == 0
        assert await calls.call("ka00001") == {
            "acctNo": broker.account,
            "return_code": 0,
            "return_msg": "정상적으로 처리되었습니다",
        }
        assert broker.count("kt00007") == 1


async def test_pages_are_read_to_the_end() -> None:
    """Each page once, with a report of progress before it."""
    async with Simulator(page_size=2) as broker, calling(broker.environment) as calls:
        placed = place(broker, 5)
        seen: list[str] = []
        progress: list[int] = []
        async for answer in calls.pages("kt00007", LEDGER, progress=progress.append):
            seen += [row["ord_no"] for row in answer["acnt_ord_cntr_prps_dtl"]]
            assert len(seen) <= progress[-1] * 2
        assert seen == placed
        assert progress == [1, 2, 3]
        assert broker.count("kt00007") == 3


@pytest.mark.parametrize(("limit", "asked"), [(1, 1), (2, 2), (9, 3)])
async def test_a_limit_ends_the_pages(limit: int, asked: int) -> None:
    """No page is asked that nobody wants."""
    async with Simulator(page_size=2) as broker, calling(broker.environment) as calls:
        place(broker, 5)
        assert len([answer async for answer in calls.pages("kt00007", LEDGER, limit=limit)]) == asked
        assert broker.count("kt00007") == asked


async def test_whoever_leaves_early_asks_no_more() -> None:
    """A page is asked when the one before has been dealt with."""
    async with Simulator(page_size=1) as broker, calling(broker.environment) as calls:
        place(broker, 5)
        async with aclosing(calls.pages("kt00007", LEDGER)) as pages:
            async for _ in pages:
                break
        assert broker.count("kt00007") == 1


@pytest.mark.parametrize("api_id", ["kt10000", "kt10002", "kt10009", "kt50000", "kt50003", "au10001", "00", "ka1000"])
@pytest.mark.parametrize("path", [None, "/api/dostk/acnt"])
async def test_what_is_no_query_sends_nothing(api_id: str, path: str | None) -> None:
    """No order goes past the journal: not a byte leaves, not even for a token."""
    order = {"dmst_stex_tp": "KRX", "stk_cd": "005930", "ord_qty": "1", "ord_uv": "", "trde_tp": "3"}
    async with Simulator() as broker, calling(broker.environment) as calls:
        if api_id != "ka1000" or path is None:
            with pytest.raises(ValidationError, match="api_id"):
                await calls.call(api_id, order, path=path)
            with pytest.raises(ValidationError, match="api_id"):
                calls.pages(api_id, order, path=path)
        with pytest.raises(ValidationError, match="path"):
            await calls.call("ka10001", order, path="/api/dostk/ordr")
        assert not broker.requests
        assert not broker.all_orders


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "many"])
async def test_a_limit_is_a_count(limit: Any) -> None:
    """Nonsense is found at once, before anything is sent."""
    async with Simulator() as broker, calling(broker.environment) as calls:
        with pytest.raises(ValidationError, match="limit"):
            calls.pages("kt00007", LEDGER, limit=limit)
        assert not broker.requests


async def test_a_tr_that_kiwoom_does_not_know_is_an_invalid_request() -> None:
    """With a path of one's own the broker is the judge."""
    async with Simulator() as broker, calling(broker.environment) as calls:
        with pytest.raises(InvalidRequest) as caught:
            await calls.call("ka99999", {}, path="/api/dostk/acnt")
        assert caught.value.api_id == "ka99999"
        assert caught.value.code == "1505"
        with pytest.raises(InvalidRequest, match="1504"):
            await calls.call("ka10075", OPEN, path="/api/dostk/stkinfo")


async def test_a_refused_token_is_renewed_once() -> None:
    """A query is asked again with a new token, as all queries are."""
    async with Simulator() as broker, calling(broker.environment) as calls:
        await calls.call("ka00001")
        broker.expire_token()
        assert (await calls.call("ka00001"))["return_code"] == 0
        assert broker.tokens_issued == 2


@pytest.mark.parametrize(
    "kind", [FaultKind.QUERY_ERROR, FaultKind.QUERY_SERVER_ERROR, FaultKind.QUERY_DROP, FaultKind.CONT_WITHOUT_KEY]
)
async def test_a_failed_query_is_never_an_empty_answer(kind: FaultKind) -> None:
    """A refusal without an error of its own, a page of HTML, a lost connection, a cursor that is missing."""
    async with Simulator(faults=[Fault(kind)]) as broker, calling(broker.environment) as calls:
        with pytest.raises(QueryFailed):
            await calls.call("ka10075", OPEN)


async def test_a_page_that_fails_ends_the_pages() -> None:
    """What came before was given, and the failure says that it was not the whole."""
    faults = [Fault(FaultKind.PAGE_FAILS, page=2)]
    async with Simulator(page_size=2, faults=faults) as broker, calling(broker.environment) as calls:
        place(broker, 5)
        progress: list[int] = []
        with pytest.raises(QueryFailed):
            async for _ in calls.pages("kt00007", LEDGER, progress=progress.append):
                pass
        assert progress == [1]


async def test_nothing_by_an_error_is_an_empty_body() -> None:
    """Where Kiwoom says by a code that there is nothing, there is nothing: an empty mapping, one page."""
    async with Simulator(empty_list=EmptyList.ERROR) as broker, calling(broker.environment) as calls:
        assert await calls.call("ka10075", OPEN) == {}
        assert [answer async for answer in calls.pages("ka10075", OPEN)] == [{}]


async def test_cancellation_gives_the_query_up() -> None:
    """A call and a page can be abandoned; the caller goes on with the same client."""
    broker = Kiwoom("/api/dostk/chart")
    is_asked, hang = asyncio.Event(), asyncio.Event()

    async def wait(request: httpx.Request) -> httpx.Response:
        if request.headers["next-key"]:
            is_asked.set()
            await hang.wait()
        return page("1", next_key="k")

    broker.route.mock(side_effect=wait)
    async with broker.calling() as calls:

        async def read() -> None:
            async for _ in calls.pages("ka10081", CHART):
                pass

        reading = asyncio.create_task(read())
        await is_asked.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (await calls.call("ka10081", CHART))["rows"] == ["1"]


async def test_pages_repeat_the_body_and_carry_the_cursor() -> None:
    """Path by id, `api-id` and cursor in the headers, the same body every time."""
    broker = Kiwoom("/api/dostk/chart", page("1", next_key="a b"), page("2", next_key="c"), page("3"))
    body = dict(CHART)
    async with broker.calling() as calls:
        rows = []
        async for answer in calls.pages("ka10081", body):
            rows += answer["rows"]
            body["stk_cd"] = "000660"
    assert rows == ["1", "2", "3"]
    cursors = [(request.headers["cont-yn"], request.headers["next-key"]) for request in broker.asked]
    assert cursors == [("N", ""), ("Y", "a b"), ("Y", "c")]
    assert all(request.headers["api-id"] == "ka10081" for request in broker.asked)
    assert all(request.headers["authorization"] == "Bearer a-token" for request in broker.asked)
    assert all(json.loads(request.content) == CHART for request in broker.asked)


async def test_a_cursor_that_comes_twice_ends_in_an_error() -> None:
    """A list that never ends is no list."""
    broker = Kiwoom("/api/dostk/chart", page("1", next_key="a"), page("2", next_key="a"))
    async with broker.calling() as calls:
        with pytest.raises(QueryFailed, match="twice"):
            async for _ in calls.pages("ka10081", CHART):
                pass
    assert len(broker.asked) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (page(return_code=2, return_msg="입력 값 오류입니다[1511:필수 입력 값 stk_cd]"), InvalidRequest),
        (page(return_code=5, return_msg="허용된 요청 개수를 초과하였습니다[1700:유량=5, API ID=ka10081]"), RateLimited),
        (page(return_code=3, return_msg="인증에 실패했습니다[8050:지정단말기]"), AuthenticationError),
        (page(return_code=20, return_msg="[2000](RC9000:모의투자에서는 제공하지 않습니다)"), QueryFailed),
        (page(return_code=1, return_msg="실패"), QueryFailed),
        (httpx.Response(200, json=[]), QueryFailed),
        (httpx.Response(307, headers={"location": "/elsewhere"}), QueryFailed),
    ],
    ids=["field", "rate", "device", "mock", "other", "list", "redirect"],
)
async def test_a_refusal_is_the_error_that_queries_have(answer: httpx.Response, error: type[Exception]) -> None:
    """Asked once, and told by the same errors as any query."""
    broker = Kiwoom("/api/dostk/chart", answer)
    async with broker.calling() as calls:
        with pytest.raises(error):
            await calls.call("ka10081", CHART)
    assert len(broker.asked) == 1


async def test_pages_wait_for_the_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page takes a slot of its TR."""
    clock = Clock()
    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    broker = Kiwoom("/api/dostk/chart", page("1", next_key="a"), page("2", next_key="b"), page("3"))
    async with broker.calling(limits=Limits(per_tr_per_second=1.0), ambient=clock) as calls:
        assert len([answer async for answer in calls.pages("ka10081", CHART)]) == 3
    assert clock.passed >= 2


async def test_neither_body_nor_answer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Raw queries carry account numbers; none reaches a log line or an error."""
    caplog.set_level(logging.DEBUG)
    broker = Kiwoom("/api/dostk/acnt", page("answer-nobody-may-see"), httpx.Response(200, text="answer-nobody-may-see"))
    async with broker.calling() as calls:
        await calls.call("kt00018", {"qry_tp": "body-nobody-may-see"})
        with pytest.raises(QueryFailed) as failed:
            await calls.call("kt00018", {"qry_tp": "body-nobody-may-see"})
        with pytest.raises(ValidationError) as wrong:
            await calls.call("kt00018", {"qry_tp": ["body-nobody-may-see"]})
    said = f"{caplog.text} {failed.value!r} {wrong.value!r} {calls!r}"
    assert "nobody-may-see" not in said
    assert "a-token" not in said
