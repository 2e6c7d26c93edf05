"""From a request to a reply, without a socket: gateway, orders, queries, and the faults between them.

A reply says not only what is answered but how it is delivered: in full, in part, late, or not at all. The
servers (`server.py`, `transport.py`) carry that out and decide nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Final

from attrs import define, evolve, field, frozen

from kiwoom_async._domain.ambient import Ambient, korean_day
from kiwoom_async._domain.settings import KST
from kiwoom_async._domain.vocabulary import Action, Desk
from kiwoom_async.simulator.account_queries import MAY_BE_NOTHING, STATEMENTS, cut_rows
from kiwoom_async.simulator.books import Books
from kiwoom_async.simulator.catalog import REVOKE_PATH, TOKEN_PATH, TRANSACTIONS, Purpose
from kiwoom_async.simulator.distortions import DISTORTIONS, Distorted
from kiwoom_async.simulator.exchange import Exchange
from kiwoom_async.simulator.faults import Fault, FaultDirector, FaultKind
from kiwoom_async.simulator.gate import RateGate, RateLimitStyle, TokenOffice
from kiwoom_async.simulator.orders import Channel, Flavour, Instant, OrderRequest, ReceivedRequest
from kiwoom_async.simulator.queries import (
    VIEWS,
    Cursor,
    EmptyList,
    MalformedField,
    cut,
    digest_of,
    requested_day,
    select,
)
from kiwoom_async.simulator.rejections import GatewayCode, GatewayRefusal, Refusal, Rules, gateway_refusal
from kiwoom_async.simulator.rendering import Scene, acceptance, status_totals
from kiwoom_async.simulator.replies import (
    Answer,
    Content,
    Delivery,
    Manner,
    Reply,
    business_refusal,
    json_reply,
    page_reply,
    refused,
)
from kiwoom_async.simulator.requests import Request, read_order

_BLOCKED_AGENT: Final = re.compile(r"(?i)^(python(?!-requests)|aiohttp)")
"""A firewall in front answers aiohttp's own name with an HTML page. Python's other defaults are blocked too:
a client without a name of its own is found out. `requests` is let in, as Kiwoom's own samples use it."""
_BLOCKED_PAGE: Final = "<html><head><title>Request Blocked</title></head><body>Request Blocked</body></html>"
_NO_RECORDS: Final = "501724"
_DONE_TEXT: Final = "조회가 완료되었습니다."
_ORDER_NOT_KNOWN: Final = "조회내역이 없습니다"


@frozen
class Habits:
    """Ways of answering that are not settled; each can be played both ways.

    Attributes:
        page_size: Rows per page. Nobody has measured it.
        empty_list: How an empty list is answered.
        is_from_inclusive: Whether `fr_ord_no` is part of the answer.
        rate_limit_style: How too many requests are answered.
        tells_credit: Whether the stock ledger's texts tell an order on credit from one for cash. No row of an order
            on credit has been seen.
        accepts_any_user_agent: Whether the firewall is off.
    """

    page_size: int = 20
    empty_list: EmptyList = EmptyList.SUCCESS
    is_from_inclusive: bool = True
    rate_limit_style: RateLimitStyle = RateLimitStyle.HTTP_429
    accepts_any_user_agent: bool = False
    tells_credit: bool = True


@define(eq=False)
class Service:
    """The broker behind its wire."""

    ambient: Ambient
    exchange: Exchange
    rules: Rules
    office: TokenOffice
    director: FaultDirector
    account: str
    gate: RateGate | None = None
    habits: Habits = Habits()
    requests: list[ReceivedRequest] = field(factory=list)
    observer: Callable[[str], None] | None = None

    @property
    def flavour(self) -> Flavour:
        """Which environment is played."""
        return self.rules.flavour

    def now(self) -> Instant:
        """Read both clocks, in the broker's calendar; a clock past midnight opens a new day."""
        at, tick = self.ambient.now().astimezone(KST), self.ambient.monotonic()
        instant = Instant(datetime.combine(max(korean_day(at), self.exchange.day), at.timetz()), tick)
        if instant.at.date() > self.exchange.day:
            self.exchange.open_day(instant.at.date(), instant)
        self.exchange.settle(instant)
        return instant

    def advance_day(self, day: date) -> None:
        """Close the open day and open another."""
        now = self.now()
        if day > self.exchange.day:
            self.exchange.open_day(day, now)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request."""
        now = self.now()
        lower = {name.lower(): value for name, value in headers.items()}
        api_id = {TOKEN_PATH: "au10001", REVOKE_PATH: "au10002"}.get(path, lower.get("api-id", ""))
        text = body.decode("utf-8", "replace")
        kept = {name: value for name, value in lower.items() if name != "authorization"}
        self.requests.append(ReceivedRequest(api_id, path, MappingProxyType(kept), text, now.at))
        if not self.habits.accepts_any_user_agent and _BLOCKED_AGENT.search(lower.get("user-agent", "")):
            return page_reply(_BLOCKED_PAGE, 400, self.now().at)
        read = self._read(method, path, api_id, lower, text)
        if isinstance(read, GatewayRefusal):
            return self._reply(api_id, self._refused(read))
        fault = self.director.choose(api_id, read.rule.purpose, read.idempotency_key, self._page_number(read))
        if fault is None:
            return self._reply(api_id, self._answer(read, now))
        self._observe(f"{api_id} fault {fault.kind.value}")
        return self._faulty(read, fault, now)

    # The gateway

    def _read(
        self, method: str, path: str, api_id: str, headers: Mapping[str, str], text: str
    ) -> Request | GatewayRefusal:
        rule = TRANSACTIONS.get(api_id)
        if rule is None:
            return gateway_refusal(GatewayCode.API_ID_UNKNOWN if api_id else GatewayCode.API_ID_MISSING, api_id)
        if rule.path != path or method != "POST":
            return gateway_refusal(GatewayCode.WRONG_URI, api_id)
        try:
            body = json.loads(text) if text.strip() else {}
        except ValueError:
            return gateway_refusal(GatewayCode.FIELD_MALFORMED, "body")
        if not isinstance(body, dict):
            return gateway_refusal(GatewayCode.FIELD_MALFORMED, "body")
        for name, value in body.items():
            if not isinstance(value, str):
                return gateway_refusal(GatewayCode.FIELD_MALFORMED, name)
        return Request(rule, headers, body)

    def _passed(self, request: Request, now: Instant) -> GatewayRefusal | None:
        """Check the token, the limits and the fields, in this order; None: it may go on."""
        rule = request.rule
        if rule.purpose is not Purpose.TOKEN:
            authorization = request.headers.get("authorization", "")
            if not authorization:
                return gateway_refusal(GatewayCode.AUTHORIZATION_MISSING)
            if not self.office.accepts(authorization, self.ambient.now()):
                return gateway_refusal(GatewayCode.TOKEN_INVALID)
        if self.gate is not None:
            rate = self.gate.refused_at(rule.api_id, rule.purpose, now.tick)
            if rate is not None:
                # Measured: the token's text is a template that nobody has filled in.
                is_token = rule.purpose is Purpose.TOKEN
                stated = f"{rule.api_id}, API ID={{1}}" if is_token else f"{rate:g}, API ID={rule.api_id}"
                return gateway_refusal(GatewayCode.TOO_MANY_REQUESTS, stated)
        return self._check_fields(request)

    @staticmethod
    def _check_fields(request: Request) -> GatewayRefusal | None:
        for spec in request.rule.fields:
            value = request.body.get(spec.name, "")
            if not value:
                needed, worth = spec.required_with or ("", "")
                if spec.is_required or (needed and request.body.get(needed) == worth):
                    return gateway_refusal(GatewayCode.FIELD_MISSING, spec.name)
                continue
            if len(value) > spec.length or (spec.choices is not None and value not in spec.choices):
                return gateway_refusal(GatewayCode.FIELD_MALFORMED, spec.name)
        return None

    def _refused(self, refusal: GatewayRefusal) -> Content:
        is_429 = self.habits.rate_limit_style is RateLimitStyle.HTTP_429
        is_too_many = refusal.code == GatewayCode.TOO_MANY_REQUESTS
        return evolve(refused(refusal), status=429 if is_too_many and is_429 else 200)

    # The three purposes

    def _answer(self, request: Request, now: Instant, *, age: float = 0.0, is_by_offset: bool = False) -> Content:
        refusal = self._passed(request, now)
        if refusal is not None:
            return self._refused(refusal)
        if request.rule.purpose is Purpose.ORDER:
            return self._order(request, now)
        if request.rule.purpose is Purpose.TOKEN:
            return self._token(request)
        return self._query(request, now, age=age, is_by_offset=is_by_offset)

    def _token(self, request: Request) -> Content:
        # Tokens live by the clock, not by the calendar: a day that a script has changed does not age them.
        body, clock = request.body, self.ambient.now().astimezone(KST)
        if not self.office.knows(body["appkey"], body["secretkey"]):
            return self._refused(gateway_refusal(GatewayCode.KEYS_WRONG))
        done: Answer = {"return_code": 0, "return_msg": "정상적으로 처리되었습니다"}
        if request.rule.path == REVOKE_PATH:
            self.office.revoke(body["token"])
            return Content(done)
        if body["grant_type"] != "client_credentials":
            return self._refused(gateway_refusal(GatewayCode.FIELD_MALFORMED, "grant_type"))
        token = self.office.issue(body["appkey"], clock)
        expires = token.expires_at.strftime("%Y%m%d%H%M%S")
        return Content({"expires_dt": expires, "token_type": "bearer", "token": token.text, **done})

    def _order(self, request: Request, now: Instant) -> Content:
        try:
            wanted = read_order(request)
        except MalformedField as error:
            return self._refused(gateway_refusal(GatewayCode.FIELD_MALFORMED, str(error)))
        refusal = self.rules.refusal(wanted, self.exchange, now)
        if refusal is not None:
            self._observe(f"{request.rule.api_id} refused {refusal.code}")
            return business_refusal(refusal)
        order = self.exchange.carry_out(wanted, now)
        self._observe(
            f"{request.rule.api_id} {order.broker_order_id} {order.side.value} {order.symbol} "
            f"{order.quantity} at {order.price or 'market'}: {order.status.value}"
        )
        return Content(dict(acceptance(order, self.flavour)))

    def _query(self, request: Request, now: Instant, *, age: float, is_by_offset: bool) -> Content:
        api_id, body = request.rule.api_id, request.body
        if api_id == "ka00001":
            return Content({"acctNo": self.account, "return_code": 0, "return_msg": "정상적으로 처리되었습니다"})
        if api_id in STATEMENTS:
            return self._statement(request, now, age)
        view = VIEWS[api_id]
        digest = digest_of(api_id, body)
        try:
            cursor = Cursor.read(request.next_key, digest) if request.next_key else None
            day = requested_day(api_id, body, now.at.date())
        except MalformedField as error:
            return self._refused(gateway_refusal(GatewayCode.FIELD_MALFORMED, str(error)))
        seen = self.exchange.ledger.view(day, now.tick - age)
        orders = select(api_id, body, seen, is_from_inclusive=self.habits.is_from_inclusive)
        if api_id == "kt00009" and self.flavour is Flavour.MOCK and not body.get("ord_dt"):
            orders = []  # measured: the mock finds nothing without a date
        if not orders:
            empty = self._empty(view.empty_code)
            if empty is not None:
                return empty
        page, following = cut(orders, cursor, self.habits.page_size, digest, is_by_offset=is_by_offset)
        scene = Scene(self.account, self.flavour, self.exchange.last_price, self.habits.tells_credit)
        answer: Answer = dict(status_totals(orders)) if api_id == "kt00009" else {}
        answer[view.list_key] = [view.row(order, scene) for order in page]
        answer["return_code"] = 0
        answer["return_msg"] = f" {_DONE_TEXT}" if view.has_blank else _DONE_TEXT
        return Content(answer, next_key=following.key if following else "", has_more=following is not None)

    def _statement(self, request: Request, now: Instant, age: float) -> Content:
        api_id, body = request.rule.api_id, request.body
        digest = digest_of(api_id, body)
        try:
            start = Cursor.read(request.next_key, digest).offset if request.next_key else 0
        except MalformedField as error:
            return self._refused(gateway_refusal(GatewayCode.FIELD_MALFORMED, str(error)))
        told = STATEMENTS[api_id](body, Books.opened(self.flavour, self.exchange, self.rules.funds, now, age=age))
        if isinstance(told, GatewayRefusal):
            return self._refused(told)
        if isinstance(told, Refusal):
            return business_refusal(told)
        if api_id in MAY_BE_NOTHING and not told.rows and (nothing := self._empty(_NO_RECORDS)) is not None:
            return nothing
        answer: Answer = dict(told.head)
        page, following = cut_rows(told.rows, start, self.habits.page_size, digest)
        if told.list_key:
            answer[told.list_key] = page
        answer |= {"return_code": 0, "return_msg": told.message}
        return Content(answer, next_key=following.key if following else "", has_more=following is not None)

    def _empty(self, code: str) -> Content | None:
        """Say that a list is empty where that is an error; None: it is a plain answer."""
        if self.habits.empty_list is EmptyList.ERROR:
            return business_refusal(Refusal.with_code(code))
        if self.habits.empty_list is EmptyList.UNCODED_ERROR:
            return Content({"return_code": 1, "return_msg": _ORDER_NOT_KNOWN})
        return None

    def _page_number(self, request: Request) -> int:
        if request.rule.purpose is not Purpose.QUERY or not request.next_key:
            return 1
        try:
            cursor = Cursor.read(request.next_key, digest_of(request.rule.api_id, request.body))
        except MalformedField:
            return 1
        return cursor.offset // self.habits.page_size + 1

    # Faults

    def _faulty(self, request: Request, fault: Fault, now: Instant) -> Reply:
        """Carry out a request as a fault says."""
        api_id = request.rule.api_id
        if fault.kind in _QUERY_TWISTS:
            return self._twisted_query(request, fault, now)
        if fault.kind is FaultKind.ACCEPT_LATE:
            return self._accept_late(request, fault, now)
        if fault.kind is FaultKind.TOKEN_DIES:
            self.office.revoke(request.headers.get("authorization", "").rpartition(" ")[2])
        content = self._answer(request, now) if fault.is_accepted else Content({})
        distort = DISTORTIONS.get(fault.kind)
        if distort is not None:
            return distort(Distorted(request, fault, content, self.now().at, self.flavour))
        delivery = Delivery(
            _MANNERS[fault.kind],
            fault.seconds if fault.kind is FaultKind.HANG else fault.duration,
            fault.after_bytes,
        )
        return evolve(self._reply(api_id, content), delivery=delivery)

    def _accept_late(self, request: Request, fault: Fault, now: Instant) -> Reply:
        """Drop the connection now; the order reaches the book later, if the gateway had let it pass."""
        is_let_in = self._passed(request, now) is None

        def accept() -> None:
            if is_let_in:
                later = self.now()
                if request.rule.purpose is Purpose.ORDER:
                    self._order(request, later)

        delivery = Delivery(Manner.DROP, late=accept, late_seconds=fault.duration)
        return evolve(self._reply(request.rule.api_id, Content({})), delivery=delivery)

    def _twisted_query(self, request: Request, fault: Fault, now: Instant) -> Reply:
        """Answer a query in a way that misleads a careless reader."""
        if fault.kind is FaultKind.PAGE_SHIFTS:
            self._insert_foreign(request, now)
        age = fault.duration if fault.kind is FaultKind.STALE_LEDGER else 0.0
        content = self._answer(request, now, age=age, is_by_offset=fault.kind is FaultKind.PAGE_SHIFTS)
        if content.answer.get("return_code") == 0:
            if fault.kind is FaultKind.PAGE_REPEATS:
                content = evolve(content, next_key=request.next_key, has_more=True)
            elif fault.kind is FaultKind.CONT_WITHOUT_KEY:
                content = evolve(content, next_key="", has_more=True)
        return self._reply(request.rule.api_id, content)

    def _insert_foreign(self, request: Request, now: Instant) -> None:
        """Place an order that makes the rows of the view move by one place.

        In a rising list it takes a number that was skipped before the page: an order that was listed late.
        """
        rows = [entry.current for entry in self.exchange.ledger.accepted]
        view = VIEWS.get(request.rule.api_id)
        like = next((row for row in reversed(rows) if view and (row.desk is Desk.GOLD) is view.is_gold), None)
        if like is None:
            return
        wanted = OrderRequest(
            Action.NEW,
            like.desk,
            like.symbol,
            like.side,
            quantity=1,
            price=like.price or self.exchange.last_price(like.symbol, like.desk),
            route=like.route,
            channel=Channel.HOME_TRADING,
            is_foreign=True,
        )
        number = None
        if request.body.get("qry_tp") == "1" and request.next_key:
            cursor = Cursor.read(request.next_key, digest_of(request.rule.api_id, request.body))
            number = self.exchange.skipped_number(cursor.anchor)
        self.exchange.place(wanted, now, number)

    # Replies

    def _reply(self, api_id: str, content: Content) -> Reply:
        return json_reply(api_id, content, self.now().at)

    def _observe(self, line: str) -> None:
        if self.observer is not None:
            self.observer(line)


_QUERY_TWISTS: Final = frozenset(
    {FaultKind.PAGE_SHIFTS, FaultKind.PAGE_REPEATS, FaultKind.CONT_WITHOUT_KEY, FaultKind.STALE_LEDGER}
)
_MANNERS: Final[Mapping[FaultKind, Manner]] = {
    FaultKind.DROP_BEFORE_ACCEPTANCE: Manner.DROP,
    FaultKind.DROP_AFTER_ACCEPTANCE: Manner.DROP,
    FaultKind.QUERY_DROP: Manner.DROP,
    FaultKind.RESET_AFTER_BYTES: Manner.RESET,
    FaultKind.DELAY_ANSWER: Manner.ANSWER,
    FaultKind.HANG: Manner.HANG,
    FaultKind.REFUSE_CONNECTION: Manner.REFUSE,
}
