"""The retry budget: never felt while all is well, about one retry a second when everything fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accounts.retry_budget import AMBIGUOUS_COST, CAPACITY, TRANSIENT_COST, RetryBudget


def retries(budget: RetryBudget, now: float, wanted: int, cost: float = TRANSIENT_COST) -> int:
    made = 0
    for _ in range(wanted):
        if not budget.has(cost, now):
            break
        budget.spend(cost)
        made += 1
    return made


def test_a_few_failures_among_good_answers_are_always_retried() -> None:
    budget = RetryBudget()
    for second in range(1000):
        for _ in range(14):
            budget.earn()
        assert retries(budget, float(second) / 1000, 1) == 1


def test_when_everything_fails_retries_come_down_to_one_a_second() -> None:
    budget, made = RetryBudget(), 0
    for second in range(60):  # 100 requests a second, all of which fail
        made += retries(budget, float(second), 100)
    assert made <= CAPACITY / TRANSIENT_COST + 60
    assert made >= 60


def test_a_request_that_may_have_been_billed_costs_more() -> None:
    assert retries(RetryBudget(), 0.0, 100, AMBIGUOUS_COST) < retries(RetryBudget(), 0.0, 100)


def test_it_fills_up_again_and_no_further() -> None:
    budget = RetryBudget()
    retries(budget, 0.0, 100)
    assert not budget.has(TRANSIENT_COST, 0.0)
    assert budget.has(CAPACITY, 1000.0)
    assert not budget.has(CAPACITY + 1, 2000.0)


@given(st.lists(st.tuples(st.sampled_from(("earn", "retry")), st.floats(0, 10), st.booleans()), max_size=80))
def test_it_is_never_overdrawn_whatever_the_clock_does(steps: list[tuple[str, float, bool]]) -> None:
    budget, now = RetryBudget(), 100.0
    for what, seconds, back in steps:
        now += -seconds if back else seconds
        if what == "earn":
            budget.earn()
        else:
            retries(budget, now, 3)
        assert 0 <= budget.tokens <= CAPACITY
