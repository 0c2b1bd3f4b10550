"""The history's journal: what was handed over outlives a kill, is stored once, and costs nothing when it fails."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from accounts.redact import MASK
from analytics.decision import CandidateNote, ChoiceNote
from analytics.drafts import AttemptDraft
from analytics.journal import Journal, draft_of, line_of
from analytics.models import Attempt, RequestRecord, UsageDay
from analytics.recorder import Recorder
from analytics.spool import Spool, stored_row
from backends.prices import NO_PRICES
from tests.analytics.locking import history_is_locked
from tests.analytics.test_spool import draft, running, until

pytestmark = pytest.mark.django_db(databases=["default", "history"], transaction=True)
KEY = "sk-ant-0123456789abcdefghij"
CHILD = """
import django, os, signal, sys
django.setup()
from pathlib import Path
from analytics.journal import Journal
from analytics.recorder import Recorder
from tests.analytics.test_spool import draft
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    made.open()
    yield made
    made.close(all_stored=True)


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("finished-*.jsonl"))


def lines(directory: Path) -> list[bytes]:
    return [line for path in files(directory) for line in path.read_bytes().splitlines()]


def run_child(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD + script, str(directory)],
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "router_site.settings"},
    )


def test_what_was_handed_over_outlives_a_kill_and_is_counted_once(tmp_path: Path) -> None:
    script = (
        "recorder = Recorder(journal=Journal(Path(sys.argv[1]))); recorder.journal.open()\n"
        "for _ in range(100): recorder.record(draft())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run_child(script, tmp_path).returncode == -9
    assert len(lines(tmp_path)) == 100
    assert {path.stat().st_mode & 0o777 for path in files(tmp_path)} == {0o600}
    (tmp_path / "finished-1-again.jsonl").write_bytes(b"\n".join(lines(tmp_path)) + b"\n")
    with running(Recorder(spool=Spool(tmp_path))) as recorder:
        until(lambda: RequestRecord.objects.count() == 100 and recorder.waiting == 0)
    assert files(tmp_path) == []
    assert Attempt.objects.count() == UsageDay.objects.get().requests == 100
    assert RequestRecord.objects.order_by("id")[0].cost == Decimal("0.0045")


def test_what_is_stored_leaves_the_journal(tmp_path: Path) -> None:
    with running(Recorder(spool=Spool(tmp_path))) as recorder:
        for _ in range(1000):
            recorder.record(draft())
        until(lambda: RequestRecord.objects.count() == 1000 and lines(tmp_path) == [])
        assert len(files(tmp_path)) == 2
    assert files(tmp_path) == []


def test_what_waits_stays_in_the_journal_and_a_stop_keeps_what_is_nowhere_else(tmp_path: Path) -> None:
    with history_is_locked(), running(Recorder(spool=Spool(tmp_path, most_bytes=0))) as recorder:
        for _ in range(30):
            recorder.record(draft())
        recorder.stop()
        assert len(lines(tmp_path)) == len(recorder._queue) == 30
    with running(Recorder(spool=Spool(tmp_path))):
        until(lambda: RequestRecord.objects.count() == 30)
    assert files(tmp_path) == []


def test_a_page_is_emptied_only_when_all_that_it_held_is_stored(journal: Journal) -> None:
    queue = [draft() for _ in range(3)]
    for each in queue:
        journal.note(each)
    journal.advance(0, queue)
    journal.note(draft())
    for stored in range(3):
        journal.advance(stored, queue[stored:])
        assert len(lines(journal.directory)) == 4
    journal.advance(3, [None])  # the fourth waits, so its page is the one that is full now
    assert len(lines(journal.directory)) == 1
    journal.advance(4, [])
    assert lines(journal.directory) == []


def test_a_disk_that_is_full_costs_the_lines_alone(tmp_path: Path) -> None:
    """In a process of its own: the limit on the size of files holds for all that a process writes."""
    script = (
        "import resource; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "journal = Journal(Path(sys.argv[1])); journal.open()\n"
        "recorder, unlimited = Recorder(journal=journal), resource.RLIM_INFINITY\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, unlimited))\n"
        "for _ in range(20): recorder.record(draft())\n"
        "print(journal.missed, recorder.waiting, flush=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))\n"
        "recorder.record(draft()); recorder.record(draft())\n"
        "print(journal.missed, flush=True)\n"
        "os._exit(0)\n"
    )
    done = run_child(script, tmp_path)
    assert done.returncode == 0, done.stderr
    missed, waiting, later = (int(word) for word in done.stdout.split())
    assert waiting == 20
    assert 10 < missed < 20
    assert later == missed
    with running(Recorder(spool=Spool(tmp_path))):
        until(lambda: RequestRecord.objects.count() == 22 - missed)


def test_a_directory_that_cannot_be_written_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "away"
    journal = Journal(place)
    journal.open()
    for _ in range(3):
        journal.note(draft())
    with caplog.at_level(logging.WARNING, "patchbay.history"):
        journal.advance(0, [])
        journal.advance(0, [])
    assert caplog.text.count("3 finished records are not in the history's journal") == 1
    place.mkdir()
    journal._again_at = 0.0
    journal.advance(0, [])
    journal.note(draft())
    assert len(lines(place)) == 1
    journal.close(all_stored=True)


def test_a_disk_that_stays_full_is_told_of_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "away")
    journal.open()
    with caplog.at_level(logging.WARNING, "patchbay.history"):
        for _ in range(20):
            journal._again_at = 0.0
            journal.note(draft())
            journal.advance(0, [])
        assert caplog.text.count("not in the history's journal") == 1
        journal._tells_at = 0.0
        journal.advance(0, [])
    assert "19 finished records are not in" in caplog.text


def test_starts_at_the_same_moment_leave_each_other_their_files(tmp_path: Path) -> None:
    """Each looks for what the dead have left while others make theirs: only what nobody has locked may be taken."""
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            spool = Spool(tmp_path)
            spool.adopt()
            spool.replay(lambda rows: True)
            spool.close()

    lost = 0
    with ThreadPoolExecutor(3) as threads:
        looking = [threads.submit(look) for _ in range(3)]
        for _ in range(300):
            journal, spool = Journal(tmp_path), Spool(tmp_path)
            journal.open()
            assert spool.add([stored_row(draft(), NO_PRICES)])
            own = [page.path for page in (journal._active, journal._spare, spool._own) if page is not None]
            lost += 3 - sum(path.exists() for path in own)
            spool.close()
            journal.close(all_stored=True)
        done.set()
    assert [each.exception() for each in looking] == [None] * 3
    assert lost == 0


def test_a_line_holds_no_secret_in_what_others_said() -> None:
    made = draft()
    attempt = AttemptDraft("openai", "two", "gpt-4o")
    attempt.end("refused", "next", f"bad key {KEY}")
    made.attempts.append(attempt)
    made.error = f"{KEY} was refused"
    told = CandidateNote("two", excluded=f"the provider refused {KEY}")
    made.choices = [ChoiceNote("openai", "gpt-4o", "headroom", "one", "best", candidates=(told,))]
    line = line_of(made)
    assert KEY.encode() not in line
    assert line.count(MASK.encode()) == 3
    assert KEY in made.error
    assert draft_of(line).attempts[0] == made.attempts[0]


def test_what_has_no_json_is_counted_and_harms_nothing(journal: Journal) -> None:
    made = draft()
    made.model_asked = "\ud800"
    journal.note(made)
    huge = draft()
    huge.path = "x" * 100_000
    journal.note(huge)
    assert journal.missed == 2
    journal.note(draft())
    assert len(lines(journal.directory)) == 1
