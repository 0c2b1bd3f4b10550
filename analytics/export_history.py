"""The history for other programs: JSONL, CSV and HAR 1.2. Rows are read page by page, so any number of them fits.

CSV cells that a spreadsheet would take for a formula get an apostrophe in front (as OWASP describes CSV injection),
and what would steer a terminal is written out.
HAR: http://www.softwareishard.com/blog/har-12-spec/ - what a proxy does not know is left at the values for "unknown".
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from analytics.bodies.store import StoredBody, read_body
from analytics.models import Body, RequestRecord
from analytics.queries import HistoryFilter
from analytics.rows import iso, record_json
from backends.private_files import whole_file
from backends.wire.controls import visible

PAGE_ROWS = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_PASSED_OVER = "\ufeff \xa0"  # before a formula, by some spreadsheets


def matching(wanted: HistoryFilter, limit: int | None = None) -> Iterator[RequestRecord]:
    """All matching records, newest first, at most `limit`. Raises BadFilter."""
    return islice(_all(wanted), limit)


def _all(wanted: HistoryFilter) -> Iterator[RequestRecord]:
    before = ""
    while True:
        page = wanted.page(before, PAGE_ROWS)
        yield from page.rows
        if not page.next:
            return
        before = page.next


def jsonl(rows: Iterable[RequestRecord]) -> Iterator[str]:
    """A JSON object a line: the fields of `history --json`."""
    for row in rows:
        yield json.dumps(record_json(row)) + "\n"


def csv_lines(rows: Iterable[RequestRecord]) -> Iterator[str]:
    """A header and a line for each record, as RFC 4180 has it; text is quoted, numbers are not."""
    blank = RequestRecord(started_at=timezone.now(), duration_ms=0)
    yield _csv_line(list(record_json(blank)))
    for row in rows:
        yield _csv_line([cell(value) for value in record_json(row).values()])


def _csv_line(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_NONNUMERIC).writerow(cells)
    return line.getvalue()


def cell(value: object) -> str | int | float:
    """What stands in a cell: nothing for null, and never a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    text = visible(value) if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text.lstrip(_PASSED_OVER).startswith(_FORMULA) else text


def har(rows: Iterable[RequestRecord]) -> Iterator[str]:
    """An HTTP archive, with the bodies that were kept."""
    creator = {"name": "Patchbay", "version": settings.VERSION}
    yield f'{{"log": {{"version": "1.2", "creator": {json.dumps(creator)}, "entries": ['
    between = "\n"
    for row in rows:
        yield between + json.dumps(_entry(row))
        between = ",\n"
    yield "\n]}}\n"


def _entry(row: RequestRecord) -> dict[str, object]:
    return {
        "startedDateTime": iso(row.started_at),
        "time": round(row.duration_ms, 3),
        "request": _request(row, read_body(row.id, Body.REQUEST)),
        "response": _response(row, read_body(row.id, Body.RESPONSE)),
        "cache": {},
        "timings": timings(row),
        "comment": row.error,
        "_patchbay": record_json(row),
    }


def timings(row: RequestRecord) -> dict[str, float]:
    """The phases of a request in milliseconds; together they are its duration. -1: it never came to that.

    `blocked` is the queue and the choice of an account, `receive` what followed the first byte from upstream.
    """
    left = row.duration_ms
    blocked = left if row.connect_ms is None else min(left, (row.queued_ms or 0) + (row.lease_ms or 0))
    left -= blocked
    connect = min(left, row.connect_ms or 0)
    left -= connect
    first = left if row.ttfb_ms is None else max(0.0, row.ttfb_ms - blocked - connect)
    wait = min(left, first)
    phases = {"blocked": blocked, "dns": -1, "connect": connect if row.connect_ms is not None else -1}
    phases |= {"ssl": -1, "send": 0, "wait": wait, "receive": left - wait}
    return {name: round(value, 3) for name, value in phases.items()}


def _request(row: RequestRecord, body: StoredBody | None) -> dict[str, object]:
    host = f"{settings.PATCHBAY_HOST}:{settings.PATCHBAY_PORT}"
    told: dict[str, object] = {
        "method": row.method or "POST",
        "url": f"http://{host}{row.path}",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers({"user-agent": row.client}),
        "queryString": [],
        "headersSize": -1,
        "bodySize": -1 if row.request_bytes is None else row.request_bytes,
    }
    if body is not None:
        text, encoding = _text(body.content)
        posted = {"mimeType": body.content_type or "application/json", "text": text}
        told["postData"] = posted | _remark(body, encoding)
    return told


def _response(row: RequestRecord, body: StoredBody | None) -> dict[str, object]:
    size = row.response_bytes if body is None else body.size
    content: dict[str, object] = {"size": size or 0, "mimeType": body.content_type if body else ""}
    if body is not None:
        text, encoding = _text(body.content)
        content |= {"text": text, **({"encoding": encoding} if encoding else {}), **_remark(body, "")}
    return {
        "status": row.status or 0,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers({"content-type": str(content["mimeType"]), "x-patchbay-request-id": row.id}),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1 if size is None else size,
    }


def _headers(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items() if value]


def _text(content: bytes) -> tuple[str, str]:
    """As text, or as base64 where it is none."""
    try:
        return content.decode(), ""
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"


def _remark(body: StoredBody, encoding: str) -> dict[str, str]:
    words = [encoding, f"the first {len(body.content)} of {body.size} bytes" if body.is_cut else ""]
    return {"comment": ", ".join(filter(None, words))} if any(words) else {}


def write_whole(path: Path, parts: Iterable[str]) -> None:
    """Write the texts to a private file, whole or not at all. Raises OSError."""
    with whole_file(path) as file:
        file.writelines(part.encode() for part in parts)


FORMATS: dict[str, Callable[[Iterable[RequestRecord]], Iterator[str]]] = {
    "jsonl": jsonl,
    "csv": csv_lines,
    "har": har,
}
