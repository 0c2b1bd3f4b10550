"""From a batch of records to what has to be added to the sums kept beside them. Pure: no database, no clock.

Rows are mappings by column name, as `record_row()` makes them or as the database gives them back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from analytics.drafts import Outcome
from analytics.latency import bucket_of
from analytics.pricing import CostSource

Row = Mapping[str, Any]
Counts = list[Any]
Place = tuple[str, str, str, str]  # backend, account, key, model

# What UsageHour and UsageDay add up, in this order.
COUNTERS = (
    *("requests", "errors", "rejected", "priced", "unpriced", "estimated"),
    *("fresh_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("cost", "duration_ms", "ttft_ms", "ttft_count"),
)
SESSION_COUNTERS = (
    *("requests", "errors", "priced", "unpriced"),
    *("fresh_input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost"),
)
_OF_SESSION = tuple(COUNTERS.index(name) for name in SESSION_COUNTERS)
FACETS = ("backend", "account", "key", "model_asked", "model_used", "client")
# What has to be read of a record to count it again.
COLUMNS = (
    *("started_at", "outcome", "duration_ms", "ttft_ms", "session", "session_source", "usage_source"),
    *("fresh_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("output_tokens", "reasoning_tokens", "cost", "cost_source", *FACETS),
)
_ERRORS = frozenset((Outcome.ERROR.value, Outcome.TRUNCATED.value, Outcome.SHUTDOWN.value))
_NOTHING = Decimal(0)
MOST_TOKENS = (
    10**12
)  # of one request; more is a report that cannot be true, and a sum of such would not be storable


@dataclass(slots=True)
class SessionSums:
    """What a batch says of one session. `source` to `backend` are as they were last."""

    first_at: datetime
    last_at: datetime
    counts: Counts
    source: str = ""
    key: str = ""
    client: str = ""
    model: str = ""
    backend: str = ""


@dataclass(slots=True)
class Batch:
    """What has to be added. Hours by (hour, place); latencies count requests by (hour, metric, bucket)."""

    hours: dict[tuple[datetime, Place], Counts] = field(default_factory=dict)
    latencies: dict[tuple[datetime, str, int], int] = field(default_factory=dict)
    sessions: dict[str, SessionSums] = field(default_factory=dict)
    facets: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def days(self) -> dict[tuple[date, Place], Counts]:
        """The hours, added up by day."""
        days: dict[tuple[date, Place], Counts] = {}
        for (hour, place), counts in self.hours.items():
            _add(days, (hour.date(), place), counts)
        return days


def aggregate(rows: Iterable[Row]) -> Batch:
    """What these records add. Each must be counted once only."""
    batch = Batch()
    for row in rows:
        counts, hour = _counts(row), hour_of(row["started_at"])
        _add(batch.hours, (hour, place_of(row)), counts)
        if row["outcome"] != Outcome.REJECTED.value:
            _add_session(batch.sessions, row, counts)
            _add_latency(batch.latencies, row, hour)
            _add_facets(batch.facets, row)
    return batch


def hour_of(moment: datetime) -> datetime:
    """The beginning of its hour, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def place_of(row: Row) -> Place:
    """Under which names it counts; a rejected one under no model, since its client could have written anything."""
    is_rejected = row["outcome"] == Outcome.REJECTED.value
    model = "" if is_rejected else row["model_used"] or row["model_asked"]
    return row["backend"], row["account"], row["key"], model


def _counts(row: Row) -> Counts:
    """In the order of COUNTERS."""
    outcome, cost, ttft = row["outcome"], row["cost"], row["ttft_ms"]
    is_rejected = outcome == Outcome.REJECTED.value
    has_ttft = ttft is not None and not is_rejected
    return [
        1,
        int(outcome in _ERRORS),
        int(is_rejected),
        int(cost is not None),
        int(row["cost_source"] == CostSource.UNPRICED.value),
        int(row["usage_source"] == "estimated"),
        min(row["fresh_input_tokens"] or 0, MOST_TOKENS),
        min(row["cache_read_tokens"] or 0, MOST_TOKENS),
        min((row["cache_write_5m_tokens"] or 0) + (row["cache_write_1h_tokens"] or 0), MOST_TOKENS),
        min(row["output_tokens"] or 0, MOST_TOKENS),
        min(row["reasoning_tokens"] or 0, MOST_TOKENS),
        _NOTHING if cost is None else cost,
        0.0 if is_rejected else row["duration_ms"],
        ttft if has_ttft else 0.0,
        int(has_ttft),
    ]


def _add(sums: dict[Any, Counts], name: object, counts: Counts) -> None:
    known = sums.get(name)
    sums[name] = list(counts) if known is None else [a + b for a, b in zip(known, counts, strict=True)]


def _add_session(sessions: dict[str, SessionSums], row: Row, counts: Counts) -> None:
    if not row["session"]:
        return
    at, mine = row["started_at"], [counts[index] for index in _OF_SESSION]
    known = sessions.get(row["session"])
    if known is None:
        known = sessions[row["session"]] = SessionSums(at, at, mine)
    else:
        known.counts = [a + b for a, b in zip(known.counts, mine, strict=True)]
    known.first_at = min(known.first_at, at)
    if at >= known.last_at:
        known.last_at = at
        known.source, known.key = row["session_source"] or "", row["key"]
        known.client = row["client"]
        known.model = row["model_used"] or known.model
        known.backend = row["backend"] or known.backend


def _add_latency(latencies: dict[tuple[datetime, str, int], int], row: Row, hour: datetime) -> None:
    for metric in ("duration", "ttft"):
        if (ms := row[f"{metric}_ms"]) is not None:
            name = (hour, metric, bucket_of(ms))
            latencies[name] = latencies.get(name, 0) + 1


def _add_facets(facets: dict[tuple[str, str], datetime], row: Row) -> None:
    at = row["started_at"]
    for column in FACETS:
        if value := row[column]:
            name = (column, value)
            known = facets.get(name)
            facets[name] = at if known is None or at > known else known
