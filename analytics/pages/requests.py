"""The pages of the history: all requests, searched and filtered, and one request with all that is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from analytics.bodies.store import StoredBody, read_body
from analytics.drafts import Outcome
from analytics.models import Body, RequestRecord
from analytics.pages.body_view import Part, answer_parts, request_json, shown
from analytics.pages.facet_choices import choices
from analytics.pages.frame import is_partial, show, staff_page
from analytics.pages.phases import phases
from analytics.pages.snippets import Snippet, skeleton, snippets
from analytics.queries import BadFilter, HistoryFilter, Page, attempts_of, find_record
from backends.own_url import own_url
from backends.wire.kinds import Kind

ROWS = 50
SINCE = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
TEXTS = (
    *("text", "model", "backend", "account", "key", "outcome", "status", "kind", "lane", "session", "agent"),
    *("client", "alarm"),
)
MORE = frozenset(
    {"status", "kind", "lane", "session", "agent", "client", "alarm", "stream", "min_ms", "since", "until"}
)


@staff_page
def requests_page(request: HttpRequest) -> HttpResponseBase:
    """The newest requests that match, fifty a page. A script gets the rows alone."""
    asked = {name: text for name, value in request.GET.items() if (text := str(value).strip())}
    page, problem = Page([]), ""
    try:
        page = read_filter(asked).page(asked.get("before", ""), ROWS)
    except BadFilter as error:
        problem = str(error)
    context = {"rows": page.rows, "found": page, "problem": problem, "asked": asked}
    context |= {"next": _query(asked | {"before": page.next}) if page.next else ""}
    context |= {"newest": _query({n: v for n, v in asked.items() if n != "before"}) or "?"}
    if is_partial(request):
        part = render(request, "dashboard/requests_rows.html", context)
        part.headers["HX-Push-Url"] = request.path + _query(asked)  # without the fields that are empty
        return part
    context |= {"choices": choices(), "outcomes": list(Outcome), "kinds": list(Kind), "spans": list(SINCE)}
    context |= {"is_open": any(name in MORE for name in asked)}
    return show(request, "dashboard/requests.html", "requests", context)


def read_filter(asked: Mapping[str, str]) -> HistoryFilter:
    """The filter that a query names; what it does not know is left out. Raises BadFilter."""
    texts = {name: asked[name] for name in TEXTS if name in asked}
    span = SINCE.get(asked.get("span", ""))
    return HistoryFilter(
        **texts,
        since=timezone.now() - span if span else _moment(asked.get("since", "")),
        until=_moment(asked.get("until", "")),
        stream={"yes": True, "no": False}.get(asked.get("stream", "")),
        min_duration_ms=_milliseconds(asked.get("min_ms", "")),
    )


def _moment(text: str) -> datetime | None:
    """A moment as a browser's field gives it, in the operator's time zone."""
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise BadFilter(f"{text!r} is no date and time. Write 2026-01-31T12:00.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _milliseconds(text: str) -> float | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadFilter(f"{text!r} is no number of milliseconds. Write 1500.")
    return float(text)


def _query(asked: Mapping[str, str]) -> str:
    return f"?{urlencode(asked)}" if asked else ""


# --- one request -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BodyView:
    """A kept body as the page shows it."""

    text: str
    body: StoredBody
    parts: list[Part]


@staff_page
def request_page(request: HttpRequest, id: str) -> HttpResponseBase:
    """Everything that is kept of one request."""
    row = find_record(id)
    if row is None:
        response = show(request, "dashboard/request_none.html", "requests", {"id": id})
        response.status_code = 404
        return response
    attempts = attempts_of(row)
    sent, answer = read_body(row.id, Body.REQUEST), read_body(row.id, Body.RESPONSE)
    context = {
        "row": row,
        "attempts": attempts,
        "bars": phases(row, attempts),
        "choices": _choices(row),
        "changes": [part for part in row.mutations.split(", ") if part],
        "lost": [part for part in row.lost.split(", ") if part],
        "usage": _indented(row.raw_usage),
        "sent": _body_view(row, sent, is_answer=False),
        "answer": _body_view(row, answer, is_answer=True),
        "snippets": _snippets(row, sent),
        "can_replay": sent is not None and not sent.is_cut and row.kind in REPLAYED,
    }
    return show(request, "dashboard/request.html", "requests", context)


REPLAYED = (Kind.MESSAGES.value, Kind.CHAT.value, Kind.RESPONSES.value)


def _choices(row: RequestRecord) -> list[tuple[Any, Any]]:
    """Each choice of an account with the one that would have been taken, had it been able to serve."""
    note = row.decision_note
    return list(zip(note.choices, note.passed_over(), strict=True)) if note else []


def _kind(row: RequestRecord) -> Kind | None:
    return Kind(row.kind) if row.kind in {kind.value for kind in Kind} else None


def _body_view(row: RequestRecord, body: StoredBody | None, *, is_answer: bool) -> BodyView | None:
    if body is None:
        return None
    kind, is_stream = _kind(row), "event-stream" in body.content_type
    parts = answer_parts(kind, body.content, is_stream=is_stream) if is_answer and kind else []
    return BodyView(shown(body.content), body, parts)


def _snippets(row: RequestRecord, sent: StoredBody | None) -> list[Snippet]:
    """From the kept body; from the least that such a request says, where it was not kept whole."""
    kind = _kind(row)
    if kind is None:
        return []
    body = request_json(sent.content) if sent is not None and not sent.is_cut else None
    return snippets(kind, own_url(), body or skeleton(kind, row.model_asked, stream=row.stream))


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text
