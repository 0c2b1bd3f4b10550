"""The windows' history on disk: written in the background when something changed, read at the start and for pages.

Rule: a database that cannot be written costs samples, never a request; what could not be written is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from analytics.forecasting.forecasts import KEPT_SECONDS, Point, moved
from analytics.forecasting.tracks import Key, Noted, Tracks, configured_accounts, thinned, tracks
from analytics.history_thread import in_history_thread
from analytics.models import WindowSample

logger = logging.getLogger("patchbay.history")
LOOK_SECONDS = 10.0
MOST_WAITING = 5000
Name = tuple[str, str, str, str]  # backend, account, window, model class


async def keep_samples() -> None:
    """Runs as long as the server. Every process watches the windows; the first of them writes them down."""
    try:
        stored = await in_history_thread(lambda: stored_points(timezone.now()))
        recall(tracks, stored)
    except DatabaseError as exc:
        logger.warning("The windows' history cannot be read (%s); forecasts begin anew.", exc)
    keeper = SampleKeeper(tracks)
    while True:
        await keeper.look()
        await asyncio.sleep(LOOK_SECONDS)


class SampleKeeper:
    """Looks at the windows and writes down what changed. Never raises."""

    def __init__(self, of: Tracks) -> None:
        self.of = of
        self.waiting: list[WindowSample] = []
        self._is_failing = False

    async def look(self) -> None:
        """One look; what is new, and what could not be written before, is written."""
        noted = self.of.look(configured_accounts())
        if not settings.PATCHBAY_IS_FIRST:
            return
        state = self.of.state
        now, wall = state.now(), state.wall()
        self.waiting = [*self.waiting, *(_row(note, wall - now) for note in noted)][-MOST_WAITING:]
        if self.waiting:
            await self._write()

    async def _write(self) -> None:
        rows = list(self.waiting)
        try:
            await in_history_thread(lambda: WindowSample.objects.bulk_create(rows))
            self.waiting, self._is_failing = [], False
        except DatabaseError as exc:
            if not self._is_failing:
                logger.warning("The windows' history cannot be written now (%s).", exc)
            self._is_failing = True


def _row(note: Noted, offset: float) -> WindowSample:
    """`offset`: from the pool's clock to the date in seconds."""
    account, point = note.account, note.point
    return WindowSample(
        at=_date(point.at + offset),
        backend=account.backend,
        account=account.alias,
        window=note.window[:64],
        model_class=note.model_class[:64],
        used=point.used,
        resets_at=None if point.resets_at is None else _date(point.resets_at + offset),
    )


def _date(wall: float) -> datetime:
    return datetime.fromtimestamp(min(max(wall, 0.0), 4e9), UTC)


# --- reading -------------------------------------------------------------------------------------------------


def stored_points(now: datetime, accounts: Iterable[str] | None = None) -> dict[Name, list[Point]]:
    """The last days of every window as forecasts want them; moments are seconds since the epoch. One query."""
    rows = WindowSample.objects.filter(at__gte=now - timedelta(seconds=KEPT_SECONDS), at__lte=now)
    if accounts is not None:
        rows = rows.filter(account__in=list(accounts))
    columns = ("backend", "account", "window", "model_class", "at", "used", "resets_at")
    found: defaultdict[Name, list[Point]] = defaultdict(list)
    for *name, at, used, resets_at in rows.order_by("at").values_list(*columns):
        backend, account, window, model_class = name
        point = Point(at.timestamp(), used, resets_at.timestamp() if resets_at else None)
        found[backend, account, window, model_class].append(point)
    return {name: list(thinned(points, now.timestamp())) for name, points in found.items()}


def recall(of: Tracks, stored: dict[Name, list[Point]]) -> None:
    """Give a process what others, or it itself before a restart, have seen."""
    offset = of.state.now() - of.state.wall()
    uids = {(account.backend, account.alias): account.uid for account in configured_accounts()}
    for (backend, account, window, model_class), points in stored.items():
        uid = uids.get((backend, account))
        if uid is not None:
            key: Key = (uid, window, model_class)
            of.recall(key, [moved(point, offset) for point in points])
