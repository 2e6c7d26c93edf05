"""Every named scenario of the sections A to F and H to J has a test of its name somewhere in this folder's parent."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

SCENARIOS: Final = {
    "A": """
        intent_row_is_durable_before_first_byte
        no_send_when_commit_fails_disk_full
        no_send_when_db_locked_past_busy_timeout
        same_key_same_params_returns_same_result_object
        same_key_concurrent_calls_one_post_all_waiters_share
        same_key_different_qty_raises_conflict_no_post
        same_key_different_price_side_symbol_venue_account_order_type
        same_params_normalised_not_conflict
        same_key_after_definite_reject_returns_reject_not_resend
        same_key_after_restart_returns_stored_result
        same_key_next_trading_day_returns_yesterdays_result
        in_progress_claim_never_expires
        exception_never_releases_claim
        missing_key_generates_and_returns_key_before_await
        key_survives_pickle_of_exception
    """,
    "B": """
        connect_refused_is_not_sent
        dns_failure_is_not_sent
        tls_handshake_failure_is_not_sent
        pool_timeout_is_not_sent
        rate_limiter_denied_locally_is_not_sent
        write_error_midway_is_unknown
        read_timeout_is_unknown
        server_closed_idle_keepalive_is_unknown
        502_503_504_html_body_is_unknown
        200_unparsable_is_unknown
        200_truncated_json_is_unknown
        200_rc0_blank_ord_no_is_unknown
        200_rc_nonzero_allowlisted_is_rejected
        200_rc_nonzero_not_allowlisted_is_unknown
        429_or_rc_rate_limit_defaults_unknown_then_fast_absence
        rate_limit_reply_but_order_in_ledger_is_claimed
        401_token_expired_never_auto_replays_post_unless_proven
        redirect_never_replays_post
        transport_retry_setting_never_resends_after_connect
        response_for_wrong_api_id_is_unknown
        http2_goaway_is_unknown_unless_stream_id_proves_unprocessed
    """,
    "C": """
        cancel_before_dispatch_never_sends
        cancel_during_commit_thread_then_no_orphan_send
        cancel_after_dispatch_keeps_reading_and_records_result
        asyncio_timeout_raises_pending_with_handle
        taskgroup_sibling_failure_does_not_lose_order
        loop_shutdown_drains_or_marks_unknown
        keyboard_interrupt_between_commit_and_write
        cancel_then_same_key_attaches_to_running_attempt
        late_response_after_caller_timeout_resolves_key
        double_cancel_of_waiters
    """,
    "D": """
        not_found_once_is_not_absent
        query_error_never_counts_as_absent
        partial_pages_void_snapshot
        cont_yn_without_next_key_voids
        repeated_next_key_voids
        row_inserted_while_paging_no_skip_no_dup
        stale_replica_without_witness_is_not_proof
        witness_order_present_certifies_freshness
        settle_time_uses_monotonic_clock
        immediately_filled_order_found_in_full_history_not_open_list
        immediately_cancelled_rejected_order_still_counts_as_accepted
        query_covers_KRX_NXT_SOR_and_odd_credit_after_hours
        wrong_account_snapshot_rejected
        snapshot_spanning_midnight_voids
        ledger_shrinks_between_snapshots_alarm
        acceptance_after_absence_verdict_revives_key
        feed_gap_voids_feed_certificate
    """,
    "E": """
        k1_m1_exclusive_claims
        k1_m0_absent
        k1_m2_never_guesses
        k2_m2_identical_fifo_binding_is_stable_across_restart
        k3_m2_identical_exactly_one_not_accepted
        k2_m1_different_obligations_is_ambiguous
        hall_violation_proves_foreign_actor
        time_windows_force_unique_assignment
        older_identical_order_never_claimed
        manual_identical_order_same_second_shared_account_is_candidate_not_claim
        channel_field_excludes_hts_order
        claimed_order_never_claimed_twice_unique_constraint_2_processes
        modified_root_still_matches_by_original_row
        sor_split_children_match_one_intent
        market_order_price_zero_echo
        clock_skew_plus_minus_5s
        ord_no_reuse_next_day
        reservation_pre_open_order_shows_on_next_day
    """,
    "F": """
        default_policy_never_resends
        resend_only_with_proof_and_new_attempt_row
        late_first_attempt_after_resend_detected
        duplicate_unfilled_cancelled_once_when_opted_in
        duplicate_partially_filled_surfaces_no_auto_hedge
        auto_cancel_never_touches_foreign_order
        acceptance_event_arrives_during_resend_decision_aborts
        max_two_attempts
    """,
    "H": """
        fill_event_before_order_response_buffered
        event_for_unknown_ord_no_adopted_after_claim
        duplicate_fill_event_once
        fill_from_rest_and_ws_once
        fills_out_of_order_converge
        cum_qty_regression_ignored_and_alarmed
        fill_after_cancel_confirmed_applied
        overfill_alarm
        reject_event_after_acceptance
    """,
    "I": """
        ambiguous_full_cancel_is_safe_to_resend
        ambiguous_partial_cancel_never_resent
        ambiguous_modify_resolved_by_orig_ord_no_row
        double_modify_second_rejected_because_root_consumed
        cancel_races_fill_not_error
        cancel_target_unknown_key_waits_then_cancels_late_cancel
    """,
    "J": """
        two_processes_same_key_one_post
        journal_on_a_network_is_refused
        eod_close
        resolve_key_as_is_audited_and_reversible
    """,
}
"""Names of the scenarios, with everything that cannot stand in a name made an underscore."""


def names_of_tests() -> frozenset[str]:
    """List the test functions of every module."""
    return frozenset(
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("section", SCENARIOS)
def test_every_scenario_has_a_test_of_its_name(section: str) -> None:
    """A scenario without a test is a promise that nobody checks."""
    wanted = {f"test_{name}" for name in SCENARIOS[section].split()}
    assert wanted <= names_of_tests(), sorted(wanted - names_of_tests())


def test_all_scenarios_are_listed() -> None:
    """The sections have as many names as there are scenarios with the numbers 1 to 89 and 102 to 118.

    Scenarios 6 and 7 are two names; 75 is one name although it is written over two lines; 117 and 118 are two each.
    """
    counts = {section: len(names.split()) for section, names in SCENARIOS.items()}
    assert counts == {"A": 15, "B": 21, "C": 10, "D": 17, "E": 18, "F": 8, "H": 9, "I": 6, "J": 4}
