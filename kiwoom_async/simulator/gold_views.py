"""The gold account: kt50020 and kt50021. Quantities are grams; rates have four digits and no padding."""

from __future__ import annotations

from kiwoom_async.simulator.books import Books, Position
from kiwoom_async.simulator.rendering import Row, name_of, padded
from kiwoom_async.simulator.statements import NARROW, WIDE, Body, Statement, Told, amount, percent, zeros


def gold_balance(body: Body, books: Books) -> Told:  # noqa: ARG001 - one signature for all
    """Answer kt50020: the gold, and the sums of the account."""
    cash, every = books.cash(), books.positions(is_gold=True)
    cost, worth = sum(round(each.cost) for each in every), sum(map(books.worth, every))
    head = {
        "tot_entr": padded(cash.deposit, NARROW),
        "net_entr": padded(cash.in_2_days, NARROW),
        "tot_est_amt": padded(worth, NARROW),
        "net_amt": padded(cash.deposit + worth, NARROW),
        "tot_book_amt2": padded(cost, NARROW),
        "tot_dep_amt": padded(cash.in_2_days + worth, NARROW),
        "paym_alowa": padded(cash.withdrawable, NARROW),
        "pl_amt": amount(sum(each.realized for each in every), NARROW),
    }
    return Statement(head, "gold_acnt_evlt_prst", tuple(_holding(position, books) for position in every))


def _holding(position: Position, books: Books) -> Row:
    cost, worth = round(position.cost), books.worth(position)
    average = position.cost / position.quantity
    return {
        "stk_cd": position.symbol,
        "stk_nm": name_of(position.symbol),
        "real_qty": padded(position.quantity, NARROW),
        "avg_prc": amount(average, NARROW),
        "cur_prc": padded(books.last_price(position.symbol), NARROW),
        "est_amt": padded(worth, NARROW),
        "est_lspft": padded(worth - cost, NARROW),
        "est_ratio": percent(worth - cost, cost, 4),
        "cmsn": padded(0, NARROW),
        "vlad_tax": padded(0, NARROW),
        "book_amt2": padded(cost, NARROW),
        # The one price of the view with digits behind the point, and without zeros before it [O, example].
        "pl_prch_prc": f"{float(average):.2f}",
        "qty": padded(position.settled, NARROW),
        "buy_qty": padded(position.bought_today, NARROW),
        "sell_qty": padded(position.sold_today, NARROW),
        "able_qty": padded(position.sellable, NARROW),
    }


def gold_deposit(body: Body, books: Books) -> Told:  # noqa: ARG001 - one signature for all
    """Answer kt50021: the cash for gold."""
    cash = books.cash()
    bought, sold = (sum(worth[due] for due in (1, 2)) for worth in (cash.bought, cash.sold))
    head = {
        "entra": padded(cash.deposit, WIDE),
        "profa_ch": padded(cash.margin, WIDE),
        **zeros("chck_ina_amt etc_loan etc_loan_dlfe etc_loan_tot", WIDE),
        "prsm_entra": padded(cash.in_2_days, WIDE),
        "buy_exct_amt": padded(bought, WIDE),
        "sell_exct_amt": padded(sold, WIDE),
        "sell_buy_exct_amt": padded(sold - bought, WIDE),
        "dly_amt": padded(0, WIDE),
        "prsm_pymn_alow_amt": padded(max(0, min(cash.in_2_days, cash.orderable)), WIDE),
        "pymn_alow_amt": padded(cash.withdrawable, WIDE),
        "ord_alow_amt": padded(cash.orderable, WIDE),
    }
    return Statement(head)
