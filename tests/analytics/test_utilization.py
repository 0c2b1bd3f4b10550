from __future__ import annotations

from itertools import pairwise

from analytics.forecasting.forecasts import HOUR, Point
from analytics.utilization import steps

NOW = 1_800_000_100.0  # 100 s into a step


def point(minutes_ago: float, used: float, *, resets_in: float | None = 60) -> Point:
    at = NOW - 60 * minutes_ago
    return Point(at, used, None if resets_in is None else NOW + 60 * resets_in)


def test_windows_stand_in_every_step_until_they_change_or_reset() -> None:
    histories = {
        ("work", "5h"): [point(90, 0.2, resets_in=-20), point(12, 0.05)],
        ("work", "7d"): [point(400, 0.7)],
        ("home", "7d"): [point(0, 0.3, resets_in=None)],
    }
    found = steps(histories, 60, NOW)
    assert len(found) == 12
    assert all(second - first == 300 for (first, _), (second, _) in pairwise(found))
    assert found[-1][0] == NOW - 100
    assert found[0][1] == {"work": {"5h": 0.2, "7d": 0.7}}
    assert {"work": {"7d": 0.7}} in [shown for _, shown in found], "after its reset it is unknown"
    assert found[-1][1] == {"work": {"5h": 0.05, "7d": 0.7}, "home": {"7d": 0.3}}


def test_a_day_at_most_and_one_step_at_least() -> None:
    assert len(steps({}, 525_600, NOW)) == 288
    assert steps({}, 1, NOW) == [(NOW - 100, {})]
    assert steps({("a", "5h"): [point(-10, 0.5)]}, 60, NOW)[-1][1] == {}, "what comes later is not shown"
    assert steps({}, 61, NOW)[0][0] <= NOW - HOUR
