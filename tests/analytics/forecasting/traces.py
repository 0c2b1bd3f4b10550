"""Generated use of one window whose truth is known: readings as the pool would note them, and when it is spent.

A trace goes in steps of a minute (of ten for a week's window). Demand goes on while the window is spent, and is lost.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from analytics.forecasting.forecasts import DAY, HOUR, KEPT_SECONDS, Point
from analytics.forecasting.tracks import is_due

RHYTHM = (0, 0, 0, 0, 0, 0, 0, 0.1, 0.4, 0.9, 1, 1, 0.5, 0.7, 1, 1, 0.9, 0.7, 0.4, 0.3, 0.4, 0.4, 0.2, 0.1)
Shape = Callable[[float], float]  # demand at a moment, 1 on average


def constant(moment: float) -> float:
    return 1.0


def bursts(period: float, busy: float) -> Shape:
    """Everything in the first part of each period."""
    return lambda moment: 1 / busy if moment % period < busy * period else 0.0


def by_day(begin: float) -> Shape:
    """By the rhythm of a working day."""
    mean = sum(RHYTHM) / 24
    return lambda moment: RHYTHM[int((moment + begin) / HOUR) % 24] / mean


@dataclass
class Trace:
    """Use of a window of `hours`, spent after the share `spent_after` of its time at the average demand."""

    hours: float
    spent_after: float
    shape: Shape = constant
    periods: int = 2
    noise: float = 0.0  # of each step's demand
    jitter: float = 0.0  # seconds, of the moments of readings
    rounding: float = 0.0  # of what the provider shows
    seed: int = 0
    readings: list[Point] = field(default_factory=list)
    noted: list[Point] = field(default_factory=list)
    spent_at: list[float] = field(default_factory=list)  # in each period in which it happened

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._moments: list[float] = []
        for period in range(self.periods):
            self._run(period * self.hours * HOUR)
        self.readings.sort(key=lambda point: point.at)
        for point in self.readings:
            if is_due(self.noted[-1] if self.noted else None, point, "5h"):
                self.noted.append(point)
        self._moments = [point.at for point in self.readings]

    def _run(self, begin: float) -> None:
        length = self.hours * HOUR
        step = 60.0 if length < DAY else 600.0
        each, used = step / (self.spent_after * length), 0.0
        for number in range(round(length / step)):
            moment = begin + number * step
            more = each * self.shape(moment) * self._chance.uniform(1 - self.noise, 1 + self.noise)
            if used < 1 <= used + more:
                self.spent_at.append(moment + step * (1 - used) / more)
            if more > 0 and used < 1:
                used += more
                self._read(moment + step, used, begin + length)

    def _read(self, moment: float, used: float, resets_at: float) -> None:
        shown = min(1.0, used)
        if self.rounding:
            shown = math.floor(shown / self.rounding + 1e-9) * self.rounding
        at = moment + self._chance.uniform(-self.jitter, self.jitter)
        self.readings.append(Point(at, shown, resets_at))

    def known(self, now: float) -> list[Point]:
        """What a pool knows at a moment: the noted readings, and the newest."""
        newest = self.readings[max(0, bisect_right(self._moments, now) - 1)]
        return [point for point in self.noted if now - KEPT_SECONDS < point.at <= now] + [newest]

    def looks(self, count: int, *, after: float, before: float) -> Iterator[tuple[float, float, list[Point]]]:
        """(now, when it will be spent, what is known then): at `after` seconds of data or later, and at least `before`
        seconds before the window is spent.
        """
        for spent_at in self.spent_at:
            begin = max(after, spent_at // (self.hours * HOUR) * self.hours * HOUR + 120)
            for _ in range(count if spent_at - before > begin else 0):
                now = self._chance.uniform(begin, spent_at - before)
                known = self.known(now)
                if known[-1].resets_at is not None and known[-1].resets_at > now:
                    yield now, spent_at, known
