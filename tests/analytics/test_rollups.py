"""The sums beside the records: added once, agreeing with them, and made anew from them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections

from analytics.drafts import Outcome
from analytics.models import Facet, LatencyHour, RequestRecord, SessionRow, UsageDay, UsageHour
from analytics.recorder import Recorder
from analytics.rollup_store import rebuild
from backends.wire.usage import Usage
from tests.analytics.history import add_record
from tests.analytics.ledgers import AT, draft, kept_sums, session_sums, slow_sums

pytestmark = pytest.mark.django_db(databases=["default", "history"], transaction=True)
MIXED = (
    {"outcome": Outcome.OK},
    {"outcome": Outcome.OK, "usage": None},
    {"outcome": Outcome.CANCELLED, "usage_is_final": False},
    {"outcome": Outcome.TRUNCATED, "provider": "", "model_used": "llama3"},
    {"outcome": Outcome.ERROR, "usage": None, "session": ""},
    {"outcome": Outcome.REJECTED, "model_used": "", "model_asked": "<script>", "backend": "", "account": ""},
    {"outcome": Outcome.SHUTDOWN, "ttft_ms": None, "session": "s2"},
    {"outcome": Outcome.OK, "at": AT + timedelta(hours=1)},
    {"outcome": Outcome.OK, "at": AT + timedelta(days=1), "session": "s2", "model_used": "gpt-5"},
)


def write(*drafts: object) -> Recorder:
    recorder = Recorder()
    for each in drafts:
        recorder.record(each)  # type: ignore[arg-type]
    assert recorder.flush()
    return recorder


def write_mixed() -> None:
    write(*(draft(**fields) for fields in MIXED))  # type: ignore[arg-type]


def test_hours_and_days_agree_with_the_records() -> None:
    write_mixed()
    write_mixed()
    expected = slow_sums()
    assert expected["requests"] == 18
    assert (expected["priced"], expected["unpriced"], expected["rejected"]) == (10, 4, 2)
    assert kept_sums(UsageHour) == kept_sums(UsageDay) == expected
    assert sorted(UsageDay.objects.values_list("day", flat=True).distinct()) == [
        date(2026, 11, 20),
        date(2026, 11, 21),
    ]


def test_a_draft_that_is_written_again_does_not_count_again() -> None:
    made, other = draft(), draft()
    write(made)
    write(made, other, made)
    assert kept_sums() == slow_sums()
    assert kept_sums()["requests"] == 2
    assert session_sums()["s1"]["requests"] == 2


def test_what_a_client_writes_into_a_rejected_request_makes_no_sum_of_its_own() -> None:
    write(*(draft(Outcome.REJECTED, model_asked=f"m{number}", model_used="") for number in range(20)))
    assert [row.model for row in UsageHour.objects.all()] == [""]
    assert not Facet.objects.exists()
    assert not LatencyHour.objects.exists()


def test_a_session_is_what_its_requests_add_up_to() -> None:
    later = AT + timedelta(minutes=5)
    write(draft(at=later, model_used="gpt-5", session_source="header"))
    write(draft(at=AT, client="old/0"), draft(Outcome.REJECTED, at=later + timedelta(1), model_used=""))
    row = SessionRow.objects.get(pk="s1")
    assert (row.first_at, row.last_at) == (AT, later)
    assert (row.model, row.client, row.source, row.requests) == ("gpt-5", "test/1", "header", 2)
    assert (row.cache_write_tokens, row.output_tokens, row.priced) == (60, 400, 2)


def test_facets_know_every_value_and_when_it_was_seen_last() -> None:
    recorder = write(draft())
    for minutes in (30, 61):
        recorder.record(draft(at=AT + timedelta(minutes=minutes)))
        assert recorder.flush()
    found = {(row.column, row.value): row.last_seen for row in Facet.objects.all()}
    assert found[("model_asked", "fast")] == AT + timedelta(minutes=61)
    assert set(found) == {
        *(("backend", "openai"), ("account", "work"), ("key", "laptop"), ("model_asked", "fast")),
        *(("model_used", "gpt-4o"), ("client", "test/1")),
    }


def test_absurd_reports_of_usage_stay_storable() -> None:
    absurd = Usage(2**53, 0, 0, 0, 2**53, 0, b"{}")
    write(*(draft(usage=absurd) for _ in range(3)))
    assert RequestRecord.objects.count() == 3
    assert UsageDay.objects.get().output_tokens == 3 * 10**12


def test_a_rebuild_makes_the_same_again() -> None:
    write_mixed()
    hours, days, sessions = kept_sums(UsageHour), kept_sums(), session_sums()
    latencies = set(LatencyHour.objects.values_list("hour", "metric", "bucket", "count"))
    UsageHour.objects.update(requests=99, cost=Decimal(7))
    SessionRow.objects.all().delete()
    rebuild()
    assert (kept_sums(UsageHour), kept_sums(), session_sums()) == (hours, days, sessions)
    assert set(LatencyHour.objects.values_list("hour", "metric", "bucket", "count")) == latencies


def test_a_rebuild_from_a_day_on_leaves_the_days_before_it() -> None:
    write_mixed()
    UsageDay.objects.update(requests=99)
    rebuild(AT + timedelta(days=1))
    assert UsageDay.objects.filter(day=AT.date(), requests=99).exists()
    assert not UsageDay.objects.filter(day__gt=AT.date(), requests=99).exists()


def test_records_without_sums_are_added_when_the_writer_starts() -> None:
    now = datetime.now(UTC)
    for days in (0, 1, 40):
        add_record(age_s=days * 86400, fresh_input_tokens=5, output_tokens=1, session=f"s{days}")
    recorder = Recorder()
    recorder.start()
    recorder.record(draft(at=now, session="s0"))
    recorder.stop()
    first = kept_sums()["requests"]
    again = Recorder()  # whatever the first had no time for
    again.start()
    again.stop()
    assert kept_sums()["requests"] >= first
    finish = Recorder()
    finish.start()
    finish.stop()
    assert kept_sums() == kept_sums(UsageHour) == slow_sums()
    assert session_sums()["s0"]["requests"] == 2
    assert SessionRow.objects.count() == 3


def test_sums_and_records_are_written_together_or_not_at_all() -> None:
    with connections["history"].cursor() as cursor:
        cursor.execute("ALTER TABLE analytics_usageday RENAME TO elsewhere")
    try:
        recorder = Recorder()
        recorder.record(draft())
        assert recorder.flush() is False
        assert not RequestRecord.objects.exists()
    finally:
        with connections["history"].cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO analytics_usageday")
    assert recorder.flush() is True
    assert kept_sums()["requests"] == 1


def test_several_writers_and_a_rebuild_at_once_count_each_record_once() -> None:
    def write_many() -> None:
        try:
            recorder = Recorder()
            for number in range(60):
                recorder.record(draft(session=f"s{number % 3}", key=f"k{number % 4}"))
                while recorder.waiting:
                    recorder.flush()
        finally:
            connections.close_all()

    def rebuild_often() -> None:
        try:
            for _ in range(4):
                rebuild()
        finally:
            connections.close_all()

    write(draft())
    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(work) for work in (write_many, rebuild_often, write_many)]:
            done.result()
    assert kept_sums() == kept_sums(UsageHour) == slow_sums()
    assert kept_sums()["requests"] == 121
    assert sum(one["requests"] for one in session_sums().values()) == 121
