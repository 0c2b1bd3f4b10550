"""Leases: the right account, held once, given back once; sessions that stay; probes, pace and money."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from accounts.pool import Ask, Lease, NoAccount, Pool, Unavailable
from accounts.pool_state import STICKY_MAX, STICKY_SECONDS
from accounts.reports import NEUTRAL, Report, Result
from accounts.retry_budget import TRANSIENT_COST
from accounts.snapshot import AccountConfig
from accounts.standing import ObstacleKind
from accounts.windows import BenchKind
from backends.config import Strategy
from tests.accounts.pools import (
    HOUR,
    OPUS,
    SONNET,
    WALL,
    Time,
    account,
    ask,
    at_once,
    bench,
    limited,
    reading,
    served,
    window,
)

A, B, C = account("a"), account("b"), account("c")
REFUSED, FAULT = Report(Result.REFUSED), Report(Result.FAULT, reason="cannot be reached")


class Desk:
    """A pool of these accounts whose time the test moves."""

    def __init__(self, *accounts: AccountConfig, strategy: Strategy = Strategy.HEADROOM) -> None:
        self.time = Time()
        self.pool: Pool = self.time.pool()
        self.accounts = accounts
        self.strategy = strategy

    def ask(self, session: str = "", *, model: str = SONNET, key: str = "k", **more: object) -> Ask:
        found: Ask = ask(self.accounts, model, self.strategy, session=session, key=key, **more)
        return found

    def lease(self, session: str = "", **more: object) -> Lease:
        return at_once(self.pool.lease(self.ask(session, **more)))  # type: ignore[arg-type]

    def serve(self, session: str = "", **more: object) -> str:
        """A whole request that goes well; who served it."""
        lease = self.lease(session, **more)
        lease.report(served())
        lease.settle()
        return lease.account.alias

    def fail(self, report: Report, session: str = "", **more: object) -> str:
        lease = self.lease(session, **more)
        lease.report(report)
        lease.settle()
        return lease.account.alias

    def none(self, session: str = "", **more: object) -> NoAccount:
        with pytest.raises(NoAccount) as caught:
            self.lease(session, **more)
        return caught.value

    def know(self, alias: str, *windows: tuple[str, float]) -> None:
        found = [window(name, used, now=self.time.now) for name, used in windows]
        self.pool.state.put_windows(self.pool.state.account(alias), found)

    def edit(self, alias: str, **settings: object) -> None:
        """The configuration is swapped: every account is a new object."""
        self.accounts = tuple(
            replace(a, **settings) if a.alias == alias else replace(a) for a in self.accounts
        )


# --- who ------------------------------------------------------------------------------------------------------------


def test_equal_accounts_take_turns() -> None:
    desk = Desk(A, B)
    assert [desk.serve() for _ in range(4)] == ["a", "b", "a", "b"]


def test_the_fewest_in_flight_goes_first() -> None:
    desk = Desk(A, B)
    first, second = desk.lease(), desk.lease()
    second.settle()
    assert (first.account.alias, desk.lease().account.alias) == ("a", "b")


def test_who_cannot_serve_is_left_out_with_the_reason() -> None:
    desk = Desk(account("p", is_paused=True), account("x", problem="no key"), A)
    found = desk.none(exclude={"a"})
    assert {alias: obstacle.reason for alias, obstacle in found.obstacles.items()} == {
        "p": "paused",
        "x": "no key",
        "a": "already tried by this request",
    }
    assert found.is_broken


def test_a_pool_without_accounts_says_how_to_add_one() -> None:
    with pytest.raises(NoAccount, match="accounts add"):
        Desk().lease()


def test_the_earliest_recovery_is_named() -> None:
    desk = Desk(A, B, account("p", is_paused=True))
    now = desk.time.now
    desk.pool.state.put_bench(desk.pool.state.account("a"), bench(until=now + 90))
    desk.pool.state.put_bench(desk.pool.state.account("b"), bench(BenchKind.AUTH, until=now + 60))
    found = desk.none()
    assert (found.recovers_at, found.is_broken) == (now + 90, False)


def test_fill_first_leaves_the_second_account_alone_until_the_first_is_spent() -> None:
    desk = Desk(account("z", position=1), account("y", position=2), strategy=Strategy.FILL_FIRST)
    held = [desk.lease() for _ in range(5)]
    assert {lease.account.alias for lease in held} == {"z"}
    desk.know("z", ("5h", 1.0))
    assert desk.serve() == "y"


def test_weights_are_shares() -> None:
    desk = Desk(account("a", weight=3), account("b", weight=1), strategy=Strategy.WEIGHTED)
    assert Counter(desk.serve() for _ in range(80)) == {"a": 60, "b": 20}


def test_an_account_that_was_away_does_not_get_everything_when_it_is_back() -> None:
    desk = Desk(account("a"), account("b", is_paused=True), strategy=Strategy.WEIGHTED)
    for _ in range(500):
        desk.serve()
    desk.edit("b", is_paused=False)
    assert Counter(desk.serve() for _ in range(40))["a"] >= 10


# --- leases ---------------------------------------------------------------------------------------------------------


def test_a_lease_is_given_back_once() -> None:
    desk = Desk(A)
    lease, other = desk.lease(), desk.lease()
    for _ in range(3):
        lease.settle()
    assert desk.pool.state.account("a").in_flight == 1
    other.settle()
    assert desk.pool.state.account("a").in_flight == 0


def test_a_preview_takes_nothing() -> None:
    desk = Desk(A, B)
    desk.know("a", ("5h", 0.9))
    found = desk.pool.preview(desk.ask("s"))
    assert found.chosen == "b"
    assert desk.pool.state.account("b").requests == 0
    assert desk.pool.state.bindings == {}


def test_the_choice_names_scores_and_exclusions() -> None:
    desk = Desk(A, B, account("p", is_paused=True))
    desk.know("a", ("5h", 0.25))
    desk.know("b", ("5h", 0.5))
    choice = desk.lease().choice
    assert (choice.chosen, choice.strategy, choice.reason) == ("a", "headroom", "best by headroom")
    shown = {found.alias: (found.headroom, found.excluded) for found in choice.considered}
    assert shown == {"a": (0.75, ""), "b": (0.5, ""), "p": (None, "paused")}
    scores = {found.alias: found.score for found in choice.considered}
    assert scores["a"] is not None
    assert scores["b"] is not None
    assert scores["a"] > scores["b"]


def test_a_choice_among_very_many_counts_what_it_does_not_list() -> None:
    desk = Desk(*(account(f"a{number}", is_paused=number > 50) for number in range(100)))
    choice = desk.lease().choice
    assert len(choice.considered) + choice.others == 100
    assert len(choice.considered) <= 20


def test_credentials_of_callers_say_nothing_about_ours() -> None:
    desk = Desk(account("a", kind="caller"))
    for report in (REFUSED, limited(reading("5h", 1.0)), *[FAULT] * 5):
        desk.fail(report)
    assert desk.pool.state.account("a").benches == {}
    assert desk.pool.state.account("a").windows == {}


# --- sessions -------------------------------------------------------------------------------------------------------


def test_a_session_stays_whatever_the_others_have_left() -> None:
    desk = Desk(A, B)
    assert desk.serve("s") == "a"
    desk.know("a", ("5h", 0.9))
    held = [desk.lease("s") for _ in range(5)]
    assert {lease.account.alias for lease in held} == {"a"}
    assert held[0].choice.reason == "the session's account"
    assert desk.serve() == "b"


def test_a_session_moves_only_when_its_account_cannot_serve_and_then_stays_there() -> None:
    desk = Desk(A, B)
    desk.serve("s")
    desk.know("a", ("5h", 1.0))
    assert desk.serve("s") == "b"
    desk.time.pass_(2 * HOUR)  # a is fresh again
    assert desk.serve("s") == "b"


def test_a_session_follows_a_failover_within_a_request() -> None:
    desk = Desk(A, B)
    assert desk.fail(limited(retry_at=WALL + 5), "s") == "a"
    assert desk.serve("s", exclude={"a"}) == "b"
    desk.time.pass_(10)
    assert desk.serve("s") == "b"


def test_the_same_session_of_another_key_or_backend_is_another_session() -> None:
    desk = Desk(A, B)
    assert desk.serve("s", key="k1") == "a"
    assert desk.serve("s", key="k2") == "b"
    assert desk.serve("s", key="k1") == "a"


def test_a_session_that_rests_for_hours_is_forgotten() -> None:
    desk = Desk(A, B)
    desk.serve("s")
    desk.know("a", ("7d", 0.5))
    desk.time.pass_(STICKY_SECONDS - 1)
    assert desk.serve("s") == "a"
    desk.time.pass_(STICKY_SECONDS - 1)
    assert desk.serve("s") == "a"
    desk.time.pass_(STICKY_SECONDS)
    desk.know("a", ("7d", 0.5))
    assert desk.serve("s") == "b"


def test_the_longest_unused_of_too_many_sessions_goes() -> None:
    desk = Desk(A)
    desk.serve("first")
    for number in range(STICKY_MAX - 1):
        desk.serve(f"s{number}")
    desk.serve("first")
    desk.serve("one more")
    bound = {sticky[2] for sticky in desk.pool.state.bindings}
    assert len(bound) == STICKY_MAX
    assert "first" in bound
    assert "s0" not in bound
    assert desk.pool.state.live_bindings() == STICKY_MAX


# --- pace -----------------------------------------------------------------------------------------------------------


def test_the_least_time_between_two_requests_is_kept_and_others_take_over() -> None:
    desk = Desk(account("a", interval_s=0.5), account("b", interval_s=0.5))
    assert [desk.serve(), desk.serve()] == ["a", "b"]
    found = desk.none()
    assert {obstacle.kind for obstacle in found.obstacles.values()} == {ObstacleKind.PACING}
    assert found.recovers_at == desk.time.now + 0.5
    desk.time.pass_(0.5)
    assert desk.serve() == "a"


def test_a_session_waits_for_the_pace_of_its_own_account() -> None:
    desk = Desk(account("a", interval_s=0.5), B)
    assert desk.serve("s") == "a"
    assert desk.none("s").recovers_at == desk.time.now + 0.5
    assert desk.serve("other") == "b"
    desk.time.pass_(0.5)
    assert desk.serve("s") == "a"


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
