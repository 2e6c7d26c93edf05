"""Settings that cannot work are refused before any call, and keys are shown nowhere."""

from __future__ import annotations

import math
import pickle
from datetime import time
from typing import Any

import pytest
from attrs import evolve

from kiwoom_async._domain.settings import KST, Credentials, Environment, Limits, Reliance, Timing
from kiwoom_async.errors import ConfigurationError

KEYS = Credentials("app-key-a1b2c3", "secret-key-d4e5f6")


def test_repr_hides_the_keys() -> None:
    """Neither key is in the text of the credentials."""
    for text in (repr(KEYS), str(KEYS), f"{KEYS}"):
        assert "a1b2c3" not in text
        assert "d4e5f6" not in text
    assert pickle.loads(pickle.dumps(KEYS)) == KEYS  # noqa: S301 - what was written a moment ago


@pytest.mark.parametrize("value", ["", " ", " key", "key ", "key\n", "키", None, 5, b"key"])
@pytest.mark.parametrize("name", ["app_key", "secret_key"])
def test_key_that_is_none(name: str, value: Any) -> None:
    """A key as copied from the portal; the error names it and does not show it."""
    keys: dict[str, Any] = {"app_key": "a", "secret_key": "s"} | {name: value}
    with pytest.raises(ConfigurationError, match=rf"Credentials\({name}=…\)") as caught:
        Credentials(**keys)
    assert value in ("", " ", None, 5) or repr(value) not in str(caught.value)


def test_account_key_hides_the_key_and_tells_accounts_apart() -> None:
    """The same for the same key and place, another for any other, and nothing of the key in it."""
    key = Environment.MOCK.account_key(KEYS)
    assert key == Environment.MOCK.account_key(Credentials("app-key-a1b2c3", "renewed-secret"))
    assert key.startswith("key-")
    assert len(key) == 20
    assert "a1b2c3" not in key
    assert key != Environment.LIVE.account_key(KEYS)
    assert key != Environment.MOCK.account_key(Credentials("app-key-other", "secret-key-d4e5f6"))


@pytest.mark.parametrize("value", [0, -1, -0.5, math.inf, math.nan, True, "5", []])
@pytest.mark.parametrize("name", ["orders_per_second", "queries_per_second", "per_tr_per_second"])
def test_limit_that_is_none(name: str, value: Any) -> None:
    """A positive number, or None for no limit."""
    with pytest.raises(ConfigurationError, match=rf"Limits\({name}="):
        Limits(**{name: value})


def test_limits_off() -> None:
    """Nothing is limited; the defaults are."""
    assert Limits.off() == Limits(None, None, None)
    assert Limits() == Limits(5.0, 5.0, 5.0)
    assert Limits(orders_per_second=1).orders_per_second == 1


TIMES = [
    "connect_timeout",
    "response_timeout",
    "acceptance_bound",
    "visibility_bound",
    "clock_skew",
    "reconcile_interval",
    "watch_interval",
    "drain_timeout",
    "default_deadline",
]


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, True, "5", None])
@pytest.mark.parametrize("name", TIMES)
def test_time_that_is_none(name: str, value: Any) -> None:
    """A positive number of seconds."""
    with pytest.raises(ConfigurationError, match=rf"Timing\({name}="):
        Timing(**{name: value})


def test_every_time_is_checked() -> None:
    """A bound that is added is checked as well."""
    assert set(TIMES) <= {name for name in Timing.__slots__ if not name.startswith("__")}  # type: ignore[attr-defined]
    for name in Timing.__slots__:  # type: ignore[attr-defined]
        if not name.startswith("__"):
            with pytest.raises(ConfigurationError):
                Timing(**{name: -1})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.kiwoom.com",
        "https://api.kiwoom.com/",
        "ftp://api.kiwoom.com",
        "https://",
        "http://[::1",
        "wss://x",
        None,
        5,
    ],
)
def test_address_that_is_none(url: Any) -> None:
    """Scheme and host, no trailing slash."""
    with pytest.raises(ConfigurationError, match="scheme and host"):
        Environment(rest_url=url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "https://api.kiwoom.com.example", "http://[::1]:9000"])
def test_address(url: str) -> None:
    """A simulator's address is as good as Kiwoom's, takes every route and every hour, and is not live."""
    environment = Environment(rest_url=url)
    assert environment.routes == {"KRX", "NXT", "SOR"}
    assert (environment.is_live, environment.opens_at, environment.closes_at) == (False, None, None)


@pytest.mark.parametrize(
    "url", ["https://api.kiwoom.com", "https://API.kiwoom.com:443", "https://api.kiwoom.com.", "http://api.kiwoom.com"]
)
@pytest.mark.parametrize("is_live", [True, False])
def test_real_money_is_known_by_its_address(url: str, *, is_live: bool) -> None:
    """Whoever writes Kiwoom's own address trades live, and in Kiwoom's hours, whatever else he says."""
    environment = Environment(rest_url=url, is_live=is_live)
    assert (environment.is_live, environment.opens_at, environment.closes_at) == (True, time(7), time(20))


def test_kiwooms_environments() -> None:
    """The mock knows KRX only and one request per second of each TR; only the live one is live."""
    assert (Environment.LIVE.rest_url, Environment.LIVE.is_live) == ("https://api.kiwoom.com", True)
    assert (Environment.MOCK.rest_url, Environment.MOCK.is_live) == ("https://mockapi.kiwoom.com", False)
    assert Environment.MOCK.routes == {"KRX"}
    assert Environment.MOCK.limits.per_tr_per_second == 1.0
    for environment in (Environment.LIVE, Environment.MOCK):
        assert (environment.opens_at, environment.closes_at) == (time(7), time(20))


def test_korean_time() -> None:
    """Nine hours ahead, all year."""
    assert str(KST) == "KST"
    assert KST.utcoffset(None).total_seconds() == 9 * 3600


BOUNDS = ("response_timeout", "acceptance_bound", "visibility_bound", "clock_skew")


@pytest.mark.parametrize("name", BOUNDS)
def test_longer_bound_of_a_sender_holds_and_a_shorter_one_changes_nothing(name: str) -> None:
    """Each bound by itself; what every process has alike costs nothing, not even another record."""
    ours = Timing()
    same = Reliance.of(ours, is_exclusive=True)
    assert same.widen(ours) is ours
    shorter: dict[str, Any] = {name: getattr(ours, name) / 2}
    assert evolve(same, **shorter).widen(ours) is ours
    longer: dict[str, Any] = {name: 600.0}
    assert evolve(same, **longer).widen(ours) == evolve(ours, **longer)


@pytest.mark.parametrize("name", BOUNDS)
def test_of_two_senders_the_more_cautious_counts(name: str) -> None:
    """In whichever order, and the account is theirs alone only if both say so."""
    one = Reliance.of(Timing(), is_exclusive=True)
    longer: dict[str, Any] = {name: 600.0}
    other = evolve(one, **longer, is_exclusive=False)
    assert one.joined(other) == other.joined(one) == other
    assert one.joined(None) is one.joined(one) is one


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", BOUNDS)
def test_bound_of_a_sender_that_is_none(name: str, value: float) -> None:
    """A damaged record is not believed."""
    damaged: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match="positive"):
        evolve(Reliance.of(Timing(), is_exclusive=True), **damaged)
