"""When a window will be spent: burn rate and exhaustion from the readings of the last days. Pure.

The readings become one curve of consumption that rises over resets. Its recent slope is the burn rate, over a time that
grows with the time the window still lasts: what comes soon is like what was just now, what comes later like a longer
time before. Once more than a day is known, what usually happens at that time of day is added: a night counts as a
night. What differs from the usual now fades over a day.

Rules: too little data is None, never a guess; nothing is predicted past a reset, nor further ahead than six times as
long as the window was watched. Moments are seconds on any clock that runs evenly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

HOUR, DAY = 3600.0, 86_400.0
LEAST_SECONDS = 900.0  # of watching, before anything is said
LEAST_STEPS = 3  # of the smallest step that was seen: two roundings are no rate
REACH = 6.0  # an hour of data speaks for six
DAYS = 7  # of which the usual day is the mean
KEPT_SECONDS = (DAYS + 1) * DAY  # older readings say nothing more
SAME_RESET_SECONDS = 60.0  # two readings name the same reset
EARLY_RESET = 0.1  # so much less is used: the provider reset before the time
ALIKE = 1.6  # rates within this factor of each other
SPENT = 0.97  # what is left may be kept in reserve
STILL_SECONDS = (
    720.0  # readings are kept every five minutes while they change; over a longer gap nothing did…
)
STEP_SECONDS = 300.0  # …until this long before the next


@dataclass(frozen=True, slots=True)
class Point:
    """One reading: the share used (0 to 1) at a moment. `resets_at`: None where the provider tells none."""

    at: float
    used: float
    resets_at: float | None


def moved(point: Point, offset: float) -> Point:
    """The same reading on another clock."""
    resets_at = None if point.resets_at is None else point.resets_at + offset
    return Point(point.at + offset, point.used, resets_at)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What becomes of one window. None: too little data, or there is nothing to tell.

    `burn`: share of the window per minute. `exhausts_at`: when it is spent, if that is before its reset.
    `outlasts_reset`: whether it is not. `at_reset`: the share that will be used then, at most 1.
    """

    burn: float | None = None
    exhausts_at: float | None = None
    resets_at: float | None = None
    outlasts_reset: bool | None = None
    at_reset: float | None = None


NOTHING = Forecast()


def forecast(points: Sequence[Point], now: float) -> Forecast:
    """The forecast of one window from its readings in order of time; the last one is in force."""
    if not points or _is_over(points[-1], now):
        return NOTHING
    last = points[-1]
    told = Forecast(resets_at=last.resets_at)
    if last.used >= 1:
        told = replace(told, exhausts_at=now, outlasts_reset=False, at_reset=1.0)
    points = _clean(points)
    curve = _curve(points, now)
    if len(points) < 2 or curve.span < LEAST_SECONDS:
        return told
    seconds, rate = _recent(curve, max(0.0, 1 - last.used))
    if last.used >= 1:
        return replace(told, burn=rate * 60)
    if _is_coarse(points, curve, seconds):
        most = _predicted(curve, last, seconds, 2 * rate)
        return replace(told, burn=rate * 60, outlasts_reset=True) if most.outlasts_reset else told
    return _predicted(curve, last, seconds, rate)


def _is_over(point: Point, now: float) -> bool:
    return point.resets_at is not None and point.resets_at <= now


def _predicted(curve: _Curve, last: Point, seconds: float, rate: float) -> Forecast:
    """As far as the data reach, and no further than the reset."""
    far = curve.end + REACH * curve.span
    until = far if last.resets_at is None else min(far, last.resets_at)
    spent_at, more = _ahead(curve, 1 - last.used, seconds, rate, until)
    if last.resets_at is None:
        return Forecast(rate * 60, spent_at)
    if spent_at is not None:
        return Forecast(rate * 60, spent_at, last.resets_at, False, 1.0)
    if last.resets_at > far:
        return Forecast(rate * 60, None, last.resets_at)
    return Forecast(rate * 60, None, last.resets_at, True, last.used + more)


# --- from readings to consumption ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Curve:
    """What was consumed up to each moment, in windows; straight between the moments."""

    moments: list[float]
    totals: list[float]

    @property
    def end(self) -> float:
        return self.moments[-1]

    @property
    def span(self) -> float:
        return self.moments[-1] - self.moments[0]

    def total(self, moment: float) -> float:
        """Before the first reading nothing is known to have been consumed."""
        at = bisect_right(self.moments, moment)
        if at == 0:
            return self.totals[0]
        if at == len(self.moments):
            return self.totals[-1]
        begin, end = self.moments[at - 1], self.moments[at]
        low, high = self.totals[at - 1], self.totals[at]
        return low + (high - low) * (moment - begin) / (end - begin)

    def rate(self, begin: float, end: float) -> float:
        """Windows per second, on average over as much of the time as is known."""
        begin = max(begin, self.moments[0])
        return max(0.0, (self.total(end) - self.total(begin)) / (end - begin)) if begin < end else 0.0


def _clean(points: Sequence[Point]) -> list[Point]:
    """In order of time, without what came late from a period that was over, and without a lone value that both its
    neighbours in the same period contradict.
    """
    ordered: list[Point] = []
    for point in sorted(points, key=lambda point: point.at):
        if not ordered or not _is_older(point, ordered[-1]):
            ordered.append(point)
    clean = ordered[:1]
    for before, point, after in zip(ordered, ordered[1:], ordered[2:], strict=False):
        if _is_same(before, point) and _is_same(point, after):
            middle = sorted((before.used, point.used, after.used))[1]
            point = point if point.used == middle else replace(point, used=middle)
        clean.append(point)
    return [*clean, *ordered[-1:]] if len(ordered) > 1 else clean


def _is_same(first: Point, second: Point) -> bool:
    """Whether two readings are of one period, by what they say of its end."""
    if first.resets_at is None or second.resets_at is None:
        return first.resets_at is second.resets_at
    return abs(first.resets_at - second.resets_at) < SAME_RESET_SECONDS


def _is_older(point: Point, known: Point) -> bool:
    """Whether it speaks of a period that ended before the known one."""
    if point.resets_at is None or known.resets_at is None:
        return False
    return (
        point.resets_at < known.resets_at - SAME_RESET_SECONDS
        and point.resets_at <= known.at + SAME_RESET_SECONDS
    )


def _curve(points: Sequence[Point], now: float) -> _Curve:
    """Up to now, with as much as the last reading says."""
    moments, totals = [points[0].at], [0.0]
    for before, point in zip(points, [*points[1:], replace(points[-1], at=now)], strict=True):
        for moment, more in _pieces(before, point, _Curve(moments, totals)):
            if moment > moments[-1]:
                moments.append(moment)
                totals.append(totals[-1] + more)
            else:
                totals[-1] += more
    return _Curve(moments, totals)


def _pieces(before: Point, point: Point, known: _Curve) -> Iterator[tuple[float, float]]:
    """Moments from one reading to the next, with what was consumed until each."""
    has_reset, begin = _has_reset(before, point), before.at
    if has_reset and before.used >= SPENT and before.resets_at is not None:
        begin = min(max(begin, before.resets_at), point.at)
        yield from _demand(before.at, begin, known)
    if point.at - begin > STILL_SECONDS:
        yield point.at - STEP_SECONDS, 0.0
    yield point.at, point.used if has_reset else point.used - before.used


def _demand(begin: float, end: float, known: _Curve) -> Iterator[tuple[float, float]]:
    """While a window was spent nobody could use it: the demand is taken to have gone on as before.

    For a few hours at the rate of as many before; for longer as at the same times of the days before.
    """
    spent = end - begin
    shift = math.ceil(spent / DAY) * DAY
    if spent < DAY / 2 or begin - shift < known.moments[0]:
        if spent > 0:
            yield end, spent * known.rate(begin - max(HOUR, spent), begin)
        return
    for hour in range(math.ceil(spent / HOUR)):
        since, until = begin + hour * HOUR, min(end, begin + (hour + 1) * HOUR)
        yield until, known.total(until - shift) - known.total(since - shift)


def _has_reset(before: Point, point: Point) -> bool:
    if before.resets_at is not None and point.at >= before.resets_at and not _is_same(before, point):
        return True
    less = before.used - point.used
    return less > EARLY_RESET or (less > 0 and not _is_same(before, point))


# --- from consumption to a rate ------------------------------------------------------------------------------


def _recent(curve: _Curve, left: float) -> tuple[float, float]:
    """(seconds, rate): the rate of the last so many seconds.

    At least an hour, and a quarter of the time that `left` will last; up to twice that time while it was used alike
    before. So noise is averaged out, but a run of agents after an idle morning counts for what it is.
    """
    most = min(DAY, curve.span)
    seconds = min(HOUR, most)
    while True:
        rate = curve.rate(curve.end - seconds, curve.end)
        lasts = left / rate if rate else math.inf
        longer = min(max(lasts / 4, seconds), 2 * seconds, most)
        if longer <= seconds * 1.01:
            break
        seconds = longer
    while True:
        longer = min(2 * seconds, max(seconds, 2 * lasts), most)
        before = curve.rate(curve.end - longer, curve.end - seconds)
        if longer <= seconds * 1.01 or not rate / ALIKE <= before <= rate * ALIKE:
            return seconds, rate
        seconds, rate = longer, curve.rate(curve.end - longer, curve.end)
        lasts = left / rate if rate else math.inf


def _is_coarse(points: Sequence[Point], curve: _Curve, seconds: float) -> bool:
    """Whether the readings moved by so few of their steps in that time that a rate says nothing. No move is one."""
    since = curve.end - seconds
    recent = [point.used for point in points if point.at >= since - STEP_SECONDS]
    steps = [abs(b - a) for a, b in pairwise(recent) if b != a]
    moved = curve.total(curve.end) - curve.total(since)
    return bool(steps) and moved < LEAST_STEPS * min(steps) * 0.999


def _ahead(
    curve: _Curve, left: float, seconds: float, rate: float, until: float
) -> tuple[float | None, float]:
    """When `left` is consumed, if before `until`; and how much is consumed until then, if not."""
    lasts = left / rate if rate else math.inf
    usual, unusual = _usual_day(curve, max(seconds, min(lasts, DAY)) if lasts > DAY / 2 else seconds)
    moment, consumed = curve.end, 0.0
    for hour in range(math.ceil((until - curve.end) / HOUR)):
        fading = unusual * math.exp(-(hour + 0.5) * HOUR / DAY)
        speed = rate if usual is None else max(0.0, usual[hour % 24] + fading)
        span = min(HOUR, until - moment)
        if speed > 0 and consumed + speed * span >= left:
            return moment + (left - consumed) / speed, left
        consumed += speed * span
        moment += span
    return None, consumed


def _usual_day(curve: _Curve, seconds: float) -> tuple[list[float] | None, float]:
    """The usual rate in each of the 24 hours from now on, and by how much that of the last `seconds` is unusual.

    None: it is not known yet, since less than a day and an hour was watched.
    """
    seconds = min(seconds, max(HOUR, curve.span - DAY))
    days = min(DAYS, int((curve.span - seconds) / DAY + 1e-9))
    if days < 1:
        return None, 0.0
    begins = [curve.end - number * DAY for number in range(1, days + 1)]
    hours = [
        sum(curve.rate(begin + hour * HOUR, begin + (hour + 1) * HOUR) for begin in begins) / days
        for hour in range(24)
    ]
    usual = sum(curve.rate(begin - seconds, begin) for begin in begins) / days
    return hours, curve.rate(curve.end - seconds, curve.end) - usual
