"""What the pages read from the history: few queries, all of them from sums that were kept beside the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Literal

from django.db.models import Q, Sum

from analytics.latency import percentile
from analytics.models import LatencyHour, RequestRecord, SessionRow
from analytics.queries import FAILED
from analytics.rollups import hour_of
from analytics.usage_sums import Dimension, Sums, day_of, series, session_sums

DIMENSIONS: tuple[Dimension, ...] = ("model", "account", "key")


@dataclass(frozen=True, slots=True)
class Period:
    """A span up to now that a page shows, in whole `bars` of `hours` each."""

    name: str
    label: str
    bars: int
    hours: int

    def since(self, now: datetime) -> datetime:
        """Where it begins (UTC), so that its last bar holds `now`."""
        if self.hours >= 24:
            return day_of(now) - timedelta(hours=self.hours * (self.bars - 1))
        last = hour_of(now)
        last -= timedelta(hours=last.hour % self.hours)
        return last - timedelta(hours=self.hours * (self.bars - 1))

    @property
    def step(self) -> Literal["hour", "day"]:
        """Of the sums it is made from."""
        return "day" if self.hours >= 24 else "hour"


PERIODS = {
    period.name: period
    for period in (
        Period("24h", "24 hours", 24, 1),
        Period("7d", "7 days", 28, 6),
        Period("30d", "30 days", 30, 24),
    )
}


def period_of(name: str) -> Period:
    """The period of this name; the shortest for any other."""
    return PERIODS.get(name, PERIODS["24h"])


def bars(period: Period, now: datetime) -> list[tuple[datetime, Sums]]:
    """The sums of every bar of the period, also of those without a request. One query."""
    since, step = period.since(now), timedelta(hours=period.hours)
    found = [(since + step * index, Sums()) for index in range(period.bars)]
    for sums in series(since, None, period.step):
        assert sums.at is not None
        index = int((sums.at - since) / step)
        if 0 <= index < len(found):
            found[index][1].add(sums)
    return found


@dataclass(frozen=True, slots=True)
class Spent:
    """The sums of this UTC day and of this UTC month."""

    today: Sums
    month: Sums


def spent(now: datetime) -> Spent:
    """Money of the day and the month. One query."""
    found = Spent(Sums(), Sums())
    _count_in(found, series(_month(now), None, "day"), now)
    return found


def spent_by_account(now: datetime) -> dict[str, Spent]:
    """The same for each account. One query."""
    found: dict[str, Spent] = {}
    for sums in series(_month(now), None, "day", ("account",)):
        _count_in(found.setdefault(sums.group[0], Spent(Sums(), Sums())), [sums], now)
    return found


def _month(now: datetime) -> datetime:
    return day_of(now).replace(day=1)


def _count_in(found: Spent, days: Iterable[Sums], now: datetime) -> None:
    for sums in days:
        found.month.add(sums)
        if sums.at == day_of(now):
            found.today.add(sums)


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds; None without requests. `ttft`: until the first content."""

    p50: float | None
    p99: float | None
    ttft_p50: float | None
    ttft_p99: float | None


def latency(since: datetime) -> Latency:
    """Of the requests that reached an upstream since then. One query."""
    counts: dict[str, Counter[int]] = {LatencyHour.DURATION: Counter(), LatencyHour.TTFT: Counter()}
    rows = LatencyHour.objects.filter(hour__gte=hour_of(since)).order_by()
    for metric, bucket, number in rows.values_list("metric", "bucket").annotate(counted=Sum("count")):
        counts[metric][bucket] += number
    duration, ttft = counts[LatencyHour.DURATION], counts[LatencyHour.TTFT]
    return Latency(
        percentile(duration, 0.5), percentile(duration, 0.99), percentile(ttft, 0.5), percentile(ttft, 0.99)
    )


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of a list of who spent most. `share`: 0..100 of the longest line."""

    name: str
    sums: Sums
    share: float


def ranked(groups: Iterable[Sums], position: int, limit: int = 6) -> list[Ranked]:
    """Who cost most, then who asked most, by the value at `position` of each group.

    By cost as long as anything has one, else by requests.
    """
    merged: dict[str, Sums] = {}
    for sums in groups:
        merged.setdefault(sums.group[position], Sums((sums.group[position],))).add(sums)
    order = sorted(merged.values(), key=lambda sums: (-sums.spent, -sums.requests, sums.group))
    return _beside_each_other([sums for sums in order if sums.requests][:limit])


def _beside_each_other(order: list[Sums]) -> list[Ranked]:
    """Each with its length beside the longest."""
    most_spent = max((float(sums.spent) for sums in order), default=0.0)
    most_asked = max((sums.requests for sums in order), default=1)
    shares = [float(s.spent) / most_spent if most_spent else s.requests / most_asked for s in order]
    return [Ranked(s.group[0], s, round(100 * share, 1)) for s, share in zip(order, shares, strict=True)]


def top_sessions(since: datetime, limit: int = 6) -> list[Ranked]:
    """The sessions that were active since then and cost most, over their whole life. One query."""
    dearest = SessionRow.objects.filter(last_at__gte=since).order_by("-cost", "-id").values("id")[:limit]
    rows = SessionRow.objects.filter(id__in=dearest).order_by("-cost", "-id")
    return _beside_each_other([session_sums(row) for row in rows])


def last_failures(now: datetime, limit: int = 8, outcomes: Sequence[str] = FAILED) -> list[RequestRecord]:
    """The newest failures of the last seven days. One query, which reads the newest of each outcome by its index."""
    recent = RequestRecord.objects.filter(started_at__gte=now - timedelta(days=7)).order_by("-started_at")
    newest = [Q(pk__in=recent.filter(outcome=word).values("pk")[:limit]) for word in outcomes]
    return list(RequestRecord.objects.filter(reduce(or_, newest))[:limit])
