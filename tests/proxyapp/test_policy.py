"""The verdict table."""

from __future__ import annotations

import itertools

import pytest

from proxyapp.policy import Fault, Move, Options, fault_of_status, verdict

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
        (401, Fault.ACCOUNT),
        (402, Fault.ACCOUNT),
        (403, Fault.ACCOUNT),
        (404, Fault.MODEL),
        (409, Fault.REQUEST),
        (413, Fault.REQUEST),
        (422, Fault.REQUEST),
        (429, Fault.ACCOUNT),
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
        (Fault.MODEL, Move.GIVE_UP, Move.GIVE_UP, Move.NEXT_TARGET),
        (Fault.ACCOUNT, Move.GIVE_UP, Move.NEXT_ACCOUNT, Move.NEXT_TARGET),
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


def test_an_ambiguous_failure_is_sent_again_only_once() -> None:
    assert verdict(Fault.AMBIGUOUS, Options(1, True, True, ambiguous_before=True)) is Move.GIVE_UP


def test_without_attempts_left_every_failure_is_final() -> None:
    assert {verdict(fault, SPENT) for fault in Fault if fault is not Fault.NONE} == {Move.GIVE_UP}


def test_a_good_answer_is_never_tried_again_and_a_bad_one_never_passed_as_good() -> None:
    for left, account, target, again, before in itertools.product((0, 1, 2), *[(False, True)] * 4):
        options = Options(left, account, target, again, before)
        moves = {fault: verdict(fault, options) for fault in Fault}
        assert moves[Fault.NONE] is Move.GO_ON
        assert Move.GO_ON not in [move for fault, move in moves.items() if fault is not Fault.NONE]
