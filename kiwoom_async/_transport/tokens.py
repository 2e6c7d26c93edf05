"""The access token: issued once for all who wait, renewed in time, dropped once when Kiwoom refuses it.

One token serves all tasks and, through a `TokenStore`, all processes of a key, because Kiwoom may invalidate the older
one when another is issued, and because issuing is limited much harder than anything else. Reports contradict each other
about what a second issue does. Both answers are safe here: the same token is taken as the new one, and a token that
died because another process has renewed it is found refused, and the newer one in its place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from typing import Any, Final

import anyio
from attrs import frozen

from kiwoom_async._domain.ambient import Ambient
from kiwoom_async._domain.settings import KST, Credentials, Timing
from kiwoom_async._domain.sharing import SharedStateUnusable, Token, TokenRecord, TokenStore
from kiwoom_async._transport.session import RestSession
from kiwoom_async._wire.exchange import Answer, Breakdown, Exchange
from kiwoom_async._wire.json_text import read_json, storable
from kiwoom_async.errors import AuthenticationError, KiwoomError, NotSent

_LOG: Final = logging.getLogger("kiwoom_async")

ISSUE: Final = "au10001"
REVOKE: Final = "au10002"

RENEW_BEFORE: Final = timedelta(seconds=600)
"""Source: Kiwoom's published client renews 600 s before the end."""

STILL_SERVES: Final = timedelta(seconds=30)
"""A token with more than that left is given at once while its renewal goes on; with less, the renewal is waited for.
Source: our choice: a request that leaves now has been read by Kiwoom long before."""

COOL_DOWN: Final = 1.1
"""Seconds between the starts of two issues; doubled after each setback. Source: the mock takes one request
per second and TR, measured as 1.05 s; issuing is said to be limited harder, without a number."""

COOL_DOWN_AT_MOST: Final = 10.0
"""Seconds. Source: our choice: a permanently refused key must not flood Kiwoom, and a network that is back
must not find us asleep."""

SHORT_LIFE: Final = 60.0
"""A token refused within this many seconds of its issue counts as a setback, so that a permanent refusal
slows down.
Source: our choice; a healthy token lives 24 hours."""

RENEW_AGAIN: Final = 60.0
"""Seconds until the next attempt where a renewal brought a token that ends as soon as the old one: Kiwoom may give the
same one back as long as it is valid.
Source: our choice: ten attempts in the last ten minutes of a token's life."""

_CODE: Final = re.compile(r"\[([0-9A-Z]{3,6}):")
"""The gateway writes `category[CODE:text]`. Source: Kiwoom's published client looks for `\\[(\\d{3,5}):`."""

_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
"""The header of every request carries it. Source: our choice, the length of a header that every gateway takes."""

_EXPIRY: Final = re.compile(r"[0-9]{14}")

_LONGEST_CODE: Final = 20
"""Characters of a return code. Source: our choice; the published ones have four."""

_LONGEST_MESSAGE: Final = 500
"""Characters of a message that are kept. Source: our choice; those seen have under 100."""

_RATE_LIMIT_CODES: Final = frozenset({"1700", "1701", "1702"})
_BAD_REQUEST: Final = 400
_SERVER_FAULT: Final = 500
_TOO_MANY_REQUESTS: Final = 429


@frozen
class _Failure:
    """Why there is no token; each waiter raises an error of its own from it."""

    text: str
    code: str | None = None
    broker_message: str = ""

    def error(self) -> KiwoomError:
        if self.code is None:
            return NotSent(
                f"No access token: {self.text}. Nothing that needs one was sent; the next call tries again.",
                api_id=ISSUE,
            )
        return AuthenticationError(
            f"Kiwoom refused to issue an access token ({self.code}): {self.text}. Nothing was sent. "
            "Check the app key and the secret, that they belong to this environment (live and mock have "
            "their own), and that this machine's address is registered on the portal.",
            code=self.code,
            broker_message=self.broker_message,
            api_id=ISSUE,
        )


class TokenKeeper:
    """Keep one valid token.

    Args:
        session: Where to ask.
        credentials: The app key and the secret.
        ambient: The clocks.
        timing: How long to wait for a connection and for an answer.
        store: Shared with other processes. None: this process keeps its own token.
        adopts_within: At the start, a token of the store is taken only if it was issued within so many seconds. None:
            any valid one.
    """

    def __init__(
        self,
        session: RestSession,
        credentials: Credentials,
        ambient: Ambient,
        timing: Timing,
        *,
        store: TokenStore | None = None,
        adopts_within: float | None = None,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._ambient = ambient
        self._timing = timing
        self._store = store
        self._adopts_within = adopts_within
        self._token: Token | None = None
        self._refused: str | None = None
        self._issue: asyncio.Task[Token | _Failure] | None = None
        self._started_at: float | None = None
        self._setbacks = 0
        self._has_had_one = False
        self._renew_after = -math.inf
        self._last_failure = _Failure("none was issued yet")
        self._is_closed = False

    async def get(self, *, deadline: float | None = None) -> Token:
        """Give the valid token; issue one where there is none.

        A token near its end is renewed in the background: a slow or failing renewal holds nobody up as long as the old
        one serves.

        Args:
            deadline: A value of `Ambient.monotonic`. None: wait as long as one issue takes.

        Raises:
            AuthenticationError: Kiwoom refused the credentials; `.code` says why.
            NotSent: The token could not be had, for reasons of the network, the rate limit or the deadline.

        Cancellation: Ends this wait only; the issue goes on for the others.

        Source: au10001.
        """
        token = self._token
        if token is not None and (self._is_fresh(token) or self._rests_while_valid(token)):
            return token
        issue = self._begin_issue()
        if token is not None and self._ambient.now() < token.expires_at - STILL_SERVES:
            return token
        outcome = await self._outcome_of(issue, deadline)
        if isinstance(outcome, Token):
            return outcome
        if token is not None and token is self._token and self._ambient.now() < token.expires_at:
            return token
        raise outcome.error()

    def _begin_issue(self) -> asyncio.Task[Token | _Failure] | None:
        if self._issue is None and not self._is_closed:
            self._issue = asyncio.create_task(self._issue_once(), name="kiwoom_async token issue")
            self._issue.add_done_callback(self._look_at)
        return self._issue

    async def _outcome_of(
        self, issue: asyncio.Task[Token | _Failure] | None, deadline: float | None
    ) -> Token | _Failure:
        if issue is None:
            raise _closed()
        seconds = None if deadline is None else max(0.0, deadline - self._ambient.monotonic())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(issue)
        except TimeoutError:
            return _Failure(f"none came before the deadline; before that: {self._last_failure.text}")
        except asyncio.CancelledError as error:
            # `aclose` cancels the issue, not those who wait for it: to them that is an answer.
            task = asyncio.current_task()
            if not issue.cancelled() or task is None or task.cancelling():
                raise
            raise _closed() from error

    def reject(self, token: Token) -> None:
        """Drop a token that Kiwoom refused (8005 and its family).

        Compares first: of many requests that were refused with the same token only the first one drops it, so
        that they cause one new issue.
        """
        if self._token is None or self._token.value != token.value:
            return
        self._token = None
        self._refused = token.value
        if self._issue is not None:
            # The renewal under way may have ended it, which says nothing against the new one.
            return
        age = self._ambient.monotonic() - (self._started_at or 0.0)
        self._setbacks = self._setbacks + 1 if self._started_at is not None and age < SHORT_LIFE else 0

    async def revoke(self) -> bool:
        """Give the token back to Kiwoom and forget it, here and for every process that shares it.

        Who needs a token after that gets a new one.

        Returns:
            Whether Kiwoom confirmed it. False also where there was none.

        Source: au10002.
        """
        if self._issue is not None:
            await asyncio.wait({self._issue})
        token = self._token or (await self._load()).token
        if token is None:
            return False
        self._token, self._refused = None, token.value
        if self._store is not None:
            with suppress(SharedStateUnusable):
                await self._store.forget(token)
        outcome = _parse(await self._post("/oauth2/revoke", REVOKE, token=token.value), self._credentials)
        return not isinstance(outcome, _Failure)

    async def aclose(self) -> None:
        """End an issue that is under way. The token stays valid at Kiwoom; see `revoke`."""
        self._is_closed = True
        task, self._issue = self._issue, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _issue_once(self) -> Token | _Failure:
        try:
            if self._store is None:
                return await self._issue_now()
            if (shared := await self._adopt()) is not None:
                return shared
            async with AsyncExitStack() as stack:
                with suppress(SharedStateUnusable):
                    await stack.enter_async_context(self._store.issuing())
                # Whoever was in there before us has issued one for us too, unless it died or failed.
                if (shared := await self._adopt()) is not None:
                    return shared
                return await self._issue_now()
        finally:
            self._issue = None

    def _look_at(self, issue: asyncio.Task[Token | _Failure]) -> None:
        # A fault of the store is raised in those who wait; nobody may, and then it must not be reported as lost.
        if not issue.cancelled() and (error := issue.exception()) is not None and self._token is not None:
            _LOG.error("the access token could not be renewed for a fault of the library", exc_info=error)
            self._renew_after = self._ambient.monotonic() + RENEW_AGAIN

    async def _issue_now(self) -> Token | _Failure:
        await self._cool_down()
        self._started_at = self._ambient.monotonic()
        exchange = await self._post("/oauth2/token", ISSUE, grant_type="client_credentials")
        answer = _parse(exchange, self._credentials)
        outcome = answer if isinstance(answer, _Failure) else _token_in(answer, self._ambient.now())
        if isinstance(outcome, Token):
            self._take(outcome)
        else:
            self._setbacks += 1
            self._last_failure = outcome
            if self._token is not None:
                until = self._token.expires_at
                _LOG.warning("the access token, valid until %s, could not be renewed yet: %s", until, outcome.text)
        await self._save(outcome if isinstance(outcome, Token) else None)
        return outcome

    async def _save(self, token: Token | None) -> None:
        if self._store is None:
            return
        with suppress(SharedStateUnusable):
            kept = token or (await self._store.load()).token
            await self._store.save(TokenRecord(kept, self._started_at, self._setbacks))

    async def _adopt(self) -> Token | None:
        """Take what another process has issued, if it is of use."""
        record = await self._load()
        token = record.token
        age = math.inf if record.attempted is None else self._ambient.monotonic() - record.attempted
        if record.attempted is not None and record.attempted > (self._started_at or -math.inf):
            self._started_at, self._setbacks = record.attempted, record.setbacks
        if token is None or token.value == self._refused or self._ambient.now() >= token.expires_at:
            return None
        if not self._has_had_one and self._adopts_within is not None and age > self._adopts_within:
            return None
        if not self._is_fresh(token) and age > RENEW_AGAIN:
            return None
        self._take(token)
        return token

    def _take(self, token: Token) -> None:
        self._token, self._has_had_one = token, True
        if not self._is_fresh(token) and self._started_at is not None:
            self._renew_after = self._started_at + RENEW_AGAIN

    async def _load(self) -> TokenRecord:
        if self._store is not None:
            with suppress(SharedStateUnusable):
                return await self._store.load()
        return TokenRecord()

    def _is_fresh(self, token: Token) -> bool:
        return self._ambient.now() < token.expires_at - RENEW_BEFORE

    def _rests_while_valid(self, token: Token) -> bool:
        # A renewal has just failed, or brought nothing better: the next one can wait while the old token still serves.
        rests = self._rest() > 0 or self._ambient.monotonic() < self._renew_after
        return self._issue is None and rests and self._ambient.now() < token.expires_at

    def _rest(self) -> float:
        if self._started_at is None:
            return 0.0
        pause = min(COOL_DOWN_AT_MOST, COOL_DOWN * 2.0 ** min(self._setbacks, 10))
        return self._started_at + pause - self._ambient.monotonic()

    async def _cool_down(self) -> None:
        while (rest := self._rest()) > 0:  # noqa: ASYNC110 - waits for time, not for an event
            await anyio.sleep(rest)

    async def _post(self, path: str, api_id: str, **fields: str) -> Exchange:
        body = {
            **fields,
            "appkey": self._credentials.app_key,
            "secretkey": self._credentials.secret_key,
        }
        return await self._session.post(
            path,
            headers={"api-id": api_id},
            content=json.dumps(body).encode(),
            connect_timeout=self._timing.connect_timeout,
            response_timeout=self._timing.response_timeout,
        )


def _closed() -> NotSent:
    return NotSent("The client was closed before it had a token. Nothing that needs one was sent.", api_id=ISSUE)


def _parse(exchange: Exchange, credentials: Credentials) -> dict[str, Any] | _Failure:
    """Read an answer about tokens. No text quotes the content: it can hold a token."""
    if isinstance(exchange, Breakdown):
        return _Failure(f"the request failed ({exchange.detail})")
    answer = _object_in(exchange)
    if answer is None:
        return _Failure(f"the answer (HTTP {exchange.status}) is not a JSON object")
    return_code = _return_code_in(answer)
    if return_code in {"0", "0000"} and exchange.status < _BAD_REQUEST:
        return answer
    told = answer.get("return_msg")
    message = storable(told) if isinstance(told, str) else ""
    for secret in (credentials.app_key, credentials.secret_key):
        message = message.replace(secret, "…")
    found = _CODE.search(message)
    code = found[1] if found else return_code
    message = message[:_LONGEST_MESSAGE]
    if exchange.status == _TOO_MANY_REQUESTS or code in _RATE_LIMIT_CODES:
        return _Failure(f"Kiwoom's rate limit for issuing tokens was met ({code})")
    # The authentication codes are the 8000s; return_code 3 is their envelope. Others say nothing about the
    # key.
    if exchange.status < _SERVER_FAULT and (code.startswith("8") or return_code == "3"):
        return _Failure(message, code=code, broker_message=message)
    return _Failure(f"Kiwoom answered HTTP {exchange.status}, code {code}: {message}")


def _return_code_in(answer: dict[str, Any]) -> str:
    """Read the code; one that cannot be read is no success."""
    raw = answer.get("return_code", 0)
    is_readable = isinstance(raw, int | str) and not isinstance(raw, bool)
    return storable(str(raw))[:_LONGEST_CODE] if is_readable else "unreadable"


def _object_in(answer: Answer) -> dict[str, Any] | None:
    try:
        content = read_json(answer.content)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _token_in(answer: dict[str, Any], now: datetime) -> Token | _Failure:
    value, expires = answer.get("token"), answer.get("expires_dt")
    # Printable ASCII without blanks: anything else would break the header of every later request.
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        return _Failure("the answer holds no token")
    try:
        if not isinstance(expires, str) or not _EXPIRY.fullmatch(expires):
            raise ValueError("strptime would also take one that breaks off, for another moment")
        # Korean time without a zone (measured: exactly 24 hours after an issue in Korea).
        expires_at = datetime.strptime(expires, "%Y%m%d%H%M%S").replace(tzinfo=KST)
    except ValueError:
        return _Failure("expires_dt in the answer is not YYYYMMDDHHmmss")
    if expires_at <= now:
        return _Failure("the token in the answer has expired already: compare this machine's clock with Korean time")
    return Token(value, expires_at)
