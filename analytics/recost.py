"""Costs of the history anew, by the prices that are known now: for prices that came or were corrected later.

Small transactions: each re-costs some hundred records and moves the sums beside them by the differences, so both
always agree, and a server that runs meanwhile goes on writing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, Q

from analytics.models import RequestRecord, SessionRow, UsageDay, UsageHour
from analytics.pricing import CostSource, cost_of, cost_source
from analytics.rollup_store import ALIAS, adapted, guard
from analytics.rollups import hour_of, place_of
from backends.globs import glob_matches
from backends.models import Backend
from backends.prices import PriceBook
from backends.wire.usage import Usage

BATCH = 500
_COLUMNS = (
    *("id", "started_at", "backend", "account", "key", "provider", "session", "outcome"),
    *("model_asked", "model_used", "usage_source", "raw_usage", "cost", "cost_source"),
    *("fresh_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("output_tokens", "reasoning_tokens"),
)
Row = Mapping[str, Any]
Change = tuple[Decimal, int, int]  # of cost, priced, unpriced
_UNPRICED = CostSource.UNPRICED.value


@dataclass(frozen=True, slots=True)
class Scope:
    """Which records: those that began at `since` or later and before `until`, of models that a glob names."""

    since: datetime | None = None
    until: datetime | None = None
    model: str = ""

    def takes(self, row: Row) -> bool:
        """Whether its model is meant. Without a report of usage there is nothing to price."""
        if row["fresh_input_tokens"] is None:
            return False
        return not self.model or glob_matches(self.model, row["model_used"].strip().lower())


@dataclass(slots=True)
class Recost:
    """What came of it. `models`: changed records by model. Dollars are of the changed records."""

    seen: int = 0
    changed: int = 0
    now_priced: int = 0
    now_unpriced: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)
    models: Counter[str] = field(default_factory=Counter)


def recost(scope: Scope, prices: PriceBook, *, dry_run: bool = False) -> Recost:
    """Price the records in scope again. `prices`: the operator's. With `dry_run` nothing is written."""
    result, presets = Recost(), dict(Backend.objects.values_list("name", "preset"))
    place: tuple[datetime, str] | None = None
    while True:
        with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
            if not dry_run:
                guard(cursor, alone=True)
            rows = _next(scope, place)
            changes = [
                change for row in rows if scope.takes(row) if (change := _priced(row, presets, prices))
            ]
            if not dry_run:
                _store(cursor, changes)
        result.seen += sum(map(scope.takes, rows))
        for each in changes:
            _count(result, each)
        if len(rows) < BATCH:
            return result
        place = (rows[-1]["started_at"], rows[-1]["id"])


@dataclass(frozen=True, slots=True)
class _Changed:
    row: Row
    cost: Decimal | None
    source: str

    @property
    def change(self) -> Change:
        """What the sums move by."""
        before = self.row["cost"]
        priced = (self.cost is not None) - (before is not None)
        unpriced = (self.source == _UNPRICED) - (self.row["cost_source"] == _UNPRICED)
        return (self.cost or Decimal(0)) - (before or Decimal(0)), priced, unpriced


def _next(scope: Scope, place: tuple[datetime, str] | None) -> Sequence[Row]:
    """The records behind `place`, in order of time."""
    rows = RequestRecord.objects.order_by("started_at", "id")
    if place is not None:
        at, id_ = place
        rows = rows.filter(started_at__gte=at).filter(Q(started_at__gt=at) | Q(id__gt=id_))
    elif scope.since is not None:
        rows = rows.filter(started_at__gte=scope.since)
    if scope.until is not None:
        rows = rows.filter(started_at__lt=scope.until)
    return list(rows.values(*_COLUMNS)[:BATCH])


def _priced(row: Row, presets: Mapping[str, str], prices: PriceBook) -> _Changed | None:
    """The record at today's knowledge, if that is different. A backend that is gone counts as what it was."""
    provider = presets.get(row["backend"], row["provider"] or "")
    cost = cost_of(
        row["model_used"], provider, _usage(row), row["started_at"], backend=row["backend"], own=prices
    )
    source = cost_source(cost, is_final=row["usage_source"] == "reported").value
    if cost == row["cost"] and source == row["cost_source"]:
        return None
    return _Changed(row, cost, source)


def _usage(row: Row) -> Usage:
    return Usage(
        row["fresh_input_tokens"],
        row["cache_read_tokens"] or 0,
        row["cache_write_5m_tokens"] or 0,
        row["cache_write_1h_tokens"] or 0,
        row["output_tokens"] or 0,
        row["reasoning_tokens"] or 0,
        row["raw_usage"].encode(),
    )


def _store(cursor: CursorWrapper, changes: Sequence[_Changed]) -> None:
    if not changes:
        return
    table = RequestRecord._meta.db_table
    cursor.executemany(
        f"UPDATE {table} SET cost = %s, cost_source = %s WHERE id = %s",
        [(each.cost, each.source, each.row["id"]) for each in changes],
    )
    hours: dict[tuple[Any, ...], Change] = {}
    days: dict[tuple[Any, ...], Change] = {}
    sessions: dict[tuple[Any, ...], Change] = {}
    for each in changes:
        hour, place = hour_of(each.row["started_at"]), place_of(each.row)
        _move(hours, (hour, *place), each.change)
        _move(days, (hour.astimezone(UTC).date(), *place), each.change)
        if each.row["session"]:
            _move(sessions, (each.row["session"],), each.change)
    _shift(cursor, UsageHour, ("hour", "backend", "account", "key", "model"), hours)
    _shift(cursor, UsageDay, ("day", "backend", "account", "key", "model"), days)
    _shift(cursor, SessionRow, ("id",), sessions)


def _move(sums: dict[tuple[Any, ...], Change], name: tuple[Any, ...], change: Change) -> None:
    cost, priced, unpriced = sums.get(name, (Decimal(0), 0, 0))
    sums[name] = (cost + change[0], priced + change[1], unpriced + change[2])


def _shift(
    cursor: CursorWrapper, model: type[Model], names: Sequence[str], changes: Mapping[tuple[Any, ...], Change]
) -> None:
    """Sums that are gone already stay gone; none goes below 0."""
    quote = connections[ALIAS].ops.quote_name
    moved = ", ".join(
        f"{name} = CASE WHEN {name} + %s < 0 THEN 0 ELSE {value} END"
        for name, value in (
            ("cost", "ROUND(cost + %s, 8)"),
            ("priced", "priced + %s"),
            ("unpriced", "unpriced + %s"),
        )
    )
    where = " AND ".join(f"{quote(name)} = %s" for name in names)
    cursor.executemany(
        f"UPDATE {quote(model._meta.db_table)} SET {moved} WHERE {where}",
        [
            [*(twice for part in change for twice in (part, part)), *map(adapted, name)]
            for name, change in sorted(changes.items(), key=lambda item: [str(part) for part in item[0]])
        ],
    )


def _count(result: Recost, each: _Changed) -> None:
    result.changed += 1
    result.before += each.row["cost"] or Decimal(0)
    result.after += each.cost or Decimal(0)
    result.now_priced += each.row["cost"] is None and each.cost is not None
    result.now_unpriced += each.row["cost"] is not None and each.cost is None
    result.models[each.row["model_used"]] += 1
