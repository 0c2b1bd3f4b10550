from __future__ import annotations

import math

import pytest

from analytics.forecasting.pool import Quota, pool_lasts, soonest


def quota(
    left: float, burn: float | None = None, *, step: float = 0.01, resets_in: float = math.inf
) -> Quota:
    return Quota(left, 1.0, burn, step, resets_in, 300.0)


def test_one_account_lasts_as_long_as_its_shortest_window() -> None:
    assert pool_lasts([[quota(0.5, 0.01)]]) == pytest.approx(50)
    assert pool_lasts([[quota(0.5, 0.01), quota(0.1, 0.01)]]) == pytest.approx(10)


def test_the_load_of_a_spent_account_goes_to_the_others() -> None:
    busy, idle = [quota(0.5, 0.01)], [quota(0.5, 0.0)]
    assert pool_lasts([busy, idle]) == pytest.approx(100)


def test_a_large_account_carries_more() -> None:
    small, large = [quota(0.5, 0.01)], [quota(0.5, 0.0, step=0.001)]
    assert pool_lasts([small, large]) == pytest.approx(50 + 500)


def test_what_resets_before_it_is_needed_counts_again() -> None:
    assert pool_lasts([[quota(0.5, 0.01, resets_in=40.0)]]) == pytest.approx(140)
    assert pool_lasts([[quota(0.5, 0.002, resets_in=200.0)]]) is None  # it never will be spent
    assert pool_lasts([[quota(0.0, 0.01, resets_in=5.0)]]) == 0.0  # nobody can serve now


def test_nothing_is_foretold_without_a_demand_or_with_an_endless_account() -> None:
    assert pool_lasts([]) is None
    assert pool_lasts([[quota(0.5)]]) is None
    assert pool_lasts([[quota(0.5, 0.0)]]) is None
    assert pool_lasts([[quota(0.5, 0.01)], []]) is None


def test_nothing_given_is_changed() -> None:
    given = [[quota(0.5, 0.01, resets_in=40.0)]]
    pool_lasts(given)
    assert (given[0][0].left, given[0][0].resets_in) == (0.5, 40.0)


def test_the_first_pool_counts() -> None:
    assert soonest([None, 30.0, 20.0]) == 20.0
    assert soonest([None]) is None
