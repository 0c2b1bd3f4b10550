from __future__ import annotations

import csv
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from analytics.bodies.store import KeptBody, write_body
from analytics.export_history import PAGE_ROWS, cell, csv_lines, har, jsonl, matching, timings
from analytics.models import Body, RequestRecord
from analytics.queries import HistoryFilter
from backends.wire.controls import visible
from tests.analytics.history import add_record

database = pytest.mark.django_db(databases=["default", "history"])
HOSTILE = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    " =1",
    "\ufeff@A1",
]
ms = st.none() | st.floats(0, 1e6)


def export(*words: str) -> str:
    out = io.StringIO()
    call_command("history", *words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


@given(st.text() | st.sampled_from(HOSTILE))
def test_no_cell_is_a_formula(text: str) -> None:
    shown = cell(text)
    assert isinstance(shown, str)
    assert not shown.lstrip("\ufeff \xa0").startswith(
        ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    )
    assert visible(text) in (shown, shown.removeprefix("'"))


def test_what_is_no_text_stays_what_it_is() -> None:
    assert [cell(value) for value in (None, True, -3, 0.5, ["a"])] == ["", "true", -3, 0.5, '["a"]']


@database
def test_csv_is_read_back_as_it_was_written() -> None:
    for text in HOSTILE:
        add_record(model_asked=text, error='a "quote", a comma\nand a line')
    text = "".join(csv_lines(matching(HistoryFilter())))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted(row["modelAsked"] for row in rows) == sorted(f"'{text}" for text in HOSTILE)
    assert {row["error"] for row in rows} == {'a "quote", a comma\nand a line'}
    assert rows[0]["durationMs"] == "12.3"


@database
def test_jsonl_is_that_of_history_json_newest_first() -> None:
    rows = [add_record(age_s=age) for age in range(3)]
    lines = [json.loads(line) for line in jsonl(matching(HistoryFilter()))]
    assert [line["id"] for line in lines] == [row.id for row in rows]
    assert lines[0] == json.loads(export("--json", "--limit", "1"))


@database
def test_every_row_is_exported_whatever_their_number() -> None:
    count = 2 * PAGE_ROWS + 7
    moment = add_record(age_s=5).started_at
    rows = [
        RequestRecord(id=f"r{n}", started_at=moment, duration_ms=1, outcome="ok") for n in range(count - 1)
    ]
    RequestRecord.objects.bulk_create(rows)
    assert len({row.id for row in matching(HistoryFilter())}) == count
    assert len(list(matching(HistoryFilter(outcome="ok"), 3))) == 3


@given(queued=ms, lease=ms, connect=ms, ttfb=ms, duration=st.floats(0, 1e6))
def test_the_phases_add_up(
    queued: float | None, lease: float | None, connect: float | None, ttfb: float | None, duration: float
) -> None:
    row = RequestRecord(
        duration_ms=duration, queued_ms=queued, lease_ms=lease, connect_ms=connect, ttfb_ms=ttfb
    )
    phases = timings(row)
    assert all(value == -1 or value >= 0 for value in phases.values())
    assert sum(value for value in phases.values() if value != -1) == pytest.approx(duration, abs=0.01)


def test_the_phases_of_a_plain_request() -> None:
    row = RequestRecord(duration_ms=100, queued_ms=10, lease_ms=2, connect_ms=8, ttfb_ms=60)
    told = {"blocked": 12, "dns": -1, "connect": 8, "ssl": -1, "send": 0, "wait": 40, "receive": 40}
    assert timings(row) == told


@database
def test_har_holds_the_bodies_that_were_kept() -> None:
    bare, kept = add_record(age_s=5), add_record(path="/v1/chat/completions", method="POST", request_bytes=17)
    write_body(KeptBody(kept.id, Body.REQUEST, [b'{"model": "fast"}'], 17, "application/json"))
    write_body(KeptBody(kept.id, Body.RESPONSE, [b"\xff\xfe"], 9, "audio/mpeg", True))
    log: dict[str, Any] = json.loads("".join(har(matching(HistoryFilter()))))["log"]
    assert (log["version"], log["creator"]["name"]) == ("1.2", "Patchbay")
    entry, other = log["entries"]
    assert entry["request"]["url"].endswith("/v1/chat/completions")
    assert entry["request"]["postData"] == {"mimeType": "application/json", "text": '{"model": "fast"}'}
    content = entry["response"]["content"]
    assert (content["text"], content["encoding"], content["size"]) == ("//4=", "base64", 9)
    assert content["comment"] == "the first 2 of 9 bytes"
    assert (other["_patchbay"]["id"], "postData" in other["request"]) == (bare.id, False)
    for name in ("startedDateTime", "time", "cache", "timings"):
        assert name in entry
    for name in (
        "status",
        "statusText",
        "httpVersion",
        "cookies",
        "headers",
        "redirectURL",
        "headersSize",
        "bodySize",
    ):
        assert name in entry["response"]


@database
def test_an_empty_history_is_a_whole_document() -> None:
    assert json.loads(export("--export", "har"))["log"]["entries"] == []
    assert len(export("--export", "csv").splitlines()) == 1
    assert export("--export", "jsonl") == ""


@database
def test_the_command_writes_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    row = add_record(agent="sub", client="tool/1", stream=True)
    add_record(age_s=3)
    file = tmp_path / "out.jsonl"
    said = export(
        "--export", "jsonl", "--agent", "sub", "--client", "TOOL", "--stream", "--output", str(file)
    )
    assert str(file) in said
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [row.id]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(CommandError, match="cannot be written"):
        export("--export", "csv", "--output", str(tmp_path / "no" / "such"))


@database
@pytest.mark.parametrize(
    "words",
    [
        ("--export", "csv", "--json"),
        ("--export", "har", "--follow"),
        ("--output", "x"),
        ("--export", "csv", "--status", "9"),
        ("--until", "tomorrow"),
    ],
)
def test_wrong_use_is_exit_2(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as failure:
        export(*words)
    assert failure.value.returncode == 2
