"""Sums over any span of time, exact to the minute, from few rows: whole days, whole hours, and records at the edges.

What `/analytics`, `usage` and the pages read. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from django.db.models import Case, Count, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from analytics.drafts import Outcome
from analytics.models import LatencyHour, RequestRecord, SessionRow, UsageDay, UsageHour
from analytics.pricing import CostSource
from analytics.queries import FAILED
from analytics.rollups import hour_of

Dimension = Literal["backend", "account", "key", "model"]
Step = Literal["hour", "day"]


@dataclass(slots=True)
class Sums:
    """Sums over the requests of one group.

    `group`: the values of the dimensions asked for, in their order. `requests` counts all records, the `rejected` and
    token counts included; `errors` are error, truncated and shutdown. Tokens are in disjoint buckets, `reasoning` is
    part of `output`. `spent` (US dollars) is the cost of the `priced` requests; see `cost`. `duration_ms` is over
    those that were not rejected, `ttft_ms` over `ttft_count` of them. `at`: the step's beginning, in `series()`.
    """

    group: tuple[str, ...] = ()
    at: datetime | None = None
    requests: int = 0
    errors: int = 0
    rejected: int = 0
    priced: int = 0
    unpriced: int = 0
    estimated: int = 0
    fresh_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    spent: Decimal = Decimal(0)
    duration_ms: float = 0.0
    ttft_ms: float = 0.0
    ttft_count: int = 0

    @property
    def reached(self) -> int:
        """Requests that came as far as an upstream."""
        return self.requests - self.rejected

    @property
    def input_tokens(self) -> int:
        """All input: fresh, read from the cache and written to it."""
        return self.fresh_input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cost(self) -> Decimal | None:
        """US dollars of what could be priced; None, never 0, when all that was served is unpriced."""
        return None if self.unpriced and not self.priced else self.spent

    @property
    def mean_ms(self) -> float | None:
        """Mean duration of the requests that were not rejected."""
        return self.duration_ms / self.reached if self.reached else None

    @property
    def mean_ttft_ms(self) -> float | None:
        """Mean time to the first content, of those that have one."""
        return self.ttft_ms / self.ttft_count if self.ttft_count else None

    @property
    def error_rate(self) -> float | None:
        """Share of all requests that failed, 0..1; None without requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def cache_ratio(self) -> float | None:
        """Share of the input that was read from a cache, 0..1; None without input."""
        return self.cache_read_tokens / self.input_tokens if self.input_tokens else None

    def add(self, other: Sums) -> None:
        """Count another group's requests as well."""
        for name in COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTERS = tuple(field.name for field in fields(Sums) if field.name not in ("group", "at"))


def sums(
    since: datetime,
    until: datetime | None = None,
    by: Sequence[Dimension] = (),
    where: Mapping[Dimension, str] | None = None,
) -> list[Sums]:
    """Sums over the requests that began at `since` or later and before `until` (default: all up to now).

    One for each combination of the values of `by`, the most requests first; without `by` exactly one. `where` picks
    by exact values. Both moments count exactly, whatever hour they lie in; three queries at most. Where the hours or
    the records of a part of the span are deleted already, that part counts by whole days or not at all.
    """
    found: dict[tuple[str, ...], Sums] = {}
    for rows in _pieces(since, until):
        for group in _grouped(rows, by, where or {}):
            found.setdefault(group.group, Sums(group.group)).add(group)
    if not by:
        return [found.get((), Sums())]
    return sorted(found.values(), key=lambda group: (-group.requests, group.group))


def series(
    since: datetime,
    until: datetime | None,
    step: Step,
    by: Sequence[Dimension] = (),
    where: Mapping[Dimension, str] | None = None,
) -> list[Sums]:
    """The same by hour or by day (UTC), in order of time; each `at` is its step's beginning.

    The steps in which the span begins and ends count whole. Steps without a request are left out. One query.
    """
    column = "hour" if step == "hour" else "day"
    rows = _hours(since, until) if step == "hour" else _days(since, until)
    return list(_grouped(rows.order_by(column), by, where or {}, step=column))


def latency_counts(
    since: datetime, until: datetime | None = None, metric: str = "duration"
) -> dict[int, int]:
    """Requests by latency bucket, over the hours in which the span lies; for `analytics.latency.percentile()`.

    `metric`: "duration" or "ttft". Rejected requests do not count. One query.
    """
    low, high = hour_of(since), until or _FAR
    rows = LatencyHour.objects.filter(hour__gte=low, hour__lt=high, metric=metric)
    return dict(rows.order_by().values_list("bucket").annotate(counted=Sum("count")))


def session_sums(row: SessionRow) -> Sums:
    """The sums of a session, under its id."""
    return Sums(
        (row.id,),
        row.last_at,
        requests=row.requests,
        errors=row.errors,
        priced=row.priced,
        unpriced=row.unpriced,
        fresh_input_tokens=row.fresh_input_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cache_write_tokens=row.cache_write_tokens,
        output_tokens=row.output_tokens,
        spent=row.cost,
    )


# --- a span in whole days, whole hours, and what is left -----------------------------------------------------

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_FAR = datetime(9999, 1, 1, tzinfo=UTC)
Rows = QuerySet[Any, Any]


def day_of(moment: datetime) -> datetime:
    """The beginning of its day, in UTC."""
    return hour_of(moment).replace(hour=0)


def _pieces(since: datetime, until: datetime | None) -> Iterator[Rows]:
    """Rows that cover the span without overlap. All of today is before now, so without `until` it counts as whole."""
    end = until or day_of(timezone.now()) + _DAY
    first, last = _ceil(since, hour_of(since), _HOUR), hour_of(end)
    if first >= last:
        yield RequestRecord.objects.filter(started_at__gte=since, started_at__lt=end)
        return
    edges = Q()
    if since < first:
        edges |= Q(started_at__gte=since, started_at__lt=first)
    if last < end:
        edges |= Q(started_at__gte=last, started_at__lt=end)
    if edges:
        yield RequestRecord.objects.filter(edges)
    first_day, last_day = _ceil(first, day_of(first), _DAY), day_of(last)
    if first_day >= last_day:
        yield UsageHour.objects.filter(hour__gte=first, hour__lt=last)
        return
    yield UsageDay.objects.filter(day__gte=first_day.date(), day__lt=last_day.date())
    rest = Q(hour__gte=first, hour__lt=first_day) | Q(hour__gte=last_day, hour__lt=last)
    if first < first_day or last_day < last:
        yield UsageHour.objects.filter(rest)


def _ceil(moment: datetime, floor: datetime, step: timedelta) -> datetime:
    return floor if floor == moment else floor + step


def _hours(since: datetime, until: datetime | None) -> Rows:
    return UsageHour.objects.filter(hour__gte=hour_of(since), hour__lt=until or _FAR)


def _days(since: datetime, until: datetime | None) -> Rows:
    """Up to the day of the last moment before `until`."""
    last = (until - timedelta(microseconds=1) if until else _FAR).astimezone(UTC).date()
    return UsageDay.objects.filter(day__gte=since.astimezone(UTC).date(), day__lte=last)


# --- sums in SQL ---------------------------------------------------------------------------------------------

_SAME = tuple(name for name in COUNTERS if name != "spent")  # columns of the rollups, under the same names
_OF_ROLLUPS = {f"sum_{name}": Sum(name) for name in _SAME} | {"sum_spent": Sum("cost")}
_MODEL = Case(
    When(outcome=Outcome.REJECTED.value, then=Value("")),
    When(model_used="", then=F("model_asked")),
    default=F("model_used"),
)
_IS_REJECTED = Q(outcome=Outcome.REJECTED.value)
_OF_RECORDS = {
    "sum_requests": Count("pk"),
    "sum_errors": Count("pk", filter=Q(outcome__in=FAILED)),
    "sum_rejected": Count("pk", filter=_IS_REJECTED),
    "sum_priced": Count("cost"),
    "sum_unpriced": Count("pk", filter=Q(cost_source=CostSource.UNPRICED.value)),
    "sum_estimated": Count("pk", filter=Q(usage_source="estimated")),
    "sum_fresh_input_tokens": Sum("fresh_input_tokens"),
    "sum_cache_read_tokens": Sum("cache_read_tokens"),
    "sum_cache_write_tokens": Sum(
        Coalesce("cache_write_5m_tokens", 0) + Coalesce("cache_write_1h_tokens", 0)
    ),
    "sum_output_tokens": Sum("output_tokens"),
    "sum_reasoning_tokens": Sum("reasoning_tokens"),
    "sum_spent": Sum("cost"),
    "sum_duration_ms": Sum("duration_ms", filter=~_IS_REJECTED),
    "sum_ttft_ms": Sum("ttft_ms", filter=~_IS_REJECTED),
    "sum_ttft_count": Count("ttft_ms", filter=~_IS_REJECTED),
}


def _grouped(
    rows: Rows, by: Sequence[Dimension], where: Mapping[Dimension, str], step: str = ""
) -> Iterator[Sums]:
    """One sum for each combination that occurs."""
    wanted: dict[str, Any] = _OF_ROLLUPS
    if rows.model is RequestRecord:
        wanted, rows = _OF_RECORDS, rows.alias(model=_MODEL)
        rows = rows.annotate(model=F("model")) if "model" in by else rows
    columns = (step, *by) if step else tuple(by)
    exact: dict[str, Any] = dict(where.items())
    rows = rows.filter(**exact) if exact else rows
    if not step:
        rows = rows.order_by()
    for row in rows.values(*columns).annotate(**wanted):
        if row["sum_requests"]:
            yield _sums_of(row, by, row[step] if step else None)


def _sums_of(row: Mapping[str, Any], by: Sequence[Dimension], at: datetime | date | None) -> Sums:
    counted: dict[str, Any] = {name: row[f"sum_{name}"] or 0 for name in COUNTERS}
    counted["spent"] = Decimal(counted["spent"])
    moment = at if isinstance(at, datetime) or at is None else datetime(at.year, at.month, at.day, tzinfo=UTC)
    return Sums(tuple(row[name] for name in by), moment, **counted)
