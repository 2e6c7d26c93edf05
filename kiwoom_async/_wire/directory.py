"""Any TR by name: where it lives, what kind it is, and which ones must not be asked raw.

An order that went out as a raw TR would stand in no journal: nothing could recognize it, and nothing would keep it
from being sent twice. So orders are refused here, by id and by path, before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum, unique
from typing import Final

from attrs import frozen

from kiwoom_async._wire.directory_domestic import DOMESTIC
from kiwoom_async._wire.directory_overseas import OVERSEAS
from kiwoom_async._wire.requests import Call
from kiwoom_async.errors import ValidationError


@unique
class Kind(StrEnum):
    """What asking a TR does."""

    QUERY = "query"
    ORDER = "order"
    TOKEN = "token"  # noqa: S105 - a kind, not a token
    STREAM = "stream"


@frozen
class Listing:
    """One TR of the public guide.

    Attributes:
        api_id: The TR's id, as it stands in the header ``api-id``.
        path: Where it is posted to.
        name: Kiwoom's own name of it.
        kind: What asking it does; only queries can be asked raw.
    """

    api_id: str
    path: str
    name: str
    kind: Kind


_PATH_KINDS: Final[Mapping[str, Kind]] = {
    "/oauth2/token": Kind.TOKEN,
    "/oauth2/revoke": Kind.TOKEN,
    "/api/dostk/ordr": Kind.ORDER,
    "/api/dostk/crdordr": Kind.ORDER,
    "/api/us/ordr": Kind.ORDER,
    # Two of its TRs ask for rates, the third changes money.
    "/api/us/exchange": Kind.ORDER,
    "/api/dostk/websocket": Kind.STREAM,
    "/api/us/websocket": Kind.STREAM,
}
"""The kind of what lives on a path; a path that is not here carries queries."""

_QUERIES_AMONG_ORDERS: Final = frozenset({"ust31490", "ust31300", "ust31301"})
"""Queries that live on a path of orders [O]."""


def _listings() -> Iterator[Listing]:
    for path, lines in {**DOMESTIC, **OVERSEAS}.items():
        for line in lines.strip().splitlines():
            api_id, _, name = line.strip().partition(" ")
            kind = Kind.QUERY if api_id in _QUERIES_AMONG_ORDERS else _PATH_KINDS.get(path, Kind.QUERY)
            yield Listing(api_id, path, name, kind)


DIRECTORY: Final[Mapping[str, Listing]] = {listing.api_id: listing for listing in _listings()}
"""Every TR of the public guide by its id."""

_ORDER_FAMILIES: Final = ("kt100", "kt5000", "ust2000")
"""How the ids of orders begin. An id of these families that the guide does not have (a public program sends kt10004
for a cancel) would be an order all the same."""

_DESKS: Final[Mapping[str, str]] = {
    "kt10000": "client.stock.buy()",
    "kt10001": "client.stock.sell()",
    "kt10002": "client.stock.modify()",
    "kt10003": "client.stock.cancel()",
    "kt10006": "client.credit.buy()",
    "kt10007": "client.credit.sell()",
    "kt10008": "client.credit.modify()",
    "kt10009": "client.credit.cancel()",
    "kt50000": "client.gold.buy()",
    "kt50001": "client.gold.sell()",
    "kt50002": "client.gold.modify()",
    "kt50003": "client.gold.cancel()",
}
_FEED: Final[Mapping[str, str]] = {
    "00": "client.orders.events() tells what happens to orders",
    "04": "client.orders.events() tells what happens to orders",
}

_API_ID: Final = re.compile(r"[0-9A-Za-z]{2,10}")
"""The header ``api-id`` takes ten characters [O]."""
_PATH: Final = re.compile(r"(/[0-9A-Za-z_-]+)+")
_SHOWN: Final = 20
"""Characters of a wrong id that an error repeats: enough for any id or name, too few for a key put there by mistake.
Source: our choice."""
_MOST_MATCHES: Final = 3
_LEAST_LIKENESS: Final = 0.6
"""How alike two texts must be to be named as a near match. Source: the default of `difflib.get_close_matches`."""


def prepare_call(api_id: object, body: object = None, path: object = None) -> Call:
    """Make the call of a query out of what a caller gave; refuse what must not be asked raw.

    Args:
        api_id: The TR's id.
        body: Field name to text. None: no fields.
        path: Where to post it. None: where the directory says.

    Raises:
        ValidationError: The TR is unknown and no path is given, is no query, or an argument has the wrong form.
    """
    known = _choose_id(api_id)
    if (reason := _objection(known)) is not None:
        raise ValidationError("api_id", known, reason)
    return Call(known, _choose_path(known, path), _check_body(body))


def _choose_id(api_id: object) -> str:
    if not isinstance(api_id, str):
        raise ValidationError("api_id", type(api_id), "the id of a TR as text, for example 'ka10001'")
    if not _API_ID.fullmatch(api_id):
        raise ValidationError("api_id", api_id[:_SHOWN], _unknown(api_id[:_SHOWN]))
    return api_id


def _objection(api_id: str) -> str | None:
    """Say why a TR cannot be asked raw; None where it can."""
    listing = DIRECTORY.get(api_id)
    kind = _kind_of_unlisted(api_id) if listing is None else listing.kind
    explain = _OBJECTIONS.get(kind)
    return None if explain is None else f"only queries are asked by name; {explain(api_id)}"


def _kind_of_unlisted(api_id: str) -> Kind:
    # Written in another case it may still be understood; ids of the websocket differ by case (0U, 0u).
    lowered = api_id.lower()
    if lowered.startswith(_ORDER_FAMILIES):
        return Kind.ORDER
    twin = DIRECTORY.get(lowered)
    return Kind.QUERY if twin is None or twin.kind is Kind.STREAM else twin.kind


def _explain_order(api_id: str) -> str:
    lowered = api_id.lower()
    if lowered.startswith("ust"):
        return "orders for American stocks and exchanges of currencies are no part of this library"
    desk = _DESKS.get(lowered, "client.stock, client.credit or client.gold")
    return f"orders are journaled, so that none is sent twice: use {desk}"


def _explain_token(_: str) -> str:
    return "the client takes, renews and shares its token by itself"


def _explain_stream(api_id: str) -> str:
    told = _FEED.get(api_id, "this library does not offer it")
    return f"{api_id} ({DIRECTORY[api_id].name}) lives on the websocket, and {told}"


_OBJECTIONS: Final[Mapping[Kind, Callable[[str], str]]] = {
    Kind.ORDER: _explain_order,
    Kind.TOKEN: _explain_token,
    Kind.STREAM: _explain_stream,
}


def _unknown(text: str) -> str:
    near = find_near(text)
    listed = ", ".join(f"{listing.api_id} ({listing.name})" for listing in near)
    hint = f"perhaps {listed} is meant; a" if near else "a"
    return f"the id of a TR of the public guide; {hint} TR that this release does not know takes path='/api/dostk/…'"


def find_near(text: str) -> tuple[Listing, ...]:
    """Find the TRs whose id or name is like a text, the nearest first; at most three."""
    wanted = _squeeze(text)
    # One of two equal keys is enough: the first of the guide.
    listed = {
        _squeeze(listing.api_id if wanted.isascii() else listing.name): listing
        for listing in reversed(list(DIRECTORY.values()))
    }
    holding = sorted((key for key in listed if wanted and wanted in key), key=lambda key: (len(key), key))
    near = holding or get_close_matches(wanted, listed, _MOST_MATCHES, _LEAST_LIKENESS)
    return tuple(listed[key] for key in near[:_MOST_MATCHES])


def _squeeze(text: str) -> str:
    return "".join(text.split()).lower()


def _choose_path(api_id: str, path: object) -> str:
    listing = DIRECTORY.get(api_id)
    if listing is not None and path in (None, listing.path):
        return listing.path
    if path is None:
        raise ValidationError("api_id", api_id, _unknown(api_id))
    allowed = "a path on Kiwoom's host, for example '/api/dostk/stkinfo'"
    if not isinstance(path, str):
        raise ValidationError("path", type(path), allowed)
    if not _PATH.fullmatch(path):
        raise ValidationError("path", path[:_SHOWN], allowed)
    lowered = path.lower()
    if lowered in _PATH_KINDS or lowered.startswith("/oauth2/") or lowered.endswith("ordr"):
        raise ValidationError("path", path, "a path of queries, not one of orders, of tokens or of the websocket")
    return path


def _check_body(body: object) -> Mapping[str, str]:
    if body is None:
        return {}
    if not isinstance(body, Mapping):
        raise ValidationError("body", type(body), "a mapping of field names to texts, for example {'stk_cd': '005930'}")
    for name, value in body.items():
        _check_text("the name of a field in body", name)
        _check_text(f"body[{name!r}]", value)
    return dict(body)


def _check_text(what: str, value: object) -> None:
    # Only the type is shown: a value may be what nobody else should see.
    if not isinstance(value, str):
        raise ValidationError(what, type(value), "text: Kiwoom takes every value as a string, also numbers ('10')")
    try:
        value.encode()
    except UnicodeEncodeError:
        # Not chained: the error would show the value.
        raise ValidationError(what, type(value), "text that can be written as UTF-8") from None
