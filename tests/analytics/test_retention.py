from __future__ import annotations

import shutil
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from analytics.bodies.store import KeptBody, read_body, write_body
from analytics.history_file import give_back_pages
from analytics.models import (
    Attempt,
    Body,
    BodyPiece,
    Facet,
    LatencyHour,
    RequestRecord,
    SessionRow,
    UsageDay,
    UsageHour,
    WindowSample,
)
from analytics.retention import BATCH_ROWS, Limits, Pruned, due, over_size, prune
from tests.analytics.history import add_record
from tests.patchbay import Patchbay, migrated_databases

pytestmark = pytest.mark.django_db(databases=["default", "history"])
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WIDE = Limits(90, 10**12, 10**12)


def record_at(moment: datetime, **fields: object) -> RequestRecord:
    row = add_record(**fields)
    RequestRecord.objects.filter(pk=row.pk).update(started_at=moment)
    Attempt.objects.create(
        request_id=row.id,
        number=1,
        started_at=moment,
        duration_ms=1,
        backend="b",
        account="a",
        model="m",
        outcome="ok",
    )
    return row


def body_at(moment: datetime, id_: str) -> None:
    content = f"body of {id_}".encode()
    write_body(KeptBody(id_, Body.REQUEST, [content], len(content), at=moment))


def fill() -> None:
    """One of everything that is 100 days old, 500 days old, and new."""
    for age in (100, 500, 0):
        moment = NOW - age * DAY
        row = record_at(moment)
        body_at(moment, row.id)
        place = {"backend": "b", "account": "a", "key": "k", "model": f"m{age}"}
        UsageHour.objects.create(hour=moment, **place)
        LatencyHour.objects.create(hour=moment, metric="duration", bucket=age)
        UsageDay.objects.create(day=moment.date(), **place)
        WindowSample.objects.create(at=moment, backend="b", account="a", window="5h", used=0.5)
        SessionRow.objects.create(id=f"s{age}", first_at=moment, last_at=moment)
        Facet.objects.create(column="backend", value=f"b{age}", last_seen=moment)


def test_what_is_old_goes_and_daily_sums_stay() -> None:
    fill()
    expected = Pruned(records=2, bodies=2, samples=2, hours=2, sessions=2, facets=2)
    assert due(WIDE, NOW) == expected
    assert prune(WIDE, NOW) == expected
    kept = [RequestRecord, Attempt, Body, BodyPiece, WindowSample, SessionRow, Facet]
    assert [model.objects.count() for model in kept] == [1] * len(kept)
    assert [model.objects.count() for model in (UsageHour, LatencyHour, UsageDay)] == [2, 2, 3]
    assert due(WIDE, NOW) == prune(WIDE, NOW) == Pruned()


def test_what_is_said_of_it() -> None:
    assert list(Pruned(records=1, bodies=2, facets=1200).lines()) == [
        "1 record",
        "2 bodies",
        "1,200 filter values",
    ]


def test_records_over_the_size_go_oldest_first_and_take_their_bodies_along() -> None:
    rows = [
        record_at(NOW - timedelta(minutes=BATCH_ROWS + 50 - n), error="e" * 1500)
        for n in range(BATCH_ROWS + 50)
    ]
    body_at(NOW - timedelta(minutes=BATCH_ROWS), rows[50].id)
    body_at(NOW, rows[-1].id)
    taken = over_size(Limits(90, 0, 10**12))
    limits = Limits(90, taken - 2**20, 10**12)
    assert over_size(limits) > 0
    assert prune(limits, NOW) == Pruned(records=BATCH_ROWS, bodies=1)
    assert over_size(limits) == 0
    assert RequestRecord.objects.order_by("started_at")[0].id == rows[BATCH_ROWS].id
    assert read_body(rows[-1].id, Body.REQUEST) is not None


def test_bodies_over_their_budget_go() -> None:
    for number in range(20):
        row = record_at(NOW - timedelta(hours=20 - number))
        content = bytes(range(256)) * 4 + b"%d" % number
        write_body(
            KeptBody(row.id, Body.RESPONSE, [content], len(content), at=NOW - timedelta(hours=20 - number))
        )
    gone = prune(Limits(90, 10**12, 3000), NOW)
    assert 0 < gone.bodies < 20
    assert (gone.records, Body.objects.count()) == (0, 20 - gone.bodies)


def test_it_stops_between_batches_when_asked() -> None:
    RequestRecord.objects.bulk_create(
        [RequestRecord(id=f"r{n}", started_at=NOW - 100 * DAY, duration_ms=1) for n in range(BATCH_ROWS + 1)]
    )
    stopping = threading.Event()
    stopping.set()
    assert prune(WIDE, NOW, stopping.is_set).records == BATCH_ROWS
    assert RequestRecord.objects.count() == 1


def run(*words: str) -> str:
    out = StringIO()
    call_command("prune", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_shows_first_and_does_with_yes() -> None:
    row = add_record(age_s=3 * 86_400)
    add_record()
    body_at(timezone.now(), row.id)
    assert "Nothing is over the limits" in run()
    assert "Would go: 1 record." in run("--days", "2")
    assert "1 body" in run("--bodies")
    assert RequestRecord.objects.count() == 2
    assert "Gone: 1 record, 1 body." in run("--days", "2", "--bodies", "--yes")
    assert (RequestRecord.objects.count(), Body.objects.count()) == (1, 0)
    assert "Nothing was over the limits." in run("--yes")
    with pytest.raises(CommandError) as failure:
        run("--days", "-1")
    assert failure.value.returncode == 2


def test_limits_are_the_operators(settings: settings) -> None:
    settings.PATCHBAY_HISTORY_DAYS, settings.PATCHBAY_HISTORY_MB, settings.PATCHBAY_BODY_BUDGET_MB = 7, 16, 3
    assert Limits.from_settings() == Limits(7, 16 * 2**20, 3 * 2**20)
    assert Limits.from_settings(days=1, bodies=False) == Limits(1, 16 * 2**20, 0)


@pytest.mark.sqlite("a file that gives its free pages back")
def test_a_file_that_was_rewritten_shrinks_by_itself(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    file = patchbay.home / "history.sqlite3"
    patchbay.home.mkdir(mode=0o700)
    for source in migrated_databases():
        shutil.copy(source, patchbay.home)
    with sqlite3.connect(file) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(analytics_requestrecord)") if row[3]]
        values = {"started_at": "2020-01-01 00:00:00", "error": "x" * 7000}
        rows = [[values.get(name, f"r{n}" if name == "id" else "") for name in columns] for n in range(2500)]
        marks = ", ".join("?" * len(columns))
        database.executemany(
            f"INSERT INTO analytics_requestrecord ({', '.join(columns)}) VALUES ({marks})", rows
        )
    assert "are in use" in patchbay.manage("prune", "--days", "36500", "--vacuum", "--yes").stdout
    before = file.stat().st_size
    assert "Gone: 2,500 records" in patchbay.manage("prune", "--yes").stdout
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert file.stat().st_size < before * 0.7


def test_a_file_that_cannot_shrink_stays() -> None:
    assert give_back_pages(lambda: False) == 0
