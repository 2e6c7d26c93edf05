"""The gateway: tokens, limits, fields, and the refusals of the order host."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kiwoom_async._domain.settings import Credentials, Limits
from kiwoom_async.simulator import Flavour, Funds, Hours, RateLimitStyle, Simulator, TokenPolicy
from tests.simulator.callers import (
    AGENT,
    GOLD,
    LEDGER,
    OPEN,
    Clock,
    calling,
    cancel_body,
    gold_body,
    modify_body,
    order_body,
)


def code_of(answer: dict[str, Any]) -> str:
    """Read the code out of a refusal of either layer."""
    text = str(answer["return_msg"])
    opening = "(" if text.startswith("[2000]") else "["
    return text.split(opening, 1)[1].split(":", 1)[0]


async def test_token_lives_a_day_in_korean_time() -> None:
    """`expires_dt` is 24 h later, without a zone; after that 8005."""
    clock = Clock()
    async with Simulator(ambient=clock) as broker, calling(broker, login=False) as caller:
        answer = (await caller.login()).json()
        assert (answer["token_type"], answer["expires_dt"]) == ("bearer", "20261103100000")
        clock.move(24 * 3600 - 1)
        assert (await caller.call("ka00001", {}))["return_code"] == 0
        clock.move(1)
        refused = await caller.post("ka00001", {})
    assert (refused.status_code, refused.json()["return_code"], code_of(refused.json())) == (200, 3, "8005")


@pytest.mark.parametrize(("policy", "code"), [(TokenPolicy.SAME, 0), (TokenPolicy.INVALIDATES, 3)])
async def test_second_issue_follows_the_policy(policy: TokenPolicy, code: int) -> None:
    """Either the same token comes back, or the first one dies."""
    async with Simulator(token_policy=policy) as broker, calling(broker) as caller:
        first = caller.token
        await caller.login()
        assert (caller.token == first) is (policy is TokenPolicy.SAME)
        caller.token = first
        assert (await caller.call("ka00001", {}))["return_code"] == code
    assert broker.tokens_issued == (1 if policy is TokenPolicy.SAME else 2)


async def test_expired_and_revoked_tokens_are_refused() -> None:
    """`expire_token` and au10002 both end in 8005; a new token works, with the same policy too."""
    async with Simulator() as broker, calling(broker) as caller:
        old = caller.token
        broker.expire_token()
        assert code_of(await caller.call("ka00001", {})) == "8005"
        await caller.login()
        assert caller.token != old
        assert (await caller.call("ka00001", {}))["return_code"] == 0
        body = {"appkey": "key", "secretkey": "secret", "token": caller.token}
        assert (await caller.http.post("/oauth2/revoke", json=body)).json()["return_code"] == 0
        assert code_of(await caller.call("ka00001", {})) == "8005"


async def test_unknown_keys_get_no_token() -> None:
    """With configured credentials only those pass."""
    keys = Credentials("right", "secret")
    async with Simulator(credentials=keys) as broker, calling(broker, login=False) as caller:
        assert code_of((await caller.login("wrong")).json()) == "8001"
        assert (await caller.login("right")).json()["return_code"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"grant_type": "client_credentials", "appkey": "a"}, "1511"),
        ({"grant_type": "password", "appkey": "a", "secretkey": "b"}, "1517"),
    ],
)
async def test_malformed_token_requests(body: dict[str, str], code: str) -> None:
    """The token TR checks its fields."""
    async with Simulator() as broker, calling(broker, login=False) as caller:
        assert code_of((await caller.http.post("/oauth2/token", json=body)).json()) == code


@pytest.mark.parametrize(
    ("agent", "status"),
    [
        ("Python/3.11 aiohttp/3.14.5", 400),
        ("python-httpx/0.28.1", 400),
        ("python-requests/2.32", 200),
        ("kiwoom-async/0.1 aiohttp", 200),
    ],
)
async def test_firewall_blocks_default_agents(agent: str, status: int) -> None:
    """An HTML page with status 400, and nothing reaches the gateway; the simulator can switch it off."""
    async with Simulator() as broker, calling(broker) as caller:
        answer = await caller.post("ka00001", {}, user_agent=agent)
    assert answer.status_code == status
    assert ("Request Blocked" in answer.text) is (status == 400)
    async with Simulator(accept_any_user_agent=True) as broker, calling(broker) as caller:
        assert (await caller.post("ka00001", {}, user_agent=agent)).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "body", "code"),
    [
        ("/api/dostk/acnt", {}, {}, "1501"),
        ("/api/dostk/acnt", {"api-id": "kt99999"}, {}, "1505"),
        ("/api/dostk/acnt", {"api-id": "kt10000"}, order_body(), "1504"),
        ("/api/dostk/ordr", {"api-id": "kt10000", "authorization": ""}, order_body(), "1513"),
        ("/api/dostk/ordr", {"api-id": "kt10000", "authorization": "Bearer no"}, order_body(), "8005"),
        ("/api/dostk/ordr", {"api-id": "kt10000"}, order_body(stk_cd=""), "1511"),
        ("/api/dostk/ordr", {"api-id": "kt10000"}, order_body(stk_cd="A005930"), "1517"),
        ("/api/dostk/ordr", {"api-id": "kt10000"}, order_body(ord_qty="ten"), "1517"),
        ("/api/dostk/ordr", {"api-id": "kt10000"}, order_body(ord_qty="0"), "1517"),
        ("/api/dostk/ordr", {"api-id": "kt10000"}, order_body(trde_tp="00"), "1517"),
        ("/api/dostk/ordr", {"api-id": "kt10000"}, {**order_body(), "ord_qty": 10}, "1517"),
        ("/api/dostk/acnt", {"api-id": "kt00007"}, LEDGER | {"ord_dt": "yesterda"}, "1517"),
        ("/api/dostk/acnt", {"api-id": "kt00007"}, LEDGER | {"qry_tp": ""}, "1511"),
    ],
)
async def test_gateway_refusals(path: str, headers: dict[str, str], body: dict[str, Any], code: str) -> None:
    """What the gateway turns away never reaches the book, and says so with HTTP 200."""
    async with Simulator() as broker, calling(broker) as caller:
        sent = {"authorization": f"Bearer {caller.token}", **headers}
        answer = await caller.http.post(path, json=body, headers=sent)
    assert answer.status_code == 200
    assert code_of(answer.json()) == code
    assert broker.orders == ()


async def test_other_methods_and_bodies_are_refused() -> None:
    """GET is a wrong URI; a body that is no JSON object is malformed."""
    async with Simulator() as broker, calling(broker) as caller:
        headers = {"authorization": f"Bearer {caller.token}", "api-id": "ka00001"}
        got = await caller.http.get("/api/dostk/acnt", headers=headers)
        listed = await caller.http.post("/api/dostk/acnt", content=b"[]", headers=headers)
        broken = await caller.http.post("/api/dostk/acnt", content=b"{", headers=headers)
    assert [code_of(answer.json()) for answer in (got, listed, broken)] == ["1504", "1517", "1517"]


ORDER_REFUSALS: list[tuple[Flavour, str, dict[str, str], str]] = [
    (Flavour.REAL, "kt10000", order_body(ord_uv="70050"), "571557"),
    (Flavour.MOCK, "kt10000", order_body(ord_uv="70050"), "RC4003"),
    (Flavour.REAL, "kt10000", order_body(ord_uv="95000"), "571557"),
    (Flavour.MOCK, "kt10000", order_body(ord_uv="40000"), "RC4027"),
    (Flavour.REAL, "kt10000", order_body(ord_uv=""), "308003"),
    (Flavour.REAL, "kt10000", order_body(trde_tp="3"), "502048"),
    (Flavour.REAL, "kt10000", order_body(trde_tp="81"), "571357"),
    (Flavour.REAL, "kt10000", order_body(trde_tp="28"), "308003"),
    (Flavour.MOCK, "kt10000", order_body(dmst_stex_tp="NXT"), "RC9000"),
    (Flavour.MOCK, "kt10000", order_body(dmst_stex_tp="SOR"), "RC9000"),
    (Flavour.REAL, "kt10003", cancel_body("9999999"), "506550"),
    (Flavour.MOCK, "kt10003", cancel_body("9999999"), "RC4061"),
    (Flavour.REAL, "kt50000", gold_body(ord_uv="180005"), "857024"),
]


@pytest.mark.parametrize(("flavour", "api_id", "body", "code"), ORDER_REFUSALS)
async def test_order_host_refusals(flavour: Flavour, api_id: str, body: dict[str, str], code: str) -> None:
    """HTTP 200, return_code 20, the code in the text, no order number, nothing on the book."""
    async with Simulator(flavour=flavour, prices={"005930": 70_000}) as broker, calling(broker) as caller:
        answer = await caller.call(api_id, body)
    assert (answer["return_code"], code_of(answer)) == (20, code)
    assert answer["return_msg"].startswith("[2000](")
    assert "ord_no" not in answer
    assert broker.orders == ()


@pytest.mark.parametrize(("flavour", "gone", "twice"), [("real", "506550", "571435"), ("mock", "RC4033", "RC4033")])
async def test_change_of_what_cannot_be_changed(flavour: str, gone: str, twice: str) -> None:
    """The old number of a modify, a cancel of a cancel, too large a modify, another symbol."""
    async with Simulator(flavour=Flavour(flavour)) as broker, calling(broker) as caller:
        number = await caller.buy()
        moved = (await caller.call("kt10002", modify_body(number, "0", "69900")))["ord_no"]
        assert code_of(await caller.call("kt10003", cancel_body(number))) == gone
        assert code_of(await caller.call("kt10002", modify_body(moved, "11", "69800"))) == gone
        assert (await caller.call("kt10003", cancel_body(moved, stk_cd="000660")))["return_code"] == 20
        cancelled = (await caller.call("kt10003", cancel_body(moved)))["ord_no"]
        assert code_of(await caller.call("kt10003", cancel_body(cancelled))) == twice


async def test_cancel_must_name_the_route_of_its_original() -> None:
    """571412 otherwise, and the order goes on working."""
    async with Simulator() as broker, calling(broker) as caller:
        number = await caller.buy()
        assert code_of(await caller.call("kt10003", cancel_body(number, dmst_stex_tp="SOR"))) == "571412"
    assert broker.orders[0].is_working


async def test_gold_and_stock_numbers_do_not_mix() -> None:
    """A gold cancel does not find a stock order."""
    async with Simulator() as broker, calling(broker) as caller:
        number = await caller.buy()
        answer = await caller.call("kt50003", {"orig_ord_no": number, "stk_cd": GOLD, "cncl_qty": "0"})
    assert answer["return_code"] == 20


@pytest.mark.parametrize(
    ("flavour", "seconds", "kind", "code"),
    [
        (Flavour.REAL, -2 * 3600, "0", "505217"),
        (Flavour.MOCK, -2 * 3600, "0", "RC4057"),
        (Flavour.MOCK, 6 * 3600, "0", "RC4058"),
        (Flavour.REAL, 8 * 3600, "3", "521790"),
        (Flavour.REAL, -24 * 3600, "0", "571489"),
        (Flavour.MOCK, -24 * 3600, "0", "RC4010"),
        (Flavour.REAL, 0, "0", None),
        (Flavour.REAL, 8 * 3600, "0", None),
    ],
)
async def test_market_hours_when_asked(flavour: Flavour, seconds: int, kind: str, code: str | None) -> None:
    """Ten o'clock on a Monday is open; the after-market takes limit orders on the real side only."""
    clock = Clock()
    clock.move(seconds)
    price = "70000" if kind == "0" else ""
    simulator = Simulator(ambient=clock, hours=Hours.TRADING_DAY, flavour=flavour)
    async with simulator as broker, calling(broker) as caller:
        answer = await caller.call("kt10000", order_body(trde_tp=kind, ord_uv=price))
    assert (code_of(answer) if answer["return_code"] else None) == code


async def test_funds_limit_orders_when_configured() -> None:
    """Cash is reserved by open orders; only what is held and not offered can be sold."""
    funds = Funds(cash=1_000_000, holdings={"005930": 5})
    async with Simulator(funds=funds) as broker, calling(broker) as caller:
        assert (await caller.call("kt10000", order_body()))["return_code"] == 0
        poor = await caller.call("kt10000", order_body())
        assert (await caller.call("kt10001", order_body(ord_qty="4", ord_uv="80000")))["return_code"] == 0
        empty = await caller.call("kt10001", order_body(ord_qty="2", ord_uv="80000"))
    assert (code_of(poor), "4주 매수가능" in poor["return_msg"]) == ("855056", True)
    assert (code_of(empty), "1주 매도가능" in empty["return_msg"]) == ("800033", True)


@pytest.mark.parametrize(("style", "status"), [(RateLimitStyle.HTTP_429, 429), (RateLimitStyle.HTTP_200, 200)])
async def test_limits_per_class_and_per_tr(style: RateLimitStyle, status: int) -> None:
    """Orders and queries have their own second; the body is the one Kiwoom sends."""
    clock = Clock()
    limits = Limits(orders_per_second=2, queries_per_second=2, per_tr_per_second=None)
    simulator = Simulator(ambient=clock, limits=limits, rate_limit_style=style)
    async with simulator as broker, calling(broker) as caller:
        await caller.buy()
        await caller.buy()
        refused = await caller.post("kt10000", order_body())
        assert (await caller.call("ka10075", OPEN))["return_code"] == 0
        clock.move(1.0)
        await caller.buy()
    assert (refused.status_code, refused.json()["return_code"]) == (status, 5)
    assert "[1700:" in refused.text
    assert "유량=2, API ID=kt10000" in refused.text
    assert len(broker.orders) == 3
    assert broker.environment.limits == limits


async def test_mock_limit_of_one_per_tr() -> None:
    """Each TR has a bucket of its own."""
    async with (
        Simulator(ambient=Clock(), limits=Limits(per_tr_per_second=1.0)) as broker,
        calling(broker) as caller,
    ):
        await caller.buy()
        assert code_of(await caller.call("kt10000", order_body())) == "1700"
        assert (await caller.call("kt10001", order_body(ord_uv="80000")))["return_code"] == 0


async def test_answer_headers() -> None:
    """The TR, the cursor and the date stand in the headers."""
    async with Simulator(ambient=Clock()) as broker, calling(broker) as caller:
        answer = await caller.post("ka00001", {})
    assert answer.headers["api-id"] == "ka00001"
    assert (answer.headers["cont-yn"], answer.headers["next-key"]) == ("N", "")
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"
    assert answer.headers["date"] == "Mon, 02 Nov 2026 01:00:00 GMT"


async def test_requests_are_kept_without_the_token() -> None:
    """What arrived is recorded, also what was refused; the token is not."""
    async with Simulator() as broker, calling(broker) as caller:
        await caller.buy("alpha-1")
        await caller.call("kt10000", order_body(ord_uv="1"), idempotency_key="alpha-2")
    last = broker.requests[-1]
    assert [request.api_id for request in broker.requests] == ["au10001", "kt10000", "kt10000"]
    assert (broker.count("kt10000"), last.path) == (2, "/api/dostk/ordr")
    assert (last.headers["idempotency-key"], last.headers["user-agent"]) == ("alpha-2", AGENT)
    assert "authorization" not in last.headers
    assert caller.token not in repr(broker.requests[1:])
    assert '"ord_uv":"1"' in last.body.replace(" ", "")


async def test_unknown_host_agentless_client_is_let_in() -> None:
    """A request without any User-Agent passes the firewall."""
    async with Simulator() as broker, httpx.AsyncClient(base_url=broker.url) as http:
        del http.headers["user-agent"]
        body = {"grant_type": "client_credentials", "appkey": "a", "secretkey": "b"}
        assert (await http.post("/oauth2/token", json=body)).status_code == 200
