"""How long things are kept: records by age and size, bodies by age and budget, what stands beside them by age.

Rule: everything goes in small batches with a pause between them, so that records are written meanwhile. Daily sums
stay for good: what was used and spent is known however long ago the records went.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from analytics.bodies.budget import drop_old_bodies, used_bytes
from analytics.bodies.store import TOUCH, keep_budget
from analytics.history_file import file_bytes, give_back_pages
from analytics.models import (
    Attempt,
    Body,
    Facet,
    LatencyHour,
    RequestRecord,
    SessionRow,
    UsageHour,
    WindowSample,
)
from analytics.postgres_size import record_bytes, rows_bytes

logger = logging.getLogger("patchbay.history")

BATCH_ROWS = 1000
PAUSE_SECONDS = 0.05
HOURLY_DAYS = 400
"""Sums by the hour; those by the day stay."""
FACET_LAG = timedelta(hours=2)  # facets are told of a value once an hour
FIRST_SECONDS, EVERY_SECONDS = 60.0, 3600.0
Pause = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may stay. `days` and `record_bytes` are for records, `body_bytes` for bodies, 0 for none at all."""

    days: int
    record_bytes: int
    body_bytes: int

    @classmethod
    def from_settings(cls, *, days: int | None = None, bodies: bool = True) -> Limits:
        """The operator's. Sizes are in binary megabytes there."""
        budget = settings.PATCHBAY_BODY_BUDGET_MB if bodies else 0
        chosen = settings.PATCHBAY_HISTORY_DAYS if days is None else days
        return cls(chosen, settings.PATCHBAY_HISTORY_MB * 2**20, budget * 2**20)

    def oldest(self, now: datetime) -> datetime:
        """From when on things stay."""
        return now - timedelta(days=self.days)


@dataclass(slots=True)
class Pruned:
    """How many of each went, or would go. Attempts go with their records and are not counted."""

    records: int = 0
    bodies: int = 0
    samples: int = 0
    hours: int = 0
    sessions: int = 0
    facets: int = 0

    def lines(self) -> Iterator[str]:
        """`12 records`, for each that is not 0."""
        for name, (one, many) in _WORDS.items():
            if count := getattr(self, name):
                yield f"{count:,} {one if count == 1 else many}"


_WORDS = {
    "records": ("record", "records"),
    "bodies": ("body", "bodies"),
    "samples": ("window sample", "window samples"),
    "hours": ("hourly sum", "hourly sums"),
    "sessions": ("session", "sessions"),
    "facets": ("filter value", "filter values"),
}


def prune(limits: Limits, now: datetime, pause: Pause = lambda: False) -> Pruned:
    """Let go of what is over the limits. `pause` is called between batches and says whether to stop early."""
    gone = Pruned()
    before = limits.oldest(now)
    gone.records += _drop_all(lambda: _drop_records(_older_records(before)), pause)
    if excess := over_size(limits):
        gone.records += _shrink(excess, pause)
    floor = RequestRecord.objects.aggregate(at=Min("started_at"))["at"] or before
    gone.bodies += _drop_all(lambda: drop_old_bodies(max(before, floor), older_by=TOUCH), pause)
    gone.bodies += keep_budget(limits.body_bytes)
    for name, rows in _beside(before, floor, now).items():
        setattr(gone, name, sum(_drop_all(partial(_drop_rows, some), pause) for some in rows))
    give_back_pages(pause)
    return gone


def due(limits: Limits, now: datetime) -> Pruned:
    """What `prune()` would let go, records over the size not counted: how many those are shows only as they go."""
    before = limits.oldest(now)
    kept = RequestRecord.objects.filter(started_at__gte=before)
    floor = kept.aggregate(at=Min("started_at"))["at"] or before
    found = Pruned(records=_older_records(before).count())
    all_go = not limits.body_bytes
    found.bodies = (Body.objects.all() if all_go else Body.objects.filter(at__lt=max(before, floor))).count()
    for name, rows in _beside(before, floor, now).items():
        setattr(found, name, sum(some.count() for some in rows))
    return found


def over_size(limits: Limits) -> int:
    """Bytes by which records and sums are over their limit; bodies have one of their own."""
    taken = file_bytes()
    counted = rows_bytes() if taken is None else taken - used_bytes()
    return max(0, counted - limits.record_bytes)


def _older_records(before: datetime) -> QuerySet[RequestRecord]:
    return RequestRecord.objects.filter(started_at__lt=before)


def _shrink(excess: int, pause: Pause) -> int:
    """The oldest records go until the file is smaller by this, or as many as hold so much where there is no file."""
    before = file_bytes()
    left = excess // record_bytes() + 1 if before is None else 0

    def drop() -> int:
        nonlocal left
        too_large = left > 0 if before is None else before - (file_bytes() or 0) < excess
        count = _drop_records(RequestRecord.objects.all()) if too_large else 0
        left -= count
        return count

    return _drop_all(drop, pause)


def _drop_records(rows: QuerySet[RequestRecord]) -> int:
    """The oldest of them, a batch, with their attempts."""
    ids = list(rows.order_by("started_at", "id").values_list("pk", flat=True)[:BATCH_ROWS])
    with transaction.atomic(using="history"):
        Attempt.objects.filter(request_id__in=ids).delete()
        RequestRecord.objects.filter(pk__in=ids).delete()
    return len(ids)


def _beside(before: datetime, floor: datetime, now: datetime) -> dict[str, list[QuerySet[Any]]]:
    """What else grows old, by the names of `Pruned`. `floor`: the oldest record that stays."""
    hours_before = now - timedelta(days=HOURLY_DAYS)
    return {
        "samples": [WindowSample.objects.filter(at__lt=before)],
        "hours": [model.objects.filter(hour__lt=hours_before) for model in (UsageHour, LatencyHour)],
        "sessions": [SessionRow.objects.filter(last_at__lt=max(before, floor))],
        "facets": [Facet.objects.filter(last_seen__lt=max(before, floor) - FACET_LAG)],
    }


def _drop_rows(rows: QuerySet[Any]) -> int:
    ids = list(rows.order_by().values_list("pk", flat=True)[:BATCH_ROWS])
    rows.model.objects.filter(pk__in=ids).delete()
    return len(ids)


def _drop_all(drop: Callable[[], int], pause: Pause) -> int:
    """Batch after batch until one is empty or `pause` says stop."""
    gone = 0
    while count := drop():
        gone += count
        if pause():
            break
    return gone


@dataclass
class Cleaner:
    """Prunes in a thread of its own: a minute after the start, then every hour."""

    first_s: float = FIRST_SECONDS
    every_s: float = EVERY_SECONDS
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="history-cleaner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the batch that is going."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None

    def _run(self) -> None:
        wait = self.first_s
        while not self._stop.wait(wait):
            wait = self.every_s
            self._clean()
        connections.close_all()

    def _clean(self) -> None:
        try:
            gone = prune(Limits.from_settings(), timezone.now(), lambda: self._stop.wait(PAUSE_SECONDS))
        except DatabaseError as exc:
            logger.warning("The history could not be pruned (%s). It is tried again in an hour.", exc)
            return
        except Exception:  # whatever it was, the next hour is another try
            logger.exception("The history could not be pruned. It is tried again in an hour.")
            return
        if lines := list(gone.lines()):
            logger.info("Pruned from the history: %s.", ", ".join(lines))


cleaner = Cleaner()
