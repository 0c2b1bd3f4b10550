"""The outlook of an account: how many requests still fit, and what would lapse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from accounts.forecast import FASTEST, UNKNOWN, hours_of, outlook
from accounts.windows import OVERAGE, WindowState
from tests.accounts.pools import HOUR, window

NOW = 1000.0
WEEK = 168 * HOUR


def look(*windows: WindowState, kept: float = 0.0, now: float = NOW) -> float:
    return outlook([(w, kept) for w in windows], now)


def five_hours(used: float, *, step: float = 0.01, resets_in: float = 2.5 * HOUR) -> WindowState:
    return replace(window("5h", used, resets_in), step=step)


def test_the_length_of_a_window_is_in_its_name() -> None:
    assert [hours_of(name) for name in ("5h", "7d", "7d_opus", "90m", "1w")] == [5, 168, 168, 1.5, 168]
    assert hours_of("0h") == hours_of("5hours") == 24


def test_a_large_plan_counts_as_large_because_its_steps_are_small() -> None:
    small, large = five_hours(0.2, step=0.02), five_hours(0.6, step=0.001)
    week = window("7d", 0.5, 0.5 * WEEK)
    assert look(large, week) == pytest.approx(10 * look(small, week))


def test_what_is_left_of_a_week_that_ends_soon_is_spent_first() -> None:
    fresh = five_hours(0.0)
    ends_soon, ends_late = window("7d", 0.5, 0.25 * WEEK), window("7d", 0.5, 0.9 * WEEK)
    assert look(fresh, ends_soon) > look(fresh, ends_late)


def test_a_week_that_is_ahead_of_its_time_is_spared() -> None:
    on_pace, ahead = window("7d", 0.5, 0.5 * WEEK), window("7d", 0.9, 0.9 * WEEK)
    assert look(five_hours(0.0), ahead) == pytest.approx(look(five_hours(0.0), on_pace) * 0.1 / 0.9)


def test_the_slowest_of_the_longer_windows_decides() -> None:
    week, opus = window("7d", 0.1, 0.5 * WEEK), window("7d_opus", 0.9, 0.5 * WEEK, model_class="opus")
    assert look(five_hours(0.0), week, opus) == look(five_hours(0.0), opus)


def test_a_short_window_that_does_not_run_yet_is_worth_starting() -> None:
    running, over = five_hours(0.0, resets_in=HOUR), five_hours(0.9, resets_in=-1.0)
    week = window("7d", 0.5, 0.5 * WEEK)
    assert look(over, week) == pytest.approx(FASTEST * look(running, week))


def test_the_reserve_is_not_room() -> None:
    assert look(five_hours(0.5), kept=0.5) == 0.0
    assert look(five_hours(0.5), kept=0.25) == pytest.approx(look(five_hours(0.75)) / 1.0, rel=1e-6)


def test_rates_and_overage_are_no_plan() -> None:
    assert look() == look(window("requests", 0.9, limit=50), window(OVERAGE, 0.0)) == UNKNOWN


@given(
    used=st.floats(0, 2),
    step=st.floats(0, 1),
    resets_in=st.floats(-WEEK, WEEK),
    more=st.floats(0, 1),
    kept=st.floats(0, 1),
)
def test_less_left_is_never_a_better_outlook(
    used: float, step: float, resets_in: float, more: float, kept: float
) -> None:
    week = window("7d", used / 2, WEEK / 3)
    before = replace(window("5h", used, resets_in), step=step)
    after = replace(window("5h", used + more, resets_in), step=step)
    assert 0 <= look(after, week, kept=kept) <= look(before, week, kept=kept)
