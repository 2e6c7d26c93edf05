"""What a row of the ledger says of credit: whether the order was placed on it, and which loan it repays."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_DAY: Final = re.compile(r"[0-9]{8}")

_CREDIT_WORDS: Final = ("융자", "신용", "대주")
"""융자매수 [S], +매수신용 [O, in the ka views]; 대주 is the lending of shares, which the order TRs do not serve."""


def parse_credit(kind: str, credit: str, loan_date: date | None) -> bool | None:
    """Tell an order on credit from one for cash; None where the texts do not tell, or tell both.

    For cash only where the kind of order itself says 현금: `crd_tp` 보통매매 stands beside it in the published
    example, and what stands there for an order on credit nobody has seen.
    """
    has_credit = any(word in text for word in _CREDIT_WORDS for text in (kind, credit))
    if "현금" in kind:
        return None if has_credit or loan_date is not None else False
    return True if has_credit else None


def parse_loan_date(text: object) -> date | None:
    """Read a day, `YYYYMMDD`; None for an empty one and for zeros, which both mean that there is none."""
    if text is None or (isinstance(text, str) and not text.strip().strip("0")):
        return None
    if not isinstance(text, str) or not _DAY.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a day")
    return date.fromisoformat(text.strip())
