"""What Kiwoom's texts say of credit: whether an order was placed on it, and which loan it repays."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_DAY: Final = re.compile(r"[0-9]{8}")

_CASH_WORD: Final = "현금"
_CREDIT_WORDS: Final = ("융자", "신용", "대주")
"""In a kind of order. Source: 융자매수 [S] in the ledger, +매수신용 in the ka views and FID 905; 대주, the lending of
shares, is Kiwoom's word for what the order TRs do not serve."""
_LOAN_WORDS: Final = ("융자", "대주")
"""In `crd_tp`, which has a text for every order: 보통매매 for cash [O, example], and for the others nobody has seen.
신용 alone is no sign there: it is the name of the field, and could as well be said of an order that has none."""


def parse_credit(kind: str, credit: str, loan_date: date | None) -> bool | None:
    """Tell an order on credit from one for cash; None where the texts do not tell, or tell both.

    For cash only where the kind of order itself says 현금: `crd_tp` 보통매매 stands beside it in the published
    example, and what stands there for an order on credit nobody has seen.

    Args:
        kind: 주문구분, for example 현금매수.
        credit: 신용구분 of the ledger; empty where there is none.
        loan_date: 대출일. It speaks against cash and proves nothing else.
    """
    is_credit = any(word in kind for word in _CREDIT_WORDS) or any(word in credit for word in _LOAN_WORDS)
    if _CASH_WORD in kind:
        return None if is_credit or loan_date is not None else False
    return True if is_credit else None


def parse_loan_date(text: object) -> date | None:
    """Read a day, `YYYYMMDD`; None for an empty one and for zeros, which both mean that there is none."""
    if text is None or (isinstance(text, str) and not text.strip().strip("0")):
        return None
    if isinstance(text, str) and _DAY.fullmatch(text.strip()):
        try:
            return date.fromisoformat(text.strip())
        except ValueError:
            pass  # eight digits that are no day
    raise ValueError(f"{text!r} is not a day")
