from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from analytics.bodies.store import KeptBody, write_body
from analytics.models import Body, Facet, RequestRecord
from analytics.paging import cursor_of, drivers, position_of
from analytics.queries import BadFilter, HistoryFilter, Page
from tests.analytics.history import add_record

pytestmark = pytest.mark.django_db(databases=["default", "history"])
START = datetime(2026, 5, 4, 12, tzinfo=UTC)


def walk(wanted: HistoryFilter, limit: int, scan: int) -> list[str]:
    """All pages, one behind the other."""
    found: list[str] = []
    before = ""
    for _ in range(1000):
        page = wanted.page(before, limit, scan=scan)
        assert len(page.rows) <= limit
        found += [row.id for row in page.rows]
        if not page.next:
            return found
        before = page.next
    raise AssertionError("the pages have no end")


def fill(chooser: random.Random, count: int = 120) -> None:
    """Rows of which many began at the same moment."""
    rows = [
        RequestRecord(
            id=f"req_{chooser.getrandbits(96):024x}",
            started_at=START + timedelta(seconds=chooser.randrange(40)),
            duration_ms=chooser.randrange(3000),
            kind=chooser.choice(["messages", "chat"]),
            status=chooser.choice([200, 429, 502, None]),
            outcome=chooser.choice(["ok", "ok", "error"]),
            protocol="openai",
            lane=chooser.choice(["direct", "translated"]),
            stream=chooser.random() < 0.5,
            model_asked=chooser.choice(["fast", "gpt-5", "opus"]),
            model_used=chooser.choice(["gpt-5", "opus", ""]),
            backend=chooser.choice(["a", "b"]),
            account=chooser.choice(["x", "y"]),
            key=chooser.choice(["", "k"]),
            session=chooser.choice(["", "s", "t"]),
            agent=chooser.choice([None, "", "sub"]),
            client=chooser.choice(["tool/1", "other"]),
            alarm=chooser.choice([None, "", "zero_usage"]),
            error=chooser.choice(["", "overloaded", "100% wrong"]),
        )
        for _ in range(count)
    ]
    RequestRecord.objects.bulk_create(rows)


FILTERS: list[dict[str, Any]] = [
    {},
    {"outcome": "error"},
    {"model": "opus"},
    {"model": "opus", "account": "x", "status": "4xx"},
    {"backend": "a", "stream": True},
    {"stream": False, "session": "s"},
    {"agent": "sub"},
    {"client": "TOOL"},
    {"kind": "chat", "lane": "direct"},
    {"alarm": "any"},
    {"alarm": "zero_usage", "key": "k"},
    {"min_duration_ms": 1500.0},
    {"text": "overloaded"},
    {"text": "100%", "model": "gpt-5"},
    {"status": "200", "since": START + timedelta(seconds=10), "until": START + timedelta(seconds=20)},
    {"model": "nothing"},
]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_the_pages_together_are_the_rows(wanted: dict[str, Any]) -> None:
    chooser = random.Random(str(wanted))
    fill(chooser)
    found = HistoryFilter(**wanted)
    rows = [row.id for row in found.rows()]
    assert rows or wanted.get("model") == "nothing"
    for limit, scan in ((1, 20_000), (7, 20_000), (200, 20_000), (7, 10), (3, 64)):
        assert walk(found, limit, scan) == rows


def test_names_are_found_in_the_case_that_was_recorded() -> None:
    row = add_record(model_asked="Fast", model_used="GPT-5", backend="OpenAI")
    for column in ("model_asked", "model_used", "backend"):
        Facet.objects.create(column=column, value=getattr(row, column), last_seen=row.started_at)
    for wanted in (
        {"model": "gpt-5"},
        {"model": "fast"},
        {"backend": "openai"},
        {"model": "FAST", "backend": "openAI"},
    ):
        assert [found.id for found in HistoryFilter(**wanted).page().rows] == [row.id]
    assert HistoryFilter(model="gpt").page() == Page([])


def test_words_of_bodies_are_found_beside_errors() -> None:
    kept, failed, _ = (
        add_record(age_s=30),
        add_record(age_s=20, error="the turbine stopped"),
        add_record(age_s=10),
    )
    content = b'{"messages": [{"content": "describe the turbine and its blades"}]}'
    write_body(KeptBody(kept.id, Body.REQUEST, [content], len(content)))
    assert [row.id for row in HistoryFilter(text="turbine").page().rows] == [failed.id, kept.id]
    assert [row.id for row in HistoryFilter(text="turbine").rows()] == [failed.id, kept.id]
    assert [row.id for row in HistoryFilter(text="blades", outcome="ok").page().rows] == [kept.id]


def test_a_whole_id_is_found_however_far_back() -> None:
    old = add_record(id=f"req_{7:024x}", age_s=5000)
    for age in range(20):
        add_record(age_s=age)
    assert [row.id for row in HistoryFilter(text=old.id).page(scan=5).rows] == [old.id]


def test_a_page_says_how_far_it_searched() -> None:
    rows = [add_record(age_s=age, agent="sub" if age == 90 else None) for age in range(0, 100, 10)]
    page = HistoryFilter(agent="sub").page(scan=5)
    assert page.rows == []
    assert page.searched_to == rows[5].started_at
    assert [row.id for row in HistoryFilter(agent="sub").page(page.next).rows] == [rows[9].id]


def walks_an_index(query: str) -> bool:
    """By the plan. PostgreSQL reads so small a table whole, unless it is told not to where it can."""
    with connections["history"].cursor() as cursor:
        if connections["history"].vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {query}")
            return all("USING" in row[3] or "TEMP B-TREE" in row[3] for row in cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {query}")
        plan = cursor.fetchall()
        assert any("Index" in line for (line,) in plan), plan
        return not any("Seq Scan" in line for (line,) in plan)


def test_a_page_costs_few_queries_and_walks_an_index() -> None:
    fill(random.Random(1))
    assert drivers()[0] == "session"
    with CaptureQueriesContext(connections["history"]) as told:
        HistoryFilter(model="opus", status="4xx", account="x").page()
    assert len(told) <= 10
    for query in told.captured_queries:
        assert walks_an_index(query["sql"])


def test_cursors_go_there_and_back() -> None:
    position = (datetime(2026, 1, 2, 3, 4, 5, 67, tzinfo=UTC), "req_1")
    assert position_of(cursor_of(position)) == position
    for text in ("x", "2026-13-01~a", "~"):
        with pytest.raises(BadFilter):
            position_of(text)
