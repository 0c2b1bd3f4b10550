"""The history's spool: what the database refused is in a private file, and in the database as soon as it may be."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from analytics.draft_rows import attempt_row, record_row
from analytics.drafts import AttemptDraft, Outcome, RecordDraft, new_request_id
from analytics.models import Attempt, RequestRecord, UsageDay
from analytics.recorder import Recorder
from analytics.spool import Spool, Stored
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage
from tests.analytics.locking import history_is_locked

pytestmark = pytest.mark.django_db(databases=["default", "history"], transaction=True)


def draft() -> RecordDraft:
    made = RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT, model_used="gpt-4o", provider="openai")
    attempt = AttemptDraft("openai", "one", "gpt-4o", status=200)
    attempt.end("ok", "go_on")
    made.attempts.append(attempt)
    made.usage = Usage(1000, 0, 0, 0, 200, 0, b"{}")
    made.end(Outcome.OK)
    return made


def rows_of(made: RecordDraft) -> Stored:
    return record_row(made), [attempt_row(made.id, 1, attempt) for attempt in made.attempts]


def until(is_so: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@contextmanager
def running(recorder: Recorder) -> Iterator[Recorder]:
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("history-*.jsonl"))


def test_what_comes_back_is_what_was_put_in(tmp_path: Path) -> None:
    made = rows_of(draft())
    spool, found = Spool(tmp_path), []
    assert spool.add([made])
    assert spool.waiting == 1
    assert spool.replay(lambda rows: found.extend(rows) or True)
    assert found == [made]
    assert (spool.waiting, files(tmp_path)) == (0, [])


def test_a_locked_database_fills_the_spool_and_loses_nothing(tmp_path: Path) -> None:
    made = [draft() for _ in range(300)]
    with running(Recorder(spool=Spool(tmp_path), queue_rows=100)) as recorder:
        with history_is_locked():
            for start in range(0, len(made), 100):
                for each in made[start : start + 100]:
                    recorder.record(each)
                until(lambda: not recorder._queue)
            assert recorder.waiting == 300
            (path,) = files(tmp_path)
            assert path.stat().st_mode & 0o777 == 0o600
            assert not recorder.is_stuck  # yet: a lock of a moment is no trouble
        until(lambda: recorder.waiting == 0)
        assert recorder.dropped == 0
    assert RequestRecord.objects.count() == Attempt.objects.count() == 300
    assert UsageDay.objects.get().requests == 300
    assert files(tmp_path) == []
    assert RequestRecord.objects.first().cost == Decimal("0.0045")  # type: ignore[union-attr]


def test_what_could_not_be_written_at_the_end_is_written_by_the_next_start(tmp_path: Path) -> None:
    made = draft()
    with history_is_locked(), running(Recorder(spool=Spool(tmp_path))) as recorder:
        recorder.record(made)
    assert not RequestRecord.objects.exists()
    with running(Recorder(spool=Spool(tmp_path))) as recorder:
        until(lambda: recorder.waiting == 0 and not files(tmp_path))
    assert RequestRecord.objects.get().pk == made.id


def test_two_starts_that_find_the_same_records_count_them_once(tmp_path: Path) -> None:
    """As after a kill while records moved from the journal into the spool, and several processes that start again."""
    rows = [rows_of(draft()) for _ in range(400)]
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
        spool = Spool(place)
        assert spool.add(rows)
        spool.close()
    with running(Recorder(spool=Spool(places[0]))), running(Recorder(spool=Spool(places[1]))):
        until(lambda: not any(files(place) for place in places))
    assert RequestRecord.objects.count() == Attempt.objects.count() == 400
    assert UsageDay.objects.get().requests == 400


def test_a_replay_counts_nothing_twice(tmp_path: Path) -> None:
    made = draft()
    recorder = Recorder()
    recorder.record(made)
    assert recorder.flush()
    Spool(tmp_path).add([rows_of(made), rows_of(made)])
    line = files(tmp_path)[0].read_bytes()
    files(tmp_path)[0].unlink()
    (tmp_path / "history-1-dead.jsonl").write_bytes(line)
    with running(Recorder(spool=Spool(tmp_path))):
        until(lambda: not files(tmp_path))
    assert RequestRecord.objects.count() == Attempt.objects.count() == UsageDay.objects.get().requests == 1


def test_a_line_that_was_cut_short_costs_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Spool(tmp_path).add([rows_of(draft()), rows_of(draft())])
    data = files(tmp_path)[0].read_bytes()
    files(tmp_path)[0].unlink()
    torn = [
        data[:-50],
        b"\xff\x00\n[]\n{}\nnull\n" + data,
        b'[{"id":""},[]]\n',
        b'[{"id":"a","cost":"x"},[]]\n',
    ]
    for number, content in enumerate(torn):
        (tmp_path / f"history-{number}-dead.jsonl").write_bytes(content)
    with caplog.at_level(logging.WARNING, "patchbay.history"), running(Recorder(spool=Spool(tmp_path))):
        until(lambda: not files(tmp_path))
    assert RequestRecord.objects.count() == 2
    assert "4 lines of the history's spool could not be read" in caplog.text


def test_rows_of_another_version_are_stored_in_the_columns_of_this_one(tmp_path: Path) -> None:
    record, attempts = json.loads(_line_of(tmp_path))
    del record["alarm"], record["lost"], record["attempts"]
    record["a_column_that_is_gone"] = 1
    (tmp_path / "history-1-older.jsonl").write_text(json.dumps([record, attempts]) + "\n")
    with running(Recorder(spool=Spool(tmp_path))):
        until(lambda: not files(tmp_path))
    row = RequestRecord.objects.get()
    assert (row.pk, row.alarm, row.lost, row.attempts) == (record["id"], None, "", 0)


def _line_of(directory: Path) -> bytes:
    Spool(directory).add([rows_of(draft())])
    (path,) = files(directory)
    line = path.read_bytes()
    path.unlink()
    return line


def test_the_spool_is_bounded_and_then_the_queue_is(tmp_path: Path) -> None:
    with (
        history_is_locked(),
        running(Recorder(spool=Spool(tmp_path, most_bytes=6000), queue_rows=10)) as recorder,
    ):
        recorder.record(draft())
        until(lambda: bool(files(tmp_path)))
        for _ in range(30):
            recorder.record(draft())
        until(lambda: recorder.dropped > 0)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 6000


def test_a_disk_that_takes_only_a_part_leaves_whole_lines(tmp_path: Path) -> None:
    """In a process of its own: the limit on the size of files holds for all that a process writes."""
    script = (
        "import django, sys; django.setup()\n"
        "from pathlib import Path; from analytics.spool import Spool\n"
        "import signal, resource; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "spool = Spool(Path(sys.argv[1])); rows = [({'id': 'r%03d' % n, 'error': 'x' * 60}, []) for n in range(60)]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "print([spool.add(rows[n:n + 10]) for n in range(0, 60, 10)], spool.waiting)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:5] == ["[True,", "True,", "True,", "True,", "True,"]
    assert done.stdout.split()[5:] == ["False]", "50"]
    lines = files(tmp_path)[0].read_text().splitlines()
    assert [json.loads(line)[0]["id"] for line in lines] == [f"r{n:03d}" for n in range(50)]


def _environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "router_site.settings"}


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    one, two = Spool(tmp_path), Spool(tmp_path)
    one.add([rows_of(draft())])
    two.adopt()
    assert two.waiting == 0
    one.close()
    two.adopt()
    assert two.waiting == 1
