"""Out of rotation and back: probes, faults, money, several targets, and the operator's word."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.pool import Ask, Unavailable
from accounts.pool_state import SILENCE_SECONDS
from accounts.reports import NEUTRAL, Report, Result
from accounts.retry_budget import TRANSIENT_COST
from accounts.standing import ObstacleKind
from tests.accounts.desk import Desk
from tests.accounts.pools import (
    HOUR,
    OPUS,
    SONNET,
    WALL,
    account,
    ask,
    at_once,
    limited,
    reading,
    served,
)

A, B = account("a"), account("b")
REFUSED, FAULT = Report(Result.REFUSED), Report(Result.FAULT, reason="cannot be reached")


# --- probes ---------------------------------------------------------------------------------------------------------


def test_one_probe_at_a_time_and_its_answer_decides() -> None:
    desk = Desk(A)
    desk.fail(limited(retry_at=WALL + 30))
    assert desk.none().recovers_at == desk.time.now + 30
    desk.time.pass_(30)
    probe = desk.lease()
    waiting = desk.none()
    assert {obstacle.kind for obstacle in waiting.obstacles.values()} == {ObstacleKind.PROBING}
    assert not waiting.is_broken
    probe.report(served())
    assert desk.serve() == "a"  # before the probe's stream has ended
    probe.settle()


def test_a_probe_that_stays_silent_holds_the_others_for_three_seconds_only_and_still_decides() -> None:
    desk = Desk(A)
    desk.fail(limited(retry_at=WALL + 30))
    desk.time.pass_(30)
    probe = desk.lease()
    recovers_at = desk.none().recovers_at
    assert recovers_at is not None
    assert desk.time.now < recovers_at <= desk.time.now + SILENCE_SECONDS
    desk.time.pass_(SILENCE_SECONDS)
    others = [desk.lease() for _ in range(3)]
    assert {lease.account.alias for lease in others} == {"a"}
    probe.report(limited(retry_at=desk.time.wall + 60))
    assert desk.none().recovers_at == desk.time.now + 60


def test_a_probe_that_fails_waits_longer() -> None:
    desk = Desk(A)
    desk.fail(limited())
    desk.time.pass_(1.1)
    desk.fail(limited())
    recovers_at = desk.none().recovers_at
    assert recovers_at is not None
    assert 2 <= recovers_at - desk.time.now <= 2.2


@pytest.mark.parametrize("report", [None, NEUTRAL])
def test_a_probe_that_shows_nothing_leaves_the_next_request_to_try(report: Report | None) -> None:
    desk = Desk(A)
    desk.fail(limited(retry_at=WALL + 30))
    desk.time.pass_(30)
    probe = desk.lease()
    if report is not None:
        probe.report(report)
    probe.settle()
    assert desk.lease().account is A
    assert desk.pool.state.account("a").benches


def test_the_other_accounts_serve_while_one_is_probed() -> None:
    desk = Desk(A, B)
    desk.fail(limited(retry_at=WALL + 30))
    desk.know("b", ("5h", 0.9))
    desk.time.pass_(30)
    assert [desk.lease().account.alias for _ in range(3)] == ["a", "b", "b"]


def test_a_session_does_not_wait_for_the_probe_of_its_account() -> None:
    desk = Desk(A, B)
    assert desk.serve("s") == "a"
    desk.fail(limited(retry_at=WALL + 30), exclude={"b"})
    desk.know("b", ("5h", 0.9))
    desk.time.pass_(30)
    assert desk.lease().account.alias == "a"  # the probe
    assert desk.serve("s") == "b"


def test_a_refused_credential_needs_somebody_and_still_gets_its_probe() -> None:
    desk = Desk(A)
    desk.fail(REFUSED)
    assert desk.none().is_broken
    assert desk.pool.is_refused(A)
    desk.time.pass_(70)
    assert desk.serve() == "a"
    assert not desk.pool.is_refused(A)


def test_a_bench_of_one_family_leaves_the_others_in_service() -> None:
    desk = Desk(A)
    desk.fail(
        limited(reading("7d_opus", 1.0, model_class="opus", rejected=True), claim="7d_opus"), model=OPUS
    )
    assert desk.serve(model=SONNET) == "a"
    assert desk.none(model=OPUS).recovers_at == desk.time.now + HOUR


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_faulty_account_is_left_out_while_another_serves() -> None:
    desk = Desk(A, B)
    for _ in range(3):
        desk.fail(FAULT, exclude={"b"})
    assert [desk.serve() for _ in range(3)] == ["b", "b", "b"]


def test_the_last_account_is_never_benched_for_faults() -> None:
    desk = Desk(A)
    for _ in range(3):
        desk.fail(FAULT)
    assert len({desk.lease().id for _ in range(3)}) == 3
    desk.time.pass_(40)  # its probe is due: that must not hold the others up either
    assert len({desk.lease().id for _ in range(3)}) == 3


def test_a_due_fault_is_probed_by_one_while_another_account_serves() -> None:
    desk = Desk(A, B)
    for _ in range(3):
        desk.fail(FAULT, exclude={"b"})
    desk.know("b", ("5h", 0.9))
    desk.time.pass_(40)
    assert [desk.lease().account.alias for _ in range(3)] == ["a", "b", "b"]


# --- several targets ------------------------------------------------------------------------------------------------


def first_of(desk: Desk, *asks: Ask) -> tuple[int, str]:
    index, lease = at_once(desk.pool.lease_first(asks))
    return index, lease.account.alias


def test_the_first_target_that_has_an_account_serves() -> None:
    desk = Desk(account("p", is_paused=True))
    assert first_of(desk, desk.ask(), ask((B,))) == (1, "b")


def test_a_target_that_is_busy_for_a_moment_is_waited_for() -> None:
    desk = Desk(account("a", interval_s=1.0))
    desk.serve()
    with pytest.raises(Unavailable) as caught:
        first_of(desk, desk.ask(), ask((B,)))
    assert caught.value.recovers_at == desk.time.now + 1.0


def test_a_target_that_is_busy_for_long_is_passed_over() -> None:
    desk = Desk(account("a", interval_s=30.0))
    desk.serve()
    assert first_of(desk, desk.ask(), ask((B,))) == (1, "b")


def test_when_no_target_can_serve_the_earliest_recovery_counts() -> None:
    desk = Desk(A, B)
    desk.know("a", ("5h", 1.0))
    desk.know("b", ("7d", 1.0))
    paused = ask((account("p", is_paused=True),))
    with pytest.raises(Unavailable) as caught:
        first_of(desk, paused, desk.ask())
    assert (caught.value.is_broken, caught.value.recovers_at) == (False, desk.time.now + HOUR)
    with pytest.raises(Unavailable) as caught:
        first_of(desk, paused, paused)
    assert caught.value.is_broken


# --- money ----------------------------------------------------------------------------------------------------------


def test_what_runs_is_reserved_and_given_back_when_it_cost_less() -> None:
    desk = Desk(account("a", daily_limit=Decimal(10)))
    held = [desk.lease(cost=Decimal(4)), desk.lease(cost=Decimal(4))]
    assert desk.none(cost=Decimal(4)).obstacles["a"].kind is ObstacleKind.GUARD
    held[0].settle(cost=Decimal("0.5"))
    assert desk.lease(cost=Decimal(4)).account.alias == "a"


def test_a_day_that_is_spent_is_over_until_the_next() -> None:
    desk = Desk(account("a", daily_limit=Decimal(10)), account("b", monthly_limit=Decimal(10)))
    for alias in ("b", "a"):
        desk.lease(exclude={alias}).settle(cost=Decimal(10))
    assert not desk.none().is_broken
    desk.time.pass_(86_400)
    assert desk.serve() == "a"


def test_money_stops_an_account_that_is_the_last_resort() -> None:
    desk = Desk(account("a", daily_limit=Decimal(1)))
    for _ in range(3):
        desk.fail(FAULT)
    desk.lease().settle(cost=Decimal(2))
    assert desk.none().obstacles["a"].kind is ObstacleKind.GUARD


# --- the operator, and clocks ---------------------------------------------------------------------------------------


def test_resuming_an_account_makes_its_benches_and_windows_void() -> None:
    desk = Desk(A)
    desk.fail(REFUSED)
    desk.know("a", ("5h", 1.0))
    desk.time.pass_(5)
    desk.edit("a", resumed_at=desk.time.wall)
    assert desk.serve() == "a"


def test_a_resume_does_not_shift_when_the_wall_clock_is_set() -> None:
    desk = Desk(A)
    desk.time.pass_(5)
    desk.edit("a", resumed_at=desk.time.wall)
    desk.serve()
    desk.time.pass_(5)
    desk.know("a", ("5h", 1.0))  # news from after the resume
    for step in (-7200.0, 14_400.0):
        desk.time.step_wall(step)
        assert desk.none().recovers_at is not None


def test_the_retry_budget_of_a_backend_starts_afresh_with_a_resume() -> None:
    desk = Desk(A)
    desk.pool.budget("b", desk.accounts).has(TRANSIENT_COST, desk.time.now)
    desk.pool.budget("b", desk.accounts).spend(100)
    assert not desk.pool.budget("b", desk.accounts).has(TRANSIENT_COST, desk.time.now)
    desk.edit("a", resumed_at=desk.time.wall)
    assert desk.pool.budget("b", desk.accounts).has(TRANSIENT_COST, desk.time.now)


def test_obstacles_are_told_as_the_router_sees_them() -> None:
    desk = Desk(account("a", daily_limit=Decimal(1)))
    (only,) = desk.accounts
    assert desk.pool.obstacle(only) is None
    desk.lease().settle(cost=Decimal(2))
    obstacle = desk.pool.obstacle(only, SONNET)
    assert obstacle is not None
    assert obstacle == desk.none().obstacles["a"]
