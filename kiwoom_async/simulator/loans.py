"""What is left of the shares that were bought on credit, loan by loan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from kiwoom_async._domain.vocabulary import Side
from kiwoom_async.simulator.orders import BookOrder


def loans_left(start: Mapping[date, int], orders: Iterable[BookOrder]) -> Counter[date]:
    """Count the units of one symbol that may still be sold, by the day of their loan.

    A sale takes them from the loan it names, one that names none from the oldest; what a sale still offers is taken
    already. The day of a purchase is the day of its loan. Both are our choice.

    Args:
        start: Units before the first order.
        orders: The orders of the symbol on credit.
    """
    left = Counter(start)
    sales = []
    for order in orders:
        if order.side is Side.BUY:
            left[order.day] += order.filled_quantity
        else:
            sales.append(order)
    # A sale that names its loan comes first: the others can take from any.
    for order in sorted(sales, key=lambda sale: sale.loan_date is None):
        rest = order.filled_quantity + order.leaves_quantity
        for day in [order.loan_date] if order.loan_date else sorted(left):
            taken = min(rest, left[day])
            left[day] -= taken
            rest -= taken
    return left
