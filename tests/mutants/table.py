"""The dangerous mistakes, each as a change of the source, and the tests that must notice it.

A test is named by its file and function. Keep those that are quick, and two where one would do by chance.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

ASSERTIONS: Final = frozenset({"AssertionError", "Failed"})
"""How a test says that a promise is broken; `Failed` is what `pytest.raises` and `pytest.fail` raise."""


@frozen
class Mutant:
    """One mistake.

    Attributes:
        file: In the package.
        changes: Pieces of its text that occur once, and what stands there instead.
        noticed_by: Every one of these tests must fail.
        errors: Names of the errors by which they may fail.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    noticed_by: tuple[str, ...]
    errors: frozenset[str] = ASSERTIONS


_TRANSACTIONS: Final = "tests/journal/test_transactions.py"
_MATCHING: Final = "tests/domain/test_matching.py"
_ABSENCE: Final = "tests/domain/test_absence.py"
_OUTCOMES: Final = "tests/wire/test_outcomes.py"

MUTANTS: Final = (
    # The six that the project has named from its first day.
    Mutant(
        "error means absent",
        "_wire/answers.py",
        (
            ("raise QueryFailed(api_id, reading.flaw)", "return Page({}, None)"),
            ("raise _query_error(reading, api_id)", "return Page({}, None)"),
        ),
        ("tests/wire/test_answers.py::test_failure_is_not_absence",),
    ),
    Mutant(
        "drop the channel check",
        "_domain/relations.py",
        (("    told = channels.relation(row.channel)\n", "    told = Relation.LIKELY\n"),),
        (
            f"{_MATCHING}::test_channel_field_excludes_hts_order",
            f"{_MATCHING}::test_unfamiliar_channel_blocks_absence_and_is_not_claimed",
        ),
    ),
    Mutant(
        "skip the high-water mark",
        "_domain/relations.py",
        (("row.day != claimant.day or row.number > claimant.mark", "True"),),
        (f"{_MATCHING}::test_older_identical_order_never_claimed",),
    ),
    Mutant(
        "claim twice",
        "_journal/conclusions.py",
        (("_find_holder(connection, attempt, finding)", "None"),),
        (f"{_TRANSACTIONS}::test_claimed_order_never_claimed_twice",),
    ),
    Mutant(
        "resend without proof",
        "_journal/permissions.py",
        (("    return decisive.state in _MAY_BE_FOLLOWED or (", "    return True or ("),),
        (f"{_TRANSACTIONS}::test_only_a_known_end_may_be_followed",),
    ),
    Mutant(
        "release the claim on an exception",
        "_execution/dispatcher.py",
        (
            (
                "self._sender.stamp(Finding(Event.LOST, reason=reason))",
                "self._sender.stamp(Finding(Event.PROVEN_UNSENT))",
            ),
        ),
        ("tests/scenarios/test_a_journal.py::test_exception_never_releases_claim",),
    ),
    # The same mistakes at other places.
    Mutant(
        "no answer means absent",
        "_execution/reconciler.py",
        (
            (
                "                found.why.update((attempt.key, f",
                """                for one in of_desk(desk, wanted):
                    await self._journal.conclude(one, Finding(Event.PROVEN_ABSENT))
                found.why.update((attempt.key, f""",
            ),
        ),
        ("tests/scenarios/test_d_absence.py::test_cont_yn_without_next_key_voids",),
        errors=frozenset({"OrderNotAccepted"}),  # the false answer itself
    ),
    Mutant(
        "send without looking at the highest number first",
        "_journal/permissions.py",
        (("mark=read_high_water(connection, place),", "mark=0,"),),
        (f"{_TRANSACTIONS}::test_high_water_mark_only_rises",),
    ),
    Mutant(
        "resend on a weak proof",
        "_domain/absence.py",
        (("return self.strength is Strength.STRONG", "return True"),),
        (f"{_ABSENCE}::test_weak_proof_informs_and_never_authorizes_a_resend",),
    ),
    Mutant(
        "resend although the feed has told of an order",
        "_journal/conclusions.py",
        (("        if surprise is not None:\n", "        if False:\n"),),
        ("tests/journal/test_lives.py::test_report_that_came_after_a_proof_holds_it_back",),
    ),
    # What else would double, lose or misreport an order.
    Mutant(
        "write before the commit",
        "_journal/workers.py",
        (
            (
                'self._connection.execute("BEGIN IMMEDIATE")',
                'self._connection.in_transaction or self._connection.execute("BEGIN IMMEDIATE")',
            ),
            ('            self._connection.execute("COMMIT")\n', ""),
        ),
        ("tests/scenarios/test_a_journal.py::test_intent_row_is_durable_before_first_byte",),
    ),
    Mutant(
        "write after the deadline of the permission",
        "_execution/sender.py",
        (("if self._ambient.monotonic() > attempt.write_until:", "if False:"),),
        ("tests/scenarios/test_c_cancellation.py::test_permission_that_ran_out_sends_nothing",),
    ),
    Mutant(
        "a cancelled caller cancels the send",
        "_execution/dispatcher.py",
        (("if not flight.is_wanted and flight.stage in MAY_BE_CALLED_OFF:", "if not flight.is_wanted:"),),
        ("tests/scenarios/test_c_cancellation.py::test_cancel_after_dispatch_keeps_reading_and_records_result",),
    ),
    Mutant(
        "settle time by the wall clock",
        "_domain/absence.py",
        (
            (
                "        dead_since=dead_since,\n        dead_at",
                """        dead_since=dead_since - attempt.ended + now_monotonic - (now - attempt.ended_at).seconds,
        dead_at""",
            ),
        ),
        (f"{_ABSENCE}::test_settle_time_uses_monotonic_clock",),
    ),
    Mutant(
        "compare the stamps of two boots",
        "_domain/absence.py",
        (("    if attempt.boot_id != boot_id:\n", "    if False:\n"),),
        (f"{_ABSENCE}::test_stamps_of_another_boot_are_not_compared",),
    ),
    Mutant(
        "skip the second look",
        "_domain/absence.py",
        (
            ("    if last.began < looks[0].began + bound:\n", "    if False:\n"),
            ("if last.began >= first.began + bound and case", "if case"),
        ),
        (f"{_ABSENCE}::test_not_found_once_is_not_absent",),
    ),
    Mutant(
        "pages that moved are a complete look",
        "_execution/ledger_reader.py",
        (("        if pages > 1:\n", "        if False:\n"),),
        ("tests/execution/test_ledger_reader.py::test_row_that_slips_past_the_reader_voids_the_look",),
    ),
    Mutant(
        "a rate limit means refused",
        "_wire/outcomes.py",
        (
            (
                "    CodeMeaning.BUSINESS_REFUSAL: frozenset({200}),\n",
                """    CodeMeaning.BUSINESS_REFUSAL: frozenset({200}),
    CodeMeaning.RATE_LIMIT: frozenset({200, 400, 429}),
""",
            ),
        ),
        (f"{_OUTCOMES}::test_429_or_rc_rate_limit_defaults_unknown",),
    ),
    Mutant(
        "an error of the server means refused",
        "_wire/outcomes.py",
        (
            (
                '(lambda r: r.status >= 500, _unclear("HTTP {status}", is_answered=False))',
                "(lambda r: r.status >= 500 and r.meaning is not None, _refuse)",
            ),
        ),
        (f"{_OUTCOMES}::test_codes_are_believed_under_fitting_statuses",),
    ),
    Mutant(
        "a write that failed has not left",
        "_wire/outcomes.py",
        (("        if exchange.handed_over:\n", "        if False:\n"),),
        (f"{_OUTCOMES}::test_breakdowns_are_judged_by_the_mark_alone",),
    ),
    Mutant(
        "twins do not wait",
        "_journal/permissions.py",
        (("_open_twin(connection, plan) if plan.waits_for_twins else None", "None"),),
        (f"{_TRANSACTIONS}::test_open_twin_waits",),
    ),
    Mutant(
        "repeat a cancel of a part",
        "_domain/intents.py",
        (("return self.action is Action.CANCEL and self.quantity is None", "return self.action is Action.CANCEL"),),
        (f"{_TRANSACTIONS}::test_full_cancel_may_be_repeated_while_unknown",),
    ),
    Mutant(
        "a number of yesterday names an order of today",
        "_domain/intents.py",
        (("return self.original is None or self.original_day == day", "return True"),),
        ("tests/scenarios/test_other_days.py::test_midnight_before_the_permission_stops_a_modify_or_cancel",),
        errors=ASSERTIONS | {"OrderRefused"},  # so it was sent
    ),
    Mutant(
        "count a fill twice",
        "_domain/life.py",
        (
            ("    if not told or told < life.filled_quantity:\n", "    if not told:\n"),
            ("    if told == life.filled_quantity:\n", "    if False:\n"),
            ("        filled_quantity=told,\n", "        filled_quantity=life.filled_quantity + told,\n"),
        ),
        ("tests/domain/test_life.py::test_duplicate_fill_event_once",),
    ),
    Mutant(
        "guess between two orders",
        "_domain/matching.py",
        (("        if full:\n", "        if False:\n"),),
        (f"{_MATCHING}::test_k1_m2_never_guesses", f"{_MATCHING}::test_hall_violation_proves_foreign_actor"),
    ),
)
