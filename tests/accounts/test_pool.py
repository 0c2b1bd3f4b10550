"""Leases: the right account, held once, given back once; sessions that stay, and the pace of an account."""

from __future__ import annotations

from collections import Counter

import pytest

from accounts.pool import NoAccount
from accounts.pool_state import STICKY_MAX, STICKY_SECONDS
from accounts.reports import Report, Result
from accounts.standing import ObstacleKind
from accounts.windows import BenchKind
from backends.config import Strategy
from tests.accounts.desk import Desk
from tests.accounts.pools import (
    HOUR,
    WALL,
    account,
    bench,
    limited,
    reading,
)

A, B = account("a"), account("b")
REFUSED, FAULT = Report(Result.REFUSED), Report(Result.FAULT, reason="cannot be reached")


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
