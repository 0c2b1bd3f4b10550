"""The verdict table."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from proxyapp.policy import RESENDS, WAITS, Fault, Move, Options, fault_of_status, verdict

ALONE = Options(attempts_left=2, other_account=False, other_target=False)
POOL = Options(attempts_left=2, other_account=True, other_target=False)
ROUTE = Options(attempts_left=2, other_account=False, other_target=True)
SPENT = Options(attempts_left=0, other_account=True, other_target=True)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (200, Fault.NONE),
        (204, Fault.NONE),
        (301, Fault.BACKEND),
        (307, Fault.BACKEND),
        (400, Fault.REQUEST),
        (401, Fault.CREDENTIAL),
        (402, Fault.ACCOUNT),
        (403, Fault.ACCOUNT),
        (404, Fault.MODEL),
        (409, Fault.REQUEST),
        (413, Fault.REQUEST),
        (422, Fault.REQUEST),
        (429, Fault.LIMITED),
        (500, Fault.TRANSIENT),
        (529, Fault.TRANSIENT),
    ],
)
def test_statuses_are_read_as_somebodys_fault(status: int, fault: Fault) -> None:
    assert fault_of_status(status) is fault


@pytest.mark.parametrize(
    ("fault", "alone", "pool", "route"),
    [
        (Fault.NONE, Move.GO_ON, Move.GO_ON, Move.GO_ON),
        (Fault.REQUEST, Move.GIVE_UP, Move.GIVE_UP, Move.GIVE_UP),
        (Fault.QUIRK, Move.AGAIN_WITHOUT, Move.AGAIN_WITHOUT, Move.AGAIN_WITHOUT),
        (Fault.OVERFLOW, Move.GIVE_UP, Move.GIVE_UP, Move.GIVE_UP),
        (Fault.MODEL, Move.GIVE_UP, Move.GIVE_UP, Move.NEXT_TARGET),
        (Fault.TARGET, Move.GIVE_UP, Move.GIVE_UP, Move.NEXT_TARGET),
        (Fault.CREDENTIAL, Move.GIVE_UP, Move.NEXT_ACCOUNT, Move.NEXT_TARGET),
        (Fault.ACCOUNT, Move.GIVE_UP, Move.NEXT_ACCOUNT, Move.NEXT_TARGET),
        (Fault.LIMITED, Move.GIVE_UP, Move.NEXT_ACCOUNT, Move.NEXT_TARGET),
        (Fault.TRANSIENT, Move.SAME_ACCOUNT, Move.NEXT_ACCOUNT, Move.NEXT_TARGET),
        (Fault.AMBIGUOUS, Move.GIVE_UP, Move.NEXT_ACCOUNT, Move.NEXT_TARGET),
        (Fault.BILLED, Move.GIVE_UP, Move.GIVE_UP, Move.GIVE_UP),
        (Fault.BACKEND, Move.GIVE_UP, Move.GIVE_UP, Move.NEXT_TARGET),
    ],
)
def test_the_table(fault: Fault, alone: Move, pool: Move, route: Move) -> None:
    assert (verdict(fault, ALONE), verdict(fault, POOL), verdict(fault, ROUTE)) == (alone, pool, route)


def test_the_same_account_is_tried_again_only_once() -> None:
    assert verdict(Fault.TRANSIENT, Options(1, False, False, same_tried_again=True)) is Move.GIVE_UP


def test_a_prompt_that_is_too_long_goes_to_a_larger_target_and_to_nobody_else() -> None:
    larger = replace(POOL, other_target=True, larger_target=True)
    assert verdict(Fault.OVERFLOW, larger) is Move.NEXT_TARGET
    assert verdict(Fault.OVERFLOW, replace(larger, attempts_left=0)) is Move.GIVE_UP
    assert verdict(Fault.OVERFLOW, replace(larger, larger_target=False)) is Move.GIVE_UP


def test_leaving_something_out_counts_as_an_attempt() -> None:
    assert verdict(Fault.QUIRK, SPENT) is Move.GIVE_UP


def test_a_refused_token_is_refreshed_before_anybody_else_is_asked() -> None:
    for options in (ALONE, POOL, ROUTE):
        assert verdict(Fault.CREDENTIAL, replace(options, can_refresh=True)) is Move.REFRESH
        assert verdict(Fault.ACCOUNT, replace(options, can_refresh=True)) is not Move.REFRESH
    assert verdict(Fault.CREDENTIAL, replace(SPENT, can_refresh=True)) is Move.GIVE_UP


@pytest.mark.parametrize("fault", sorted(WAITS))
def test_a_refused_request_waits_once_when_that_helps_and_nobody_else_does(fault: Fault) -> None:
    soon = replace(ALONE, recovers_in_time=True)
    assert verdict(fault, soon) is Move.WAIT
    assert verdict(fault, replace(soon, has_waited=True)) is Move.GIVE_UP
    assert verdict(fault, replace(soon, other_account=True)) is Move.NEXT_ACCOUNT
    assert verdict(fault, replace(soon, other_target=True)) is Move.NEXT_TARGET


@pytest.mark.parametrize("fault", sorted(set(Fault) - WAITS - {Fault.NONE}))
def test_nothing_else_is_worth_waiting_for(fault: Fault) -> None:
    assert verdict(fault, replace(ALONE, recovers_in_time=True)) is not Move.WAIT


@pytest.mark.parametrize("fault", sorted(RESENDS))
def test_without_a_retry_budget_only_another_backend_is_asked(fault: Fault) -> None:
    broke = replace(POOL, has_budget=False)
    assert verdict(fault, broke) is Move.GIVE_UP
    assert verdict(fault, replace(ALONE, has_budget=False)) is Move.GIVE_UP
    assert verdict(fault, replace(broke, other_target=True)) is Move.NEXT_TARGET


def test_a_rate_limit_needs_no_retry_budget() -> None:
    assert verdict(Fault.LIMITED, replace(POOL, has_budget=False)) is Move.NEXT_ACCOUNT


@pytest.mark.parametrize("fault", sorted(RESENDS))
def test_after_a_backend_s_fault_the_last_attempt_belongs_to_the_next_target(fault: Fault) -> None:
    both = replace(POOL, other_target=True)
    assert verdict(fault, both) is Move.NEXT_ACCOUNT
    assert verdict(fault, replace(both, attempts_left=1)) is Move.NEXT_TARGET
    assert verdict(fault, replace(POOL, attempts_left=1)) is Move.NEXT_ACCOUNT
    assert verdict(Fault.LIMITED, replace(both, attempts_left=1)) is Move.NEXT_ACCOUNT


def test_an_ambiguous_failure_is_sent_again_only_once() -> None:
    assert verdict(Fault.AMBIGUOUS, Options(1, True, True, ambiguous_before=True)) is Move.GIVE_UP


def test_without_attempts_left_every_failure_is_final() -> None:
    assert {verdict(fault, SPENT) for fault in Fault if fault is not Fault.NONE} == {Move.GIVE_UP}


def test_a_good_answer_is_never_tried_again_and_a_bad_one_never_passed_as_good() -> None:
    for left, *flags in itertools.product((0, 1, 2), *[(False, True)] * 8):
        options = Options(left, *flags)
        moves = {fault: verdict(fault, options) for fault in Fault}
        assert moves[Fault.NONE] is Move.GO_ON
        assert Move.GO_ON not in [move for fault, move in moves.items() if fault is not Fault.NONE]
