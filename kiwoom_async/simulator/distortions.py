"""Answers that are not what they should be: what each fault makes of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from kiwoom_async.simulator.catalog import Purpose
from kiwoom_async.simulator.faults import Fault, FaultKind
from kiwoom_async.simulator.orders import Flavour
from kiwoom_async.simulator.rejections import GatewayCode, Refusal, gateway_refusal
from kiwoom_async.simulator.replies import Content, Reply, business_refusal, json_reply, page_reply, refused
from kiwoom_async.simulator.requests import Request

_ERROR_PAGE: Final = "<html><head><title>Error</title></head><body>Service Unavailable</body></html>"


@frozen
class Distorted:
    """An answer that a fault is about to distort.

    Attributes:
        content: What would be answered.
        at: When.
    """

    request: Request
    fault: Fault
    content: Content
    at: datetime
    flavour: Flavour

    def reply(self, content: Content) -> Reply:
        """Answer something else."""
        return json_reply(self.request.rule.api_id, content, self.at)


def _too_many(one: Distorted) -> Reply:
    refusal = gateway_refusal(GatewayCode.TOO_MANY_REQUESTS, f"5, API ID={one.request.rule.api_id}")
    return one.reply(evolve(refused(refusal), status=one.fault.http_status))


def _html(one: Distorted) -> Reply:
    return page_reply(_ERROR_PAGE, one.fault.http_status, one.at)


def _truncated(one: Distorted) -> Reply:
    whole = one.reply(one.content)
    return evolve(whole, body=whole.body[: len(whole.body) // 2])


def _numberless(one: Distorted) -> Reply:
    done = {name: value for name, value in one.content.answer.items() if name != "ord_no"}
    return one.reply(
        Content(done | {"return_code": 0, "return_msg": done.get("return_msg", "정상적으로 처리되었습니다")})
    )


def _unexpected(one: Distorted) -> Reply:
    return one.reply(refused(gateway_refusal(GatewayCode.UNEXPECTED, "timeout")))


def _token_invalid(one: Distorted) -> Reply:
    return one.reply(refused(gateway_refusal(GatewayCode.TOKEN_INVALID)))


def _redirected(one: Distorted) -> Reply:
    page = page_reply("", one.fault.http_status, one.at)
    return evolve(page, headers={**page.headers, "Location": one.request.rule.path})


def _misnamed(one: Distorted) -> Reply:
    other = "ka10001" if one.request.rule.purpose is Purpose.ORDER else "kt10000"
    return json_reply(other, one.content, one.at)


def _order_refused(one: Distorted) -> Reply:
    default = "RC4007" if one.flavour is Flavour.MOCK else "509247"
    return one.reply(business_refusal(Refusal.with_code(one.fault.code or default)))


def _query_failed(one: Distorted) -> Reply:
    return one.reply(business_refusal(Refusal.with_code(one.fault.code or "RC7006")))


DISTORTIONS: Final[Mapping[FaultKind, Callable[[Distorted], Reply]]] = {
    FaultKind.RATE_LIMITED: _too_many,
    FaultKind.RATE_LIMITED_GHOST: _too_many,
    FaultKind.SERVER_ERROR: _html,
    FaultKind.HTML_OK: _html,
    FaultKind.QUERY_SERVER_ERROR: _html,
    FaultKind.TRUNCATED_JSON: _truncated,
    FaultKind.NO_ORDER_NUMBER: _numberless,
    FaultKind.UNEXPECTED_ERROR: _unexpected,
    FaultKind.TOKEN_DIES: _token_invalid,
    FaultKind.REDIRECT: _redirected,
    FaultKind.WRONG_API_ID: _misnamed,
    FaultKind.ORDER_REFUSED: _order_refused,
    FaultKind.QUERY_ERROR: _query_failed,
    FaultKind.PAGE_FAILS: _query_failed,
}
