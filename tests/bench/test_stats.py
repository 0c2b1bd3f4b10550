"""Percentiles are values that were measured, and one disturbed round does not decide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.stats import median_of_medians, percentile, spread

values = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)


def test_percentile_of_a_hundred_values_is_the_value_of_that_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.0, 0.5, 0.9, 0.99, 1.0)] == [1, 50, 90, 99, 100]


def test_nothing_measured_is_zero_everywhere() -> None:
    assert spread([]) == spread([]).__class__(0, 0.0, 0.0, 0.0, 0.0)
    assert median_of_medians([]) == 0.0


@given(values, st.floats(min_value=0, max_value=1))
def test_at_least_the_share_of_all_values_is_not_above_the_percentile(
    times: list[float], share: float
) -> None:
    found = percentile(sorted(times), share)
    assert found in times
    assert sum(time <= found for time in times) >= share * len(times) - 1e-9


@given(values)
def test_spread_ascends_and_ends_at_the_worst(times: list[float]) -> None:
    found = spread(times)
    assert found.p50 <= found.p90 <= found.p99 <= found.worst == max(times)
    assert found.count == len(times)


def test_a_disturbed_round_and_an_empty_one_leave_the_median_of_medians_alone() -> None:
    assert median_of_medians([[1, 2, 3], [2, 2, 9], [500, 600], []]) == 2
