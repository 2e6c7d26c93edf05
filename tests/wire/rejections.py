"""Every answer of the order host with a code that has been seen, and the TRs that it may be an answer to."""

from __future__ import annotations

from typing import Final

ORDER_TRS: Final = (
    "kt10000 kt10001 kt10002 kt10003 kt10006 kt10007 kt10008 kt10009 kt50000 kt50001 kt50002 kt50003".split()  # noqa: SIM905
)

REFUSALS: Final = {
    "RC4003": "모의투자 호가단위 오류입니다.",
    "RC4007": "모의투자 매매제한 종목입니다.",
    "RC4010": "모의투자 영업일이 아닙니다",
    "RC4025": "모의투자 주문가능금액을 확인하세요.",
    "RC4027": "모의투자 상/하한가 오류입니다.",
    "RC4033": "모의투자 정정/취소할 수량이 없습니다.",
    "RC4057": "모의투자 장시작전",
    "RC4058": "모의투자 장종료",
    "RC4061": "모의투자 주문번호를 확인하세요.",
    "RC4091": "모의투자 종료된 계좌입니다. 다시 신청해주시기 바랍니다.",
    "RC5006": "모의투자 개인공매도이수전용",
    "RC7006": "모의투자 조회실패",
    "RC9000": "모의투자에서는 해당업무가 제공되지 않습니다.",
    "800033": "매도가능수량이 부족합니다. 3주 매도가능",
    "855056": "매수증거금이 부족합니다. 16주 매수가능",
    "308003": "주문단가를 입력하십시요",
    "502048": "단가를 입력하지 않는 호가입니다",
    "571357": "시간외종가 주문시에는 단가를 입력하지 않습니다",
    "571557": "주문단가를 잘못입력하셨습니다",
    "521790": "해당 호가유형은 주문 불가능한 시간입니다.",
    "505217": "휴장시간으로 취소주문만 가능합니다.",
    "571412": "SOR정정 및 취소주문은 원주문이 SOR주문인 경우 가능합니다.",
    "571435": "원주문이취소주문입니다",
    "506550": "취소가능수량이 없습니다.",
    "506560": "주문가능금액이 부족합니다.",
    "509193": "CB 발동중입니다.",
    "509247": "파생상품 ETF 거래신청 등록 후 주문이 가능합니다.",
    "571489": "장이 열리지 않는 날입니다.",
    "857024": "호가단위를 확인하세요",
    "508540": "해외증권주문 가능 계좌가 아닙니다.",
    "571242": "매수 불가한 종목입니다",
}
"""Every rejection of an order that has been seen, by the order host.

Source: the collection of rejections that the facts of the wire come with; each code once."""

EMPTY_LISTS: Final = {"571758": "해당 계좌의미체결내역이 없습니다.", "501724": "관련자료가없습니다"}
"""The codes of that collection that say that a list is empty: about an order they prove nothing."""
