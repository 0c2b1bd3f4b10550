"""Forecasts against traces whose truth is known, and against whatever readings there may be."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecasting.forecasts import DAY, HOUR, NOTHING, Point, forecast
from tests.analytics.forecasting.traces import Trace, bursts, by_day, constant

FIVE, WEEK = 5.0, 168.0


def errors(traces: Iterable[Trace], *, after: float, before: float, count: int = 6) -> list[float]:
    """How far the predicted moment is off, as a share of the time left."""
    found = []
    for trace in traces:
        for now, spent_at, known in trace.looks(count, after=after, before=before):
            told = forecast(known, now)
            assert told.resets_at is not None
            if told.exhausts_at is None:
                found.append(math.inf)
            else:
                assert told.exhausts_at < told.resets_at
                found.append(abs(told.exhausts_at - spent_at) / (spent_at - now))
    assert len(found) > 30
    return found


def within_ten_percent(found: list[float]) -> float:
    return sum(error <= 0.1 for error in found) / len(found)


def traces(hours: float, **settings: object) -> list[Trace]:
    chance = random.Random(f"{hours} {sorted(settings)}")
    spans = [chance.uniform(0.35, 0.9) for _ in range(5)]
    return [Trace(hours, span, seed=seed, **settings) for seed, span in enumerate(spans)]  # type: ignore[arg-type]


# --- known truth, from one hour of data on ------------------------------------------------------------------


@pytest.mark.parametrize("hours", [FIVE, WEEK])
@pytest.mark.parametrize(
    "settings",
    [{}, {"periods": 3}, {"jitter": 20.0}, {"rounding": 0.01}],
    ids=["plain", "resets", "jitter", "rounded"],
)
def test_constant_use_is_foretold_to_ten_percent(hours: float, settings: dict[str, float]) -> None:
    after = HOUR if hours == FIVE else 28 * HOUR  # what an hour of data says of a week is silence: see below
    found = errors(traces(hours, shape=constant, **settings), after=after, before=hours * HOUR / 8)
    assert within_ten_percent(found) == 1.0


@pytest.mark.parametrize(("hours", "period"), [(FIVE, 600.0), (WEEK, 3 * HOUR)])
def test_bursts_are_foretold_to_ten_percent(hours: float, period: float) -> None:
    shaped = traces(hours, shape=bursts(period, 0.3), periods=3)
    found = errors(shaped, after=HOUR if hours == FIVE else 28 * HOUR, before=hours * HOUR / 10)
    assert within_ten_percent(found) >= 0.9
    assert max(found) < 0.25


@pytest.mark.parametrize("hours", [FIVE, WEEK])
def test_noisy_use_is_foretold_to_ten_percent(hours: float) -> None:
    found = errors(
        traces(hours, noise=0.5, jitter=10.0, periods=3),
        after=HOUR if hours == FIVE else 28 * HOUR,
        before=hours * HOUR / 8,
    )
    assert within_ten_percent(found) >= 0.95


@pytest.mark.parametrize("idle", [4 * HOUR, 30 * HOUR])
def test_a_run_after_idle_hours_counts_for_what_it_is(idle: float) -> None:
    resets_at = idle + 4 * HOUR
    run = [Point(idle + 300.0 * number, 0.02 + number / 36, resets_at) for number in range(13)]
    told = forecast([Point(0.0, 0.02, resets_at), *run], idle + HOUR)
    spent_at = idle + 0.98 * 3 * HOUR
    assert told.exhausts_at == pytest.approx(spent_at, abs=0.1 * (spent_at - idle - HOUR))


def test_nights_are_foretold_once_a_day_is_known() -> None:
    shaped = [
        Trace(WEEK, 0.4 + seed / 10, by_day(seed * 5 * HOUR), periods=3, noise=0.3, seed=seed)
        for seed in range(6)
    ]
    found = errors(shaped, after=DAY + 2 * HOUR, before=DAY, count=8)
    assert within_ten_percent(found) >= 0.85
    flat = [abs(1 - forecast_by_rate(trace)) for trace in shaped]
    assert sorted(flat)[len(flat) // 2] > 0.1, "the rhythm matters: a straight line misses it"


def forecast_by_rate(trace: Trace) -> float:
    """Predicted ÷ true time left, by the last two hours alone, in the middle of the first period's way."""
    now = trace.spent_at[0] / 2
    known = trace.known(now)
    early = next(point for point in reversed(known) if point.at <= now - 2 * HOUR)
    rate = (known[-1].used - early.used) / (now - early.at)
    left = (1 - known[-1].used) / rate if rate > 0 else math.inf
    return left / (trace.spent_at[0] - now)


def test_a_window_that_lasts_is_said_to_last() -> None:
    for spent_after in (1.15, 1.5, 4.0):
        trace = Trace(FIVE, spent_after, periods=2)
        for now in (1.1 * HOUR, 4 * HOUR, 6.5 * HOUR):
            told = forecast(trace.known(now), now)
            assert (told.exhausts_at, told.outlasts_reset) == (None, True)
            assert told.at_reset == pytest.approx(1 / spent_after, rel=0.1)


def test_the_burn_rate_is_a_share_per_minute() -> None:
    trace = Trace(FIVE, 0.5)
    told = forecast(trace.known(2 * HOUR), 2 * HOUR)
    assert told.burn == pytest.approx(1 / 150, rel=0.02)


# --- too little ---------------------------------------------------------------------------------------------


def line(*used: float, every: float = 300.0, resets_at: float | None = 1e6) -> list[Point]:
    return [Point(number * every, share, resets_at) for number, share in enumerate(used)]


def test_too_little_data_is_null() -> None:
    assert forecast([], 0.0) == NOTHING
    for points, now in ((line(0.4), HOUR), (line(0.1, 0.2, 0.3), 600.0)):
        told = forecast(points, now)
        assert (told.burn, told.exhausts_at, told.outlasts_reset) == (None, None, None)
        assert told.resets_at == 1e6


def test_an_hour_speaks_for_six() -> None:
    points = line(*(number * 0.001 for number in range(13)), resets_at=6 * DAY)
    told = forecast(points, HOUR)
    assert told.burn == pytest.approx(0.0002)
    assert (told.exhausts_at, told.outlasts_reset) == (None, None)


def test_two_roundings_are_no_rate() -> None:
    points = [Point(0, 0.10, 3 * HOUR), Point(1000, 0.11, 3 * HOUR), Point(HOUR, 0.12, 3 * HOUR)]
    lasts = forecast(points, HOUR)
    assert (lasts.exhausts_at, lasts.outlasts_reset) == (None, True)  # even at twice the rate
    points = [Point(point.at, point.used + 0.85, point.resets_at) for point in points]
    told = forecast(points, HOUR)
    assert (told.burn, told.exhausts_at, told.outlasts_reset) == (None, None, None)


def test_nobody_used_it_for_long() -> None:
    told = forecast(line(0.1, 0.2, 0.3, resets_at=20 * HOUR), 8 * HOUR)
    assert told.outlasts_reset is True
    assert told.burn == pytest.approx(0, abs=0.001)


def test_a_spent_window_is_spent_now() -> None:
    told = forecast(line(0.8, 0.9, 1.0), 700.0)
    assert (told.exhausts_at, told.outlasts_reset, told.at_reset) == (700.0, False, 1.0)


def test_a_reading_whose_reset_has_passed_tells_nothing() -> None:
    assert forecast(line(0.1, 0.5, 0.9, resets_at=5000.0), 5000.0) == NOTHING


def test_without_a_reset_there_is_nothing_to_outlast() -> None:
    told = forecast(line(*(number * 0.05 for number in range(13)), resets_at=None), HOUR)
    assert told.outlasts_reset is None
    assert told.exhausts_at == pytest.approx(HOUR + 0.4 / 0.6 * HOUR, rel=0.02)


# --- odd readings -------------------------------------------------------------------------------------------


def test_a_reset_before_its_time_and_a_lone_wrong_value_do_not_count() -> None:
    steady = [Point(300.0 * n, 0.02 * n, 5 * HOUR) for n in range(25)]
    now = 7200.0
    truth = forecast(steady, now)
    spike = [*steady[:10], Point(steady[10].at, 0.99, 5 * HOUR), *steady[11:]]
    assert forecast(spike, now).exhausts_at == pytest.approx(truth.exhausts_at, rel=0.01)
    granted = [Point(p.at, p.used if n < 12 else p.used - 0.22, 5 * HOUR) for n, p in enumerate(steady)]
    assert forecast(granted, now).burn == pytest.approx(truth.burn, rel=0.1)


def test_what_comes_late_from_the_period_before_is_left_out() -> None:
    before = [Point(300.0 * n, 0.05 * n, HOUR) for n in range(12)]
    after = [Point(HOUR + 300.0 * n, 0.05 * n, 6 * HOUR) for n in range(1, 6)]
    late = Point(HOUR + 450.0, 0.6, HOUR)
    now = HOUR + 1800.0
    assert forecast(sorted([*before, *after, late], key=lambda p: p.at), now) == forecast(
        [*before, *after], now
    )


POINTS = st.lists(
    st.builds(
        Point,
        st.floats(0, 8 * DAY),
        st.floats(0, 1) | st.just(1.0),
        st.none() | st.floats(0, 16 * DAY),
    ),
    max_size=40,
)


@given(points=POINTS, later=st.floats(0, DAY))
def test_whatever_was_read_nothing_is_foretold_past_a_reset(points: list[Point], later: float) -> None:
    points.sort(key=lambda point: point.at)
    now = (points[-1].at if points else 0.0) + later
    told = forecast(points, now)
    assert told.burn is None or (math.isfinite(told.burn) and told.burn >= 0)
    if told.exhausts_at is not None:
        assert now <= told.exhausts_at
        assert told.resets_at is None or told.exhausts_at <= told.resets_at
        assert told.outlasts_reset is not True
    if told.at_reset is not None:
        assert -1e-9 <= told.at_reset <= 1
