"""Selectors: what commands and pages read from the history. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from analytics.drafts import Outcome
from analytics.models import Attempt, RequestRecord

FAILED = [Outcome.ERROR.value, Outcome.TRUNCATED.value, Outcome.SHUTDOWN.value]
REJECTED = Outcome.REJECTED.value


class BadFilter(ValueError):
    """A filter value that cannot match anything. The text says what it takes."""


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What to look for; empty means anything. `status` is a code (`429`) or a class (`5xx`)."""

    outcome: str = ""
    model: str = ""
    backend: str = ""
    account: str = ""
    key: str = ""
    session: str = ""
    status: str = ""
    since: datetime | None = None

    def rows(self) -> QuerySet[RequestRecord]:
        """The matching rows, newest first. Raises BadFilter."""
        exact = {
            "outcome": self.outcome,
            "account": self.account,
            "key": self.key,
            "session": self.session,
        }
        rows = RequestRecord.objects.filter(**{name: value for name, value in exact.items() if value})
        if self.backend:
            rows = rows.filter(backend__iexact=self.backend)
        if self.model:
            rows = rows.filter(Q(model_asked__iexact=self.model) | Q(model_used__iexact=self.model))
        if self.status:
            low, high = status_range(self.status)
            rows = rows.filter(status__gte=low, status__lte=high)
        return rows.filter(started_at__gte=self.since) if self.since else rows

    def newest(self, limit: int) -> list[RequestRecord]:
        """The `limit` newest matching rows, the newest last."""
        return list(reversed(self.rows()[:limit]))


def find_record(id_: str) -> RequestRecord | None:
    """The record of one request, by its whole id."""
    return RequestRecord.objects.filter(pk=id_.strip()).first()


def newest_record() -> RequestRecord | None:
    """The record of the request that began last, of those that have ended."""
    return RequestRecord.objects.first()


def attempts_of(row: RequestRecord) -> list[Attempt]:
    """The attempts of one request, in order."""
    return list(Attempt.objects.filter(request_id=row.id).order_by("number"))


def status_range(text: str) -> tuple[int, int]:
    """`429` is (429, 429), `5xx` is (500, 599). Raises BadFilter."""
    text = text.strip().lower()
    if len(text) == 3 and text[0] in "12345" and text[1:] == "xx":
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    if len(text) == 3 and text.isascii() and text.isdigit():
        return int(text), int(text)
    raise BadFilter(f"{text!r} is not an HTTP status. Write 429 or 5xx.")


@dataclass
class Follower:
    """Finds rows as they are written.

    A row counts from when its request began, but is written when it ended: a long stream appears behind rows
    that are already shown. So each look covers the last minutes, and now and then the last hours, and remembers
    what it has seen.
    """

    filter: HistoryFilter
    near: timedelta = timedelta(minutes=3)
    far: timedelta = timedelta(hours=6)
    far_every: int = 20
    _seen: dict[str, datetime] = field(default_factory=dict)
    _looks: int = 0

    def begin(self, limit: int) -> list[RequestRecord]:
        """The newest rows now, the newest last; whatever else is there already will not be shown."""
        rows = self.filter.newest(limit)
        self._seen = dict(self._ids(self.far))
        self._seen.update((row.id, row.started_at) for row in rows)
        return rows

    def look(self) -> list[RequestRecord]:
        """Rows written since the last look, in order of their start."""
        self._looks += 1
        is_far = self._looks % self.far_every == 0
        found = [id_ for id_, _ in self._ids(self.far if is_far else self.near) if id_ not in self._seen]
        if is_far:
            self._forget()
        rows = list(self.filter.rows().filter(id__in=found[:500]).order_by("started_at", "id"))
        self._seen.update((row.id, row.started_at) for row in rows)
        return rows

    def _ids(self, span: timedelta) -> QuerySet[RequestRecord, tuple[str, datetime]]:
        since = timezone.now() - span
        return (
            self.filter.rows()
            .filter(started_at__gte=since)
            .order_by("started_at", "id")
            .values_list("id", "started_at")
        )

    def _forget(self) -> None:
        oldest = timezone.now() - self.far - self.near
        self._seen = {id_: started for id_, started in self._seen.items() if started >= oldest}


@dataclass(frozen=True, slots=True)
class Today:
    """The first page's numbers, from midnight (UTC) on. `rejected` requests never got as far as an upstream."""

    requests: int
    failures: int
    rejected: int
    last_failures: list[RequestRecord]

    @property
    def error_rate(self) -> float | None:
        """Share of failed requests, 0..1; None without requests."""
        return self.failures / self.requests if self.requests else None


def today(failures: int = 5) -> Today:
    """What happened today, and the last few failures of the last seven days."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    counts = RequestRecord.objects.filter(started_at__gte=midnight).aggregate(
        requests=Count("pk"),
        failures=Count("pk", filter=Q(outcome__in=FAILED)),
        rejected=Count("pk", filter=Q(outcome=REJECTED)),
    )
    recent = RequestRecord.objects.filter(
        outcome__in=[*FAILED, REJECTED], started_at__gte=midnight - timedelta(days=7)
    )
    return Today(counts["requests"], counts["failures"], counts["rejected"], list(recent[:failures]))
