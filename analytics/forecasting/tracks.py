"""How far every account's windows were used over the last days, in memory, and what that foretells.

Rule: readings come from the pool's state, which is looked at every few seconds beside the requests; nothing here is on
a request's way but `forecast_of()`, which remembers its answer for ten seconds. Moments are on the pool's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from accounts.pool import pool
from accounts.pool_state import LocalPoolState
from accounts.snapshot import AccountConfig, keeper
from accounts.windows import WindowState, is_quota
from analytics.forecasting.forecasts import (
    DAY,
    HOUR,
    KEPT_SECONDS,
    NOTHING,
    SAME_RESET_SECONDS,
    Forecast,
    Point,
    forecast,
)

SAMPLE_SECONDS = 300.0  # a window that changes is noted so often…
BIG_CHANGE = 0.05  # …or at once when it changes by this much, is spent, or begins anew
FRESH_SECONDS = 10.0  # so long a forecast stands
Key = tuple[str, str, str]  # account's uid, window, model class


class Noted(NamedTuple):
    """A reading that is worth keeping."""

    account: AccountConfig
    window: str
    model_class: str
    point: Point


@dataclass(slots=True)
class Track:
    """One window's readings, the oldest first."""

    points: list[Point] = field(default_factory=list)
    told_at: tuple[float, float] = (0.0, 0.0)  # the newest reading, and when the forecast was made
    told: Forecast = NOTHING

    def add(self, point: Point, is_quota: bool) -> None:
        """The newest reading. What is older than a day is thinned out to one an hour, and forgotten in the end; of a
        rate only the newest is kept.
        """
        self.points = [*self.points, point] if is_quota else [point]
        if len(self.points) % 64 == 0:
            self.points = list(thinned(self.points, point.at))


def thinned(points: Iterable[Point], now: float) -> Iterator[Point]:
    """The same, with an hour or more between those that are older than a day; the last of each period stays."""
    kept: Point | None = None
    known = list(points)
    for point, after in zip(known, [*known[1:], None], strict=True):
        if now - point.at > KEPT_SECONDS:
            continue
        is_last = after is None or after.used < point.used
        if kept is None or is_last or now - point.at < DAY or point.at - kept.at >= HOUR:
            kept = point
            yield point


def point_of(window: WindowState) -> Point:
    """A reading as a point of its track."""
    resets_at = None if window.reading.resets_at is None else window.retires_at
    return Point(window.observed_at, min(1.0, window.used), resets_at)


@dataclass
class Tracks:
    """The tracks of all windows of one pool state."""

    state: LocalPoolState
    _tracks: dict[Key, Track] = field(default_factory=dict)

    def look(self, accounts: Iterable[AccountConfig]) -> list[Noted]:
        """Take in what is new, and return it. Windows of accounts that are gone are forgotten."""
        noted, known = [], set()
        for account in accounts:
            known.add(account.uid)
            state = self.state.accounts.get(account.uid)
            for window in list(state.windows.values()) if state is not None else ():
                point = point_of(window)
                track = self._tracks.setdefault((account.uid, *window.key), Track())
                if is_due(track.points[-1] if track.points else None, point, window.reading.window):
                    track.add(point, is_quota(window.reading.window))
                    noted.append(Noted(account, *window.key, point))
        for key in [key for key in self._tracks if key[0] not in known]:
            del self._tracks[key]
        return noted

    def recall(self, key: Key, points: Sequence[Point]) -> None:
        """What was stored before this process began; what it has seen itself is newer and stays."""
        track = self._tracks.setdefault(key, Track())
        first = track.points[0].at if track.points else self.state.now()
        track.points = [*(point for point in points if point.at < first), *track.points]

    def forecast_of(self, uid: str, window: WindowState) -> Forecast:
        """What becomes of one window in force. Rates per minute have none: they come back all the time."""
        if not is_quota(window.reading.window):
            return Forecast(resets_at=point_of(window).resets_at)
        now = self.state.now()
        track = self._tracks.get((uid, *window.key)) or Track()
        newest, made = track.told_at
        if newest != window.observed_at or not 0 <= now - made < FRESH_SECONDS:
            track.told = forecast(self.history(uid, window), now)
            track.told_at = (window.observed_at, now)
        return track.told

    def history(self, uid: str, window: WindowState) -> list[Point]:
        """The readings of a quota, the newest last; never changed in place."""
        track = self._tracks.get((uid, *window.key)) or Track()
        return [*track.points, point_of(window)]

    def forecasts(self, uid: str, windows: Iterable[WindowState]) -> dict[str, Forecast]:
        """The forecasts of an account's windows by name, rates included."""
        return {window_name(*window.key): self.forecast_of(uid, window) for window in windows}


def is_due(last: Point | None, point: Point, window: str) -> bool:
    """Whether a reading is worth keeping after the last that was. A rate moves with every answer: its time counts."""
    if last is None:
        return True
    if point.at - last.at >= SAMPLE_SECONDS:
        return point.used != last.used or point.resets_at != last.resets_at
    if not is_quota(window):
        return False
    if last.resets_at is not None and point.resets_at is not None:
        has_reset = point.resets_at - last.resets_at >= SAME_RESET_SECONDS
        if has_reset and point.used < last.used:
            return True
    return abs(point.used - last.used) >= BIG_CHANGE or (point.used >= 1 and last.used < 1)


def window_name(window: str, model_class: str) -> str:
    """`5h`, `7d_opus`; with the models where the name does not tell them: `tokens:gpt-4o`."""
    tells = not model_class or window.endswith(f"_{model_class}")
    return window if tells else f"{window}:{model_class}"


def prediction_json(found: Forecast, now: float, wall: float) -> dict[str, object]:
    """For `/analytics` and `/accounts`; moments in milliseconds since the epoch.

    `wall`: the moment `now` in seconds since the epoch.
    """

    def date(moment: float | None) -> int | None:
        return None if moment is None else round((wall + (moment - now)) * 1000)

    left = None if found.exhausts_at is None else max(0.0, (found.exhausts_at - now) / 60)
    return {
        "burnPerMinute": None if found.burn is None else round(found.burn, 8),
        "exhaustsAt": date(found.exhausts_at),
        "minutesLeft": None if left is None else round(left, 1),
        "resetsAt": date(found.resets_at),
        "outlastsReset": found.outlasts_reset,
    }


def predictions_json(found: Mapping[str, Forecast], now: float, wall: float) -> dict[str, object]:
    """The same for all windows of an account."""
    return {name: prediction_json(one, now, wall) for name, one in found.items()}


def configured_accounts() -> list[AccountConfig]:
    """Every account of every enabled backend."""
    snapshot = keeper.current
    return [account for name in snapshot.routing.backends.values() for account in snapshot.pool(name.name)]


tracks = Tracks(pool.state)
