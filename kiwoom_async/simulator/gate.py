"""The gateway in front of the order host: tokens and request limits."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from attrs import define, field, frozen

from kiwoom_async._domain.settings import Credentials, Limits
from kiwoom_async.simulator.catalog import Purpose
from kiwoom_async.simulator.chance import digits

TOKEN_LIFETIME: Final = timedelta(hours=24)
"""Source: the portal page, and a token of the mock that expired exactly 24 h later."""


@unique
class TokenPolicy(StrEnum):
    """What a second issue does while a token is valid. Reports contradict each other, so both are played."""

    SAME = "same"
    INVALIDATES = "invalidates"


@unique
class RateLimitStyle(StrEnum):
    """How too many requests are answered; both were seen."""

    HTTP_429 = "http_429"
    HTTP_200 = "http_200"


@frozen
class Token:
    """An access token."""

    text: str = field(repr=False)
    app_key: str = field(repr=False)
    expires_at: datetime


@define
class TokenOffice:
    """Issues and checks tokens; each app key has at most the tokens its policy allows."""

    seed: int
    policy: TokenPolicy = TokenPolicy.SAME
    credentials: tuple[Credentials, ...] = ()
    issued: int = 0
    _valid: dict[str, Token] = field(factory=dict)

    def knows(self, app_key: str, secret_key: str) -> bool:
        """Whether a pair of keys may have a token; without configured keys, every pair may."""
        return not self.credentials or Credentials(app_key, secret_key) in self.credentials

    def issue(self, app_key: str, now: datetime) -> Token:
        """Give an app key a token."""
        own = [token for token in self._valid.values() if token.app_key == app_key and token.expires_at > now]
        if own and self.policy is TokenPolicy.SAME:
            return own[-1]
        for token in own:
            del self._valid[token.text]
        self.issued += 1
        token = Token(f"SIM{digits(18, self.seed, 'token', self.issued)}", app_key, now + TOKEN_LIFETIME)
        self._valid[token.text] = token
        return token

    def accepts(self, authorization: str, now: datetime) -> bool:
        """Whether an authorization header carries a valid token."""
        scheme, _, text = authorization.partition(" ")
        token = self._valid.get(text.strip())
        return scheme.lower() == "bearer" and token is not None and token.expires_at > now

    def holder(self, text: str, now: datetime) -> str | None:
        """Name the app key of a valid token; None if the token is not valid."""
        token = self._valid.get(text)
        return token.app_key if token is not None and token.expires_at > now else None

    def revoke(self, text: str) -> None:
        """Kill one token."""
        self._valid.pop(text, None)

    def revoke_all(self) -> None:
        """Kill every token: their next use is refused."""
        self._valid.clear()


@define
class RateGate:
    """Counts recent requests, per class and per TR, as the portal describes it.

    The window is a second; for a rate below 1 it is as long as one request takes.

    Attributes:
        limits: What is allowed.
        refused: How many requests of each TR were refused.
    """

    limits: Limits
    refused: Counter[str] = field(factory=Counter)
    _passed: dict[str, deque[float]] = field(factory=dict)

    def refused_at(self, api_id: str, purpose: Purpose, tick: float) -> float | None:
        """Let a request pass, or give the rate it exceeds. A refused request is not counted."""
        of_class = {
            Purpose.ORDER: self.limits.orders_per_second,
            Purpose.QUERY: self.limits.queries_per_second,
        }.get(purpose)
        rates = ((purpose.name, of_class), (api_id, self.limits.per_tr_per_second))
        for name, rate in rates:
            if rate is not None and len(self._recent(name, tick, rate)) + 1 > max(rate, 1.0):
                self.refused[api_id] += 1
                return rate
        for name, rate in rates:
            if rate is not None:
                self._recent(name, tick, rate).append(tick)
        return None

    def _recent(self, name: str, tick: float, rate: float) -> deque[float]:
        window = max(1.0, 1.0 / rate)
        recent = self._passed.setdefault(name, deque())
        while recent and recent[0] <= tick - window:
            recent.popleft()
        return recent
