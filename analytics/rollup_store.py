"""The sums beside the records, in the database: added to with every batch, made anew from the records when asked.

Rule: who adds a record adds it to the sums in the same transaction, under `guard()`; so they always agree. A rebuild
takes one hour after the other in transactions of its own, so that the writer never waits long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Max, Min, Model, Sum

from analytics.drafts import Outcome
from analytics.models import Facet, LatencyHour, RequestRecord, SessionRow, UsageDay, UsageHour
from analytics.rollups import COLUMNS, COUNTERS, SESSION_COUNTERS, Batch, SessionSums, aggregate

logger = logging.getLogger("patchbay.history")
ALIAS = "history"
_LOCK = 0x5041_5443_4842  # any number that nobody else uses in this database
_FACET_HOURS = timedelta(hours=1)
_MOST_FACETS = 10_000
_PLACE = ("backend", "account", "key", "model")
_SESSIONS = 200
_LAST = ("source", "key", "client", "model", "backend")  # of a session: as they were last


def guard(cursor: CursorWrapper, *, alone: bool = False) -> None:
    """Inside a transaction: several may add at once, but nobody while somebody counts anew or replays (`alone`).

    SQLite has one writer anyway.
    """
    if cursor.db.vendor == "postgresql":
        shared = "" if alone else "_shared"
        cursor.execute(f"SELECT pg_advisory_xact_lock{shared}(%s)", [_LOCK])


def add(cursor: CursorWrapper, batch: Batch) -> None:
    """Add a batch to hours, days, latencies and sessions. Rows go in order, so that no two writers block each other."""
    hours = [(hour, *place, *counts) for (hour, place), counts in batch.hours.items()]
    days = [(day, *place, *counts) for (day, place), counts in batch.days().items()]
    _add_up(cursor, UsageHour, ("hour", *_PLACE), COUNTERS, hours)
    _add_up(cursor, UsageDay, ("day", *_PLACE), COUNTERS, days)
    _add_latencies(cursor, batch)
    _add_sessions(cursor, batch.sessions)


@dataclass
class Facets:
    """Which values the facet table has been told of in the last hour. One for each writer."""

    _told: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def due(self, batch: Batch) -> dict[tuple[str, str], datetime]:
        """What is new, or was not told for an hour."""
        told = self._told
        return {
            name: at
            for name, at in batch.facets.items()
            if (before := told.get(name)) is None or at - before >= _FACET_HOURS
        }

    def done(self, told: dict[tuple[str, str], datetime]) -> None:
        """These are stored now."""
        if len(self._told) + len(told) > _MOST_FACETS:
            self._told.clear()
        self._told |= told


def add_facets(cursor: CursorWrapper, found: dict[tuple[str, str], datetime]) -> None:
    """Store which values there are."""
    table, columns = _table(Facet), ("column", "value", "last_seen")
    changes = f"last_seen = {_larger(table, 'last_seen')}"
    rows = [(column, value, at) for (column, value), at in found.items()]
    _upsert(cursor, Facet, columns, ("column", "value"), changes, rows)


def _add_latencies(cursor: CursorWrapper, batch: Batch) -> None:
    rows = [(*name, count) for name, count in batch.latencies.items()]
    _add_up(cursor, LatencyHour, ("hour", "metric", "bucket"), ("count",), rows)


def _add_sessions(cursor: CursorWrapper, sessions: dict[str, SessionSums]) -> None:
    table = _table(SessionRow)
    columns = ("id", "first_at", "last_at", *_LAST, *SESSION_COUNTERS)
    is_later = f"excluded.last_at >= {table}.last_at"
    changes = [f"first_at = {_smaller(table, 'first_at')}", f"last_at = {_larger(table, 'last_at')}"]
    for name in map(_quoted, _LAST):
        changes.append(
            f"{name} = CASE WHEN {is_later} AND excluded.{name} <> '' THEN excluded.{name} ELSE {table}.{name} END"
        )
    changes += [_plus(table, name) for name in SESSION_COUNTERS]
    rows = [
        (id_, one.first_at, one.last_at, *(getattr(one, name) for name in _LAST), *one.counts)
        for id_, one in sessions.items()
    ]
    _upsert(cursor, SessionRow, columns, ("id",), ", ".join(changes), rows)


# --- SQL that SQLite and PostgreSQL both know ----------------------------------------------------------------


def _add_up(
    cursor: CursorWrapper,
    model: type[Model],
    names: Sequence[str],
    counters: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    changes = ", ".join(_plus(_table(model), counter) for counter in counters)
    _upsert(cursor, model, (*names, *counters), names, changes, rows)


def _upsert(
    cursor: CursorWrapper,
    model: type[Model],
    columns: Sequence[str],
    unique: Sequence[str],
    changes: str,
    rows: Sequence[tuple[Any, ...]],
) -> None:
    if not rows:
        return
    names, marks = ", ".join(map(_quoted, columns)), ", ".join(["%s"] * len(columns))
    statement = (
        f"INSERT INTO {_table(model)} ({names}) VALUES ({marks})"
        f" ON CONFLICT ({', '.join(map(_quoted, unique))}) DO UPDATE SET {changes}"
    )
    width = len(unique)
    ordered = sorted(rows, key=lambda row: [str(value) for value in row[:width]])
    cursor.executemany(
        statement, [[adapted(v) if isinstance(v, date) else v for v in row] for row in ordered]
    )


def _plus(table: str, name: str) -> str:
    total = f"{table}.{_quoted(name)} + excluded.{_quoted(name)}"
    return f"{_quoted(name)} = {f'ROUND({total}, 8)' if name == 'cost' else total}"


def _larger(table: str, name: str) -> str:
    return f"CASE WHEN excluded.{name} > {table}.{name} THEN excluded.{name} ELSE {table}.{name} END"


def _smaller(table: str, name: str) -> str:
    return f"CASE WHEN excluded.{name} < {table}.{name} THEN excluded.{name} ELSE {table}.{name} END"


def _table(model: type[Model]) -> str:
    return _quoted(model._meta.db_table)


@cache
def _quoted(name: str) -> str:
    return connections[ALIAS].ops.quote_name(name)


def adapted(value: Any) -> Any:
    """A time or a day as the database's own kind of it."""
    if isinstance(value, datetime):
        return connections[ALIAS].ops.adapt_datetimefield_value(value)
    if isinstance(value, date):
        return connections[ALIAS].ops.adapt_datefield_value(value)
    return value


# --- counting anew -------------------------------------------------------------------------------------------


def rebuild(since: datetime | None = None) -> None:
    """Make all sums anew from the records, from the day of `since` on (default: from the first record).

    Sums of days whose records are all deleted stay; those of a day or session of which some are left shrink to that.
    """
    since_day = _day_of(since) if since is not None else date.min
    days = {_day_of(day) for day in RequestRecord.objects.datetimes("started_at", "day", tzinfo=UTC)}
    for day in sorted(day for day in days if day >= since_day):
        rebuild_day(day)


def rebuild_day(day: date) -> None:
    """The sums of one day (UTC), of the sessions that it saw, and its facets."""
    begin = datetime.combine(day, time(), UTC)
    for number in range(24):
        _rebuild_hour(begin + timedelta(hours=number))
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        guard(cursor, alone=True)
        UsageDay.objects.filter(day=day).delete()
        _add_up(cursor, UsageDay, ("day", *_PLACE), COUNTERS, list(_sums_of_day(day, begin)))
    ids = (
        _of_day(begin)
        .exclude(session="")
        .exclude(outcome=Outcome.REJECTED.value)
        .order_by()
        .values_list("session", flat=True)
        .distinct()
    )
    for some in _chunks(list(ids), _SESSIONS):
        _rebuild_sessions(some)


def behind() -> Iterator[date]:
    """The days whose records are not in the sums yet, the newest first: written by a version that kept none.

    The day of the oldest sum is among them: it may have begun before that sum was kept.
    """
    found = RequestRecord.objects.aggregate(first=Min("started_at"), last=Max("started_at"))
    if found["first"] is None:
        return
    oldest = UsageDay.objects.aggregate(oldest=Min("day"))["oldest"]
    first, last = _day_of(found["first"]), oldest or _day_of(found["last"])
    if oldest is not None and oldest <= first:
        return
    day: date | None = last
    while day is not None:
        yield day
        earlier = RequestRecord.objects.filter(started_at__lt=datetime.combine(day, time(), UTC))
        newest = earlier.aggregate(newest=Max("started_at"))["newest"]
        day = _day_of(newest) if newest else None


def _rebuild_hour(hour: datetime) -> None:
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        guard(cursor, alone=True)
        UsageHour.objects.filter(hour=hour).delete()
        LatencyHour.objects.filter(hour=hour).delete()
        rows = RequestRecord.objects.filter(started_at__gte=hour, started_at__lt=hour + timedelta(hours=1))
        batch = aggregate(rows.order_by().values(*COLUMNS).iterator(2000))
        hours = [(at, *place, *counts) for (at, place), counts in batch.hours.items()]
        _add_up(cursor, UsageHour, ("hour", *_PLACE), COUNTERS, hours)
        _add_latencies(cursor, batch)
        add_facets(cursor, batch.facets)


def _rebuild_sessions(ids: Sequence[str]) -> None:
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        guard(cursor, alone=True)
        SessionRow.objects.filter(pk__in=ids).delete()
        rows = RequestRecord.objects.filter(session__in=ids).order_by().values(*COLUMNS)
        _add_sessions(cursor, aggregate(rows.iterator(2000)).sessions)


def _sums_of_day(day: date, begin: datetime) -> Iterator[tuple[Any, ...]]:
    hours = UsageHour.objects.filter(hour__gte=begin, hour__lt=begin + timedelta(days=1)).order_by()
    for row in hours.values(*_PLACE).annotate(**{f"sum_{name}": Sum(name) for name in COUNTERS}):
        yield (day, *(row[name] for name in _PLACE), *(row[f"sum_{name}"] for name in COUNTERS))


def _of_day(begin: datetime) -> Any:
    return RequestRecord.objects.filter(started_at__gte=begin, started_at__lt=begin + timedelta(days=1))


def _day_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _chunks(items: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
