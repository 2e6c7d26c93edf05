"""The directory of TRs: complete, true to what else is known, and closed to whatever is no query."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from typing import Any

import pytest

from kiwoom_async._domain.vocabulary import Desk
from kiwoom_async._wire.codes import ORDER_TRS
from kiwoom_async._wire.directory import DIRECTORY, Kind, find_near, prepare_call
from kiwoom_async._wire.directory_domestic import DOMESTIC
from kiwoom_async._wire.directory_overseas import OVERSEAS
from kiwoom_async._wire.requests import executions_call, ledger_call, open_orders_call
from kiwoom_async.errors import ValidationError
from kiwoom_async.simulator.catalog import TRANSACTIONS

DAY = date(2026, 11, 2)
NO_QUERIES = [listing.api_id for listing in DIRECTORY.values() if listing.kind is not Kind.QUERY]


def refused(*arguments: Any) -> ValidationError:
    """Expect a refusal."""
    with pytest.raises(ValidationError) as caught:
        prepare_call(*arguments)
    return caught.value


def test_every_tr_of_the_guide_is_listed_once() -> None:
    """The published specification of September 2026 has 337 TRs, and ka10009 besides by older ones."""
    lines = [line for text in (DOMESTIC | OVERSEAS).values() for line in text.strip().splitlines()]  # type: ignore[operator]
    assert len(lines) == len(DIRECTORY) == 338
    assert Counter(listing.kind for listing in DIRECTORY.values()) == {
        Kind.QUERY: 288,
        Kind.ORDER: 17,
        Kind.TOKEN: 2,
        Kind.STREAM: 31,
    }
    assert all(listing.name.strip() for listing in DIRECTORY.values())


def test_the_directory_agrees_with_the_requests_of_this_library() -> None:
    """A TR that the library itself sends has the same path here."""
    calls = [executions_call(), *(ledger_call(desk, DAY, 0) for desk in Desk if desk is not Desk.CREDIT)]
    for call in [*calls, open_orders_call(Desk.STOCK, DAY), open_orders_call(Desk.GOLD, DAY)]:
        assert prepare_call(call.api_id, call.body) == call
    assert all(DIRECTORY[api_id].kind is Kind.ORDER for api_id in ORDER_TRS.values())


@pytest.mark.parametrize("api_id", sorted(TRANSACTIONS))
def test_the_directory_agrees_with_the_simulator(api_id: str) -> None:
    """The simulator has its own list of paths, written without a look at this one."""
    assert DIRECTORY[api_id].path == TRANSACTIONS[api_id].path


@pytest.mark.parametrize(
    ("api_id", "path"),
    [
        ("ka00001", "/api/dostk/acnt"),
        ("ka01300", "/api/dostk/watchlist"),
        ("ka10001", "/api/dostk/stkinfo"),
        ("ka10004", "/api/dostk/mrkcond"),
        ("ka10009", "/api/dostk/frgnistt"),
        ("ka10014", "/api/dostk/shsa"),
        ("ka10027", "/api/dostk/rkinfo"),
        ("ka10081", "/api/dostk/chart"),
        ("ka20001", "/api/dostk/sect"),
        ("ka20068", "/api/dostk/slb"),
        ("ka30012", "/api/dostk/elw"),
        ("ka40009", "/api/dostk/etf"),
        ("ka90001", "/api/dostk/thme"),
        ("kt20016", "/api/dostk/stkinfo"),
        ("usa24300", "/api/us/invtinfo"),
        ("ust31301", "/api/us/exchange"),
        ("ust31490", "/api/us/ordr"),
    ],
)
def test_a_query_finds_its_path(api_id: str, path: str) -> None:
    """One of each path, and the queries that live among orders."""
    call = prepare_call(api_id, {"stk_cd": "005930"})
    assert (call.api_id, call.path) == (api_id, path)
    assert json.loads(call.to_bytes()) == {"stk_cd": "005930"}


@pytest.mark.parametrize("path", [None, "/api/dostk/acnt", "/api/dostk/stkinfo"])
@pytest.mark.parametrize("api_id", NO_QUERIES)
def test_what_is_no_query_is_refused_on_any_path(api_id: str, path: str | None) -> None:
    """Orders, tokens and the websocket cannot be asked raw, wherever they are posted to."""
    error = refused(api_id, {}, path)
    assert (error.argument, error.value) == ("api_id", api_id)
    assert "only queries" in error.allowed


@pytest.mark.parametrize(
    ("api_id", "told"),
    [
        ("kt10000", "client.stock.buy()"),
        ("kt10003", "client.stock.cancel()"),
        ("kt10007", "client.credit.sell()"),
        ("kt50002", "client.gold.modify()"),
        ("KT10001", "client.stock.sell()"),
        ("kt10004", "client.stock"),
        ("kt50009", "client.gold"),
        ("ust20000", "no part of this library"),
        ("UST31302", "no part of this library"),
        ("au10001", "the client takes"),
        ("AU10002", "the client takes"),
        ("00", "client.orders.events()"),
        ("0A", "websocket"),
        ("ka10171", "websocket"),
        ("usa20280", "websocket"),
    ],
)
def test_a_refusal_says_what_to_do_instead(api_id: str, told: str) -> None:
    """Also for ids of an order's family that no guide has, and in another case; a path changes nothing."""
    for path in (None, "/api/dostk/acnt"):
        assert told in str(refused(api_id, None, path))


@pytest.mark.parametrize(
    "path",
    [
        "/api/dostk/ordr",
        "/api/dostk/ORDR",
        "/api/dostk/crdordr",
        "/api/us/ordr",
        "/api/us/exchange",
        "/api/jp/ordr",
        "/oauth2/token",
        "/oauth2/anything",
        "/api/dostk/websocket",
        "/api/dostk/acnt/../ordr",
        "/api/dostk//ordr",
        "/api/dostk/ordr/",
        "/api/dostk/ordr?x=1",
        "/api/dostk/%6frdr",
        "/api/dostk/ordr\n",
        "api/dostk/acnt",
        "https://api.kiwoom.com/api/dostk/acnt",
        "//elsewhere.example/acnt",
        "",
        5,
        ["/api/dostk/acnt"],
    ],
)
@pytest.mark.parametrize("api_id", ["ka10001", "ka99999"])
def test_no_path_leads_to_orders_or_elsewhere(api_id: str, path: object) -> None:
    """A path of one's own is a plain path on Kiwoom's host that carries queries."""
    assert refused(api_id, {}, path).argument == "path"


def test_a_tr_that_is_not_known_takes_a_path() -> None:
    """What Kiwoom adds tomorrow can be asked today; a known TR can be asked where it has moved to."""
    assert prepare_call("ka99999", None, "/api/dostk/newroom").path == "/api/dostk/newroom"
    assert prepare_call("ka10001", None, "/api/dostk/newroom").path == "/api/dostk/newroom"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("ka10079x", "ka10079"),
        ("KA10075", "ka10075"),
        ("ka1007", "ka10072"),
        ("kt0018", "kt00018"),
        ("미체결", "미체결요청"),
        ("예수금 상세", "예수금상세현황요청"),
        ("일봉차트", "주식일봉차트조회요청"),
    ],
)
def test_an_unknown_id_names_its_near_matches(text: str, near: str) -> None:
    """By id or by Kiwoom's name, and the way out."""
    error = refused(text)
    assert near in str(error)
    assert "path=" in str(error)
    assert len(find_near(text)) <= 3


@pytest.mark.parametrize("text", ["", "zzzzzzzzzz", "x" * 4000, "ka10001\n", "ka 10001", "🙂"])
def test_an_id_like_nothing_still_says_what_to_do(text: str) -> None:
    """The message stays short, whatever was given, and cannot carry a header of its own."""
    error = refused(text, None, "/api/dostk/acnt" if text != "zzzzzzzzzz" else None)
    assert error.argument == "api_id"
    assert "path=" in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("value", [4711, 47.11, None, True, ["4711"], {"4711": "1"}, b"4711", "4711\ud800"])
def test_a_value_that_is_no_text_names_its_field_and_is_not_shown(value: object) -> None:
    """Kiwoom takes strings; the wrong value itself stays out of the text."""
    error = refused("ka10001", {"stk_cd": "005930", "qty": value})
    assert error.argument == "body['qty']"
    assert "4711" not in str(error)
    assert type(value).__name__ in str(error)


@pytest.mark.parametrize("body", [[("a", "b")], "stk_cd=005930", 5, {5: "1"}])
def test_a_body_has_to_be_a_mapping_of_texts(body: object) -> None:
    """Anything else names the body."""
    assert "body" in refused("ka10001", body).argument


def test_an_api_id_has_to_be_a_text() -> None:
    """What was given instead is not shown."""
    assert "NoneType" in str(refused(None))


def test_the_call_keeps_its_own_copy_of_the_body() -> None:
    """Later pages ask the same, whatever the caller does with the mapping meanwhile."""
    body = {"stk_cd": "005930"}
    call = prepare_call("ka10001", body)
    body["stk_cd"] = "000660"
    assert call.body == {"stk_cd": "005930"}
