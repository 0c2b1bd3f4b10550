"""What `/analytics` and `usage` tell of a span of time: sums, percentiles and burn.

Selectors over the sums that are kept beside the records (`analytics.usage_sums`). Nothing here writes; all of it uses
the history database, so never in the event loop.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from analytics.drafts import Outcome
from analytics.latency import percentile
from analytics.models import RequestRecord, SessionRow
from analytics.usage_sums import COUNTERS, Dimension, Sums, day_of, latency_counts, session_sums, sums

DIMENSIONS: tuple[Dimension, ...] = ("backend", "account", "key", "model")
MOST_MINUTES = 525_600  # a year
EXACT = 5000  # so many durations are sorted; percentiles of more come from buckets
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OLDER_SECONDS = 60.0  # so long the sums of the days before today are remembered
BURN_MINUTES = 60.0
LEAST_BURN_MINUTES = 5.0
Groups = dict[str, Sums]
COUNTED = attrgetter(*COUNTERS)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a span with percentiles of the durations (ms), over the requests that were not rejected."""

    sums: Sums
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The last `minutes`. `groups`: the sums by name, for each dimension, the most requests first.

    Requests that never came to have a backend, an account, a model or a client key are in the total alone.
    """

    minutes: int
    totals: Totals
    groups: Mapping[Dimension, Groups]


@dataclass(frozen=True, slots=True)
class Burn:
    """Use of the last hour, or since the first request if that is less; None with less than five minutes of history."""

    tokens_per_minute: float | None = None
    dollars_per_hour: float | None = None


def window_summary(minutes: int, now: datetime) -> Summary:
    """The requests that began in the last `minutes`. Four queries at most."""
    since = now - timedelta(minutes=minutes)
    found = sums(since, by=DIMENSIONS)
    total = added(found)
    groups = {name: _by(found, index) for index, name in enumerate(DIMENSIONS)}
    return Summary(minutes, Totals(total, *_percentiles(since, total.reached)), groups)


@dataclass(slots=True)
class Older:
    """What happened before today, which hardly changes: remembered for a minute, since years take a tenth of a second.

    Used from one thread at a time.
    """

    day: datetime = EPOCH
    read_at: float = 0.0
    sums: list[Sums] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)

    def read(self, day: datetime) -> None:
        """What happened before `day`, unless that is known already. Two queries at most."""
        now = time.monotonic()
        if self.day == day and self.sums and now - self.read_at < OLDER_SECONDS:
            return
        self.day, self.read_at = day, now
        self.sums = sums(EPOCH, day, by=("account",))
        self.counts = latency_counts(EPOCH, day) if self.sums else {}


def all_time(now: datetime, older: Older) -> tuple[Totals, Groups]:
    """Everything that is still known, and its requests by account. Four queries at most, as a rule two."""
    today = day_of(now)
    older.read(today)
    found = [*older.sums, *sums(today, by=("account",))]
    counts = Counter(older.counts) + Counter(latency_counts(today))
    totals = Totals(added(found), percentile(counts, 0.5), percentile(counts, 0.99))
    return totals, _by(found, 0)


def added(groups: Iterable[Sums]) -> Sums:
    """All of them in one."""
    return _added(COUNTED(group) for group in groups)


def _by(found: Iterable[Sums], index: int) -> Groups:
    rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for one in found:
        if name := one.group[index]:
            rows[name].append(COUNTED(one))
    groups = {name: _added(counted, name) for name, counted in rows.items()}
    return dict(sorted(groups.items(), key=lambda item: (-item[1].requests, item[0])))


def _added(rows: Iterable[tuple[Any, ...]], *group: str) -> Sums:
    """Column by column: a thousand groups are added up at every look."""
    columns = list(zip(*rows, strict=True))
    values = {name: sum(column) for name, column in zip(COUNTERS, columns, strict=True)} if columns else {}
    return Sums(group, None, **values)


def _percentiles(since: datetime, count: int) -> tuple[float | None, float | None]:
    """p50 and p99: exact for few requests, from buckets that grow by a tenth for many."""
    if count > EXACT:
        counts = latency_counts(since)
        return percentile(counts, 0.5), percentile(counts, 0.99)
    rows = RequestRecord.objects.filter(started_at__gte=since).exclude(outcome=Outcome.REJECTED.value)
    durations = sorted(rows.order_by().values_list("duration_ms", flat=True)[: 2 * EXACT])
    return _nearest(durations, 50), _nearest(durations, 99)


def _nearest(ordered: list[float], percent: int) -> float | None:
    """The nearest rank."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


# --- burn ----------------------------------------------------------------------------------------------------


def burn(now: datetime, of: Summary | None = None, ever: int | None = None) -> Burn:
    """Tokens and money of the last hour. Three queries at most; none if `of` is a summary of that hour and `ever`, the
    number of all requests, shows that the history is older.
    """
    if of is not None and of.minutes == BURN_MINUTES:
        total = of.totals.sums
    else:
        [total] = sums(now - timedelta(minutes=BURN_MINUTES))
    is_older = ever is not None and ever > total.requests
    minutes = BURN_MINUTES if is_older else min(BURN_MINUTES, _age_minutes(now))
    if minutes < LEAST_BURN_MINUTES:
        return Burn()
    tokens = total.input_tokens + total.output_tokens
    return Burn(tokens / minutes, None if total.cost is None else float(total.cost) * 60 / minutes)


def _age_minutes(now: datetime) -> float:
    """Since the first request that is still known."""
    first = RequestRecord.objects.order_by("started_at").values_list("started_at", flat=True).first()
    return 0.0 if first is None else (now - first).total_seconds() / 60


# --- sessions ------------------------------------------------------------------------------------------------

MOST_SESSIONS = 100


def session_groups(minutes: int, now: datetime) -> Groups:
    """The sessions with a request in the span, the most requests first, with all they ever asked for. One query.

    Their durations are not added up, and reasoning is not kept apart.
    """
    rows = SessionRow.objects.filter(last_at__gte=now - timedelta(minutes=minutes))
    return {row.id: session_sums(row) for row in rows.order_by("-requests", "id")[:MOST_SESSIONS]}
