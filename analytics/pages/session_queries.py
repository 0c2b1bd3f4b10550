"""What the pages read of sessions: a page of the list, and one with its turns. Few queries, all by an index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q, QuerySet

from analytics.models import Facet, RequestRecord, SessionRow
from analytics.usage_sums import Sums, session_sums

PAGE = 50
MOST_TURNS = 400


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list."""

    row: SessionRow
    sums: Sums

    @property
    def lasted_ms(self) -> float:
        """From its first request to its last."""
        return (self.row.last_at - self.row.first_at).total_seconds() * 1000


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions, the one that was active last first. `next`: the place behind the last, "" when there is no more."""

    rows: list[Listed]
    next: str = ""


def sessions_page_of(text: str = "", key: str = "", before: str = "") -> SessionPage:
    """A page of sessions behind the place `before`, of a client key, with ids that begin with `text`. One query."""
    rows = SessionRow.objects.order_by("-last_at", "-id")
    if text:
        rows = rows.filter(id__gte=text, id__lt=f"{text}\U0010ffff")
    if key:
        rows = rows.filter(key=key)
    found = list(_behind(rows, before)[: PAGE + 1])
    listed = [Listed(row, session_sums(row)) for row in found[:PAGE]]
    return SessionPage(listed, _place(found[PAGE - 1]) if len(found) > PAGE else "")


def _place(row: SessionRow) -> str:
    return f"{row.last_at.astimezone(UTC).isoformat()}~{row.id}"


def _behind(rows: QuerySet[SessionRow], before: str) -> QuerySet[SessionRow]:
    """All of them for a place that is none: it came from the address bar."""
    text, _, id_ = before.partition("~")
    at = _moment(text)
    if at is None:
        return rows
    return rows.filter(Q(last_at__lte=at) & (Q(last_at__lt=at) | Q(id__lt=id_)))


def _moment(text: str) -> datetime | None:
    """A moment from the address bar; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def known_keys() -> list[str]:
    """Client keys that the history knows. One query."""
    return list(Facet.objects.filter(column="key").order_by("value").values_list("value", flat=True)[:200])


def turns_of(session: str, before: str = "") -> tuple[list[RequestRecord], str]:
    """The newest turns of a session, in order of time, and the place before which there are more ("" for none).

    At most MOST_TURNS. Without what a page does not show, which may be long. One query.
    """
    rows = RequestRecord.objects.filter(session=session).order_by("-started_at", "-id")
    if (moment := _moment(before)) is not None:
        rows = rows.filter(started_at__lt=moment)
    found = list(rows.defer("raw_usage", "decision", "mutations", "lost")[: MOST_TURNS + 1])
    older = found[MOST_TURNS - 1].started_at.astimezone(UTC).isoformat() if len(found) > MOST_TURNS else ""
    return found[:MOST_TURNS][::-1], older
