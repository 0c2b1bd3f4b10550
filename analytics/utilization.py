"""How far the windows were used in steps of five minutes, from their readings. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from analytics.forecasting.forecasts import Point

STEP_SECONDS = 300.0
MOST_STEPS = 288  # a day
Histories = Mapping[tuple[str, str], Sequence[Point]]  # by account and window
Step = dict[str, dict[str, float]]  # by account, by window: the share used


def steps(histories: Histories, minutes: int, now: float) -> list[tuple[float, Step]]:
    """(its beginning, what the windows showed at its end) of every step that lies in the last `minutes`.

    `now` and the readings' moments: seconds since the epoch. A value stands until the next one, or until its window
    resets. A day at most.
    """
    end = now // STEP_SECONDS * STEP_SECONDS + STEP_SECONDS
    count = min(MOST_STEPS, -(-minutes * 60 // round(STEP_SECONDS)))
    found: list[tuple[float, Step]] = [(end - (count - n) * STEP_SECONDS, {}) for n in range(count)]
    for (account, window), points in histories.items():
        moments = [point.at for point in points]
        for begin, step in found:
            until = min(now, begin + STEP_SECONDS)
            at = bisect_right(moments, until)
            if at and _stands(points[at - 1], until):
                step.setdefault(account, {})[window] = round(points[at - 1].used, 6)
    return found


def _stands(point: Point, moment: float) -> bool:
    return point.resets_at is None or point.resets_at > moment
