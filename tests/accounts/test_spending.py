"""The operator's limits on money: by UTC day and month, with what is running counted in."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.pool_state import AccountState
from accounts.snapshot import AccountConfig
from accounts.spending import SETTLE_SECONDS, money_obstacle, obstacle_of, periods
from accounts.standing import Obstacle, ObstacleKind, Standing
from tests.accounts.pools import account

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp()
DAY, MONTH = "2026-12-31", "2026-12"
NOW = 1000.0


def state(spent: str = "0", *, month: str | None = None, reserved: str = "0") -> AccountState:
    found = AccountState("a", reserved=Decimal(reserved))
    found.spent = {DAY: Decimal(spent), MONTH: Decimal(month or spent)}
    return found


def limited(day: str | None = None, month: str | None = None) -> AccountConfig:
    return account("a", daily_limit=day and Decimal(day), monthly_limit=month and Decimal(month))


def obstacle(of: AccountConfig, known: AccountState, cost: str | None = None) -> Obstacle | None:
    return money_obstacle(of, known, cost and Decimal(cost), now=NOW, wall=NOON)  # type: ignore[arg-type]


def test_periods_are_the_utc_day_and_month() -> None:
    assert periods(NOON) == (DAY, MONTH)
    assert periods(NOON + 43_200) == ("2027-01-01", "2027-01")


def test_without_limits_money_is_no_matter() -> None:
    assert obstacle(account("a"), state("999999"), "999") is None


def test_a_spent_day_is_over_at_midnight_utc() -> None:
    found = obstacle(limited(day="5"), state("5"))
    assert found is not None
    assert (found.kind, found.recovers_at) == (ObstacleKind.GUARD, NOW + 43_200)
    assert "$5.00 of $5.00 for this day" in found.reason


def test_a_spent_month_is_over_on_the_first() -> None:
    found = obstacle(limited(month="50"), state("1", month="50"))
    assert found is not None
    assert found.recovers_at == NOW + 43_200  # it is the 31st
    middle = datetime(2026, 2, 10, tzinfo=UTC).timestamp()
    spent = AccountState("a", spent={"2026-02": Decimal(50)})
    longer = money_obstacle(limited(month="50"), spent, None, now=NOW, wall=middle)
    assert longer is not None
    assert longer.recovers_at == NOW + 19 * 86_400


def test_where_both_are_spent_the_later_one_counts() -> None:
    first = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    spent = AccountState("a", spent={"2026-12-01": Decimal(9), "2026-12": Decimal(9)})
    found = money_obstacle(limited("5", "5"), spent, None, now=NOW, wall=first)
    assert found is not None
    assert found.recovers_at == NOW + 31 * 86_400


@pytest.mark.parametrize(("cost", "fits"), [("2", True), ("2.01", False), (None, True)])
def test_a_request_must_fit_in_what_is_left_and_one_of_unknown_cost_may_begin(
    cost: str | None, fits: bool
) -> None:
    assert (obstacle(limited(day="5"), state("3"), cost) is None) is fits


def test_what_is_running_counts_and_may_be_free_again_soon() -> None:
    found = obstacle(limited(day="5"), state("3", reserved="2"), "1")
    assert found is not None
    assert found.recovers_at == NOW + SETTLE_SECONDS
    assert "$2.00 reserved" in found.reason
    assert "may cost $1.00" in found.reason


def test_a_new_day_has_its_own_money() -> None:
    assert money_obstacle(limited(day="5"), state("5"), None, now=NOW, wall=NOON + 43_200) is None


def test_money_stops_even_the_last_resort() -> None:
    faulty = Obstacle(ObstacleKind.FAULTY, "faults", NOW + 30)
    standing = Standing(limited(day="5"), faulty, None, NOW)
    found = obstacle_of(standing, state("5"), None, now=NOW, wall=NOON)
    assert found is not None
    assert found.kind is ObstacleKind.GUARD
    assert obstacle_of(standing, state("1"), None, now=NOW, wall=NOON) is faulty


def test_another_obstacle_is_named_before_money() -> None:
    paused = Obstacle(ObstacleKind.PAUSED, "paused")
    standing = Standing(limited(day="5"), paused, None, NOW)
    assert obstacle_of(standing, state("5"), None, now=NOW, wall=NOON) is paused
