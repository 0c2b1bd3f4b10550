"""Selectors: what commands and pages read from the history. Nothing here writes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from analytics.bodies.search import search_bodies
from analytics.drafts import Outcome
from analytics.models import Attempt, Facet, RequestRecord
from analytics.paging import SCAN_ROWS, BadFilter, Branch, Condition, Page, branch, passive, read_page

__all__ = [
    "BadFilter",
    "Follower",
    "HistoryFilter",
    "Page",
    "Today",
    "attempts_of",
    "find_record",
    "newest_record",
    "status_range",
    "today",
]

FAILED = [Outcome.ERROR.value, Outcome.TRUNCATED.value, Outcome.SHUTDOWN.value]
REJECTED = Outcome.REJECTED.value
MAX_SPELLINGS = 4  # each is a query of its own
MAX_FOUND = 500
_REQUEST_ID = re.compile(r"req_[0-9a-f]{24}")


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What to look for; empty means anything.

    `status` is a code (`429`) or a class (`5xx`); `client` a part of the user agent; `alarm` a name, or `any`;
    `text` a request's id, a part of an error, or words of a kept body (of the newest that have them); `since` is
    included, `until` is not.
    """

    outcome: str = ""
    model: str = ""
    backend: str = ""
    account: str = ""
    key: str = ""
    session: str = ""
    status: str = ""
    since: datetime | None = None
    until: datetime | None = None
    agent: str = ""
    client: str = ""
    kind: str = ""
    lane: str = ""
    alarm: str = ""
    stream: bool | None = None
    min_duration_ms: float | None = None
    text: str = ""

    def rows(self) -> QuerySet[RequestRecord]:
        """The matching rows, newest first. For a page of them `page()` is quicker. Raises BadFilter."""
        rows = RequestRecord.objects.filter(*self._loose(), **self._exact(), **self._times())
        if self.backend:
            rows = rows.filter(backend__iexact=self.backend)
        if self.model:
            rows = rows.filter(Q(model_asked__iexact=self.model) | Q(model_used__iexact=self.model))
        return rows.filter(self._found() | Q(error__icontains=self.text)) if self.text else rows

    def newest(self, limit: int) -> list[RequestRecord]:
        """The `limit` newest matching rows, the newest last."""
        return list(reversed(self.rows()[:limit]))

    def page(self, before: str = "", limit: int = 50, *, scan: int = SCAN_ROWS) -> Page:
        """The newest `limit` matching rows behind the cursor `before` (the `next` of the page before it).

        Names of models and backends in any case of letters that the facets know. Raises BadFilter.
        """
        rest, exacts = self._loose(), [self._exact()]
        for columns, name in ((("backend",), self.backend), (("model_used", "model_asked"), self.model)):
            if name:
                exacts = [exact | named for exact in exacts for named in _spellings(columns, name)]
        branches = [branch(exact, [*rest, *self._error()]) for exact in exacts]
        if self.text:
            found = self._found()
            named = [Branch(found, branch(exact, rest).conditions, narrow=True) for exact in exacts]
            branches = named if _REQUEST_ID.fullmatch(self.text) else [*branches, *named]
        return read_page(branches, Q(**self._times()), before, limit, scan)

    def _error(self) -> list[Condition]:
        return [Q(error__icontains=self.text)] if self.text else []

    def _found(self) -> Q:
        """The rows that the text names, or whose bodies brought it."""
        return Q(pk__in=[self.text, *search_bodies(self.text, MAX_FOUND)])

    def _exact(self) -> dict[str, str]:
        names = ("session", "agent", "account", "key", "outcome", "kind", "lane")
        exact = {name: getattr(self, name) for name in names if getattr(self, name)}
        return exact if self.alarm in ("", "any") else exact | {"alarm": self.alarm}

    def _loose(self) -> list[Condition]:
        """Conditions that no index serves."""
        found: list[Condition] = [Q(alarm__gt="")] if self.alarm == "any" else []
        if self.status:
            low, high = status_range(self.status)
            found.append(Q(status__gte=low, status__lte=high))
        if self.client:
            found.append(Q(client__icontains=self.client))
        if self.stream is not None:
            found.append(passive("stream", self.stream))
        if self.min_duration_ms is not None:
            found.append(Q(duration_ms__gte=self.min_duration_ms))
        return found

    def _times(self) -> dict[str, datetime]:
        times = {"started_at__gte": self.since, "started_at__lt": self.until}
        return {name: moment for name, moment in times.items() if moment is not None}


def _spellings(columns: Sequence[str], name: str) -> list[dict[str, str]]:
    """The columns with the name as it was recorded there: as it is given, or as the facets spell it."""
    known = Facet.objects.filter(column__in=columns, value__iexact=name).values_list("column", "value")
    pairs = {(column, name) for column in columns} | set(known[:MAX_SPELLINGS])
    return [{column: value} for column, value in sorted(pairs)]


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
