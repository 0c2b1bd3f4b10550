"""What the machine can do to a server: locks, a full disk, a damaged file, no file handles. It answers, and says so."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.patchbay import Patchbay
from tests.promises.load import (
    assert_sums_agree,
    assert_whole,
    eventually,
    furnish,
    load,
    reasons,
    recorded,
    tell,
)
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(300)]
NO_ROWS = "takes no rows"


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
def patchbay(upstream: SimulatorThread) -> Iterator[Patchbay]:
    made = Patchbay()
    furnish(made, upstream)
    with made:
        yield made


def pid_of(patchbay: Patchbay) -> int:
    assert patchbay.process is not None
    return patchbay.process.pid


def spooled(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "spool").glob("history-*.jsonl"))


def test_a_locked_history_delays_nobody_and_loses_nothing(patchbay: Patchbay) -> None:
    with load(patchbay, pause=0.05) as before:
        time.sleep(2)
    blocker = sqlite3.connect(patchbay.home / "history.sqlite3", isolation_level=None)
    with load(patchbay, pause=0.05) as found:
        blocker.execute("BEGIN IMMEDIATE")
        late = eventually(lambda: NO_ROWS in reasons(patchbay), patchbay)
        assert patchbay.get("/health").status == 200
        time.sleep(2)
        blocker.execute("ROLLBACK")
        blocker.close()
        back = eventually(lambda: NO_ROWS not in reasons(patchbay), patchbay)
    assert set(found.statuses) == {200}
    assert found.failures == []
    wanted = {id_ for id_, *_ in found.finished}
    eventually(lambda: wanted <= recorded(patchbay.home), patchbay)
    assert_sums_agree(patchbay.home)
    assert spooled(patchbay.home) == 0
    tell(
        f"health tells after {late:.1f} s and {back:.1f} s after the lock; "
        f"p99 {before.slowest(0.99) * 1000:.0f} ms before, {found.slowest(0.99) * 1000:.0f} ms in it"
    )


def test_a_locked_configuration_delays_nobody(patchbay: Patchbay) -> None:
    blocker = sqlite3.connect(patchbay.home / "config.sqlite3", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with load(patchbay, pause=0.02) as found:
        time.sleep(4)
    refused = patchbay.manage("accounts", "pause", "openai", check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    blocker.execute("ROLLBACK")
    blocker.close()
    assert set(found.statuses) == {200}
    assert found.failures == []
    assert patchbay.get("/health").json()["status"] == "ok"


def test_kill_in_the_middle_of_a_lock_loses_nothing(patchbay: Patchbay) -> None:
    blocker = sqlite3.connect(patchbay.home / "history.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with load(patchbay, pause=0.01, streams=True) as found:
        time.sleep(4)
        assert patchbay.process is not None
        patchbay.process.kill()
        patchbay.process.wait()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert spooled(patchbay.home) > 0
    patchbay.start()
    eventually(lambda: spooled(patchbay.home) == 0, patchbay)
    eventually(lambda: {id_ for id_, *_ in found.finished} <= recorded(patchbay.home), patchbay)
    assert_sums_agree(patchbay.home)
    tell(f"{len(found.finished)} answers in a locked history, and a kill: none lost")


def test_files_that_cannot_grow(patchbay: Patchbay) -> None:
    """As a disk quota: every file of the process, up to the spool and the log, until the limit is lifted."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid_of(patchbay), resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
    with load(patchbay, pause=0.01) as found:
        eventually(lambda: NO_ROWS in reasons(patchbay), patchbay)
        time.sleep(3)
    assert set(found.statuses) == {200}
    assert patchbay.get("/health").json()["historyWaiting"] > 0
    resource.prlimit(pid_of(patchbay), resource.RLIMIT_FSIZE, unlimited)
    eventually(lambda: NO_ROWS not in reasons(patchbay), patchbay)
    assert {id_ for id_, *_ in found.finished} <= recorded(patchbay.home)
    assert_sums_agree(patchbay.home)
    assert_whole(patchbay.home)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", place], check=False
    )
    if done.returncode:
        pytest.skip("mounting a small disk needs the right to")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_and_a_disk_that_becomes_read_only(upstream: SimulatorThread, tmp_path: Path) -> None:
    with small_disk(tmp_path / "home", "6m") as home:
        patchbay = Patchbay(home=home)
        furnish(patchbay, upstream)
        with patchbay:
            ballast = home / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass
            with load(patchbay, pause=0.01) as found:
                eventually(lambda: NO_ROWS in reasons(patchbay), patchbay)
                refused = patchbay.manage("accounts", "pause", "openai", check=False)
            assert refused.returncode == 1
            assert "Traceback" not in refused.stderr, refused.stderr
            assert set(found.statuses) == {200}
            ballast.unlink()
            eventually(lambda: NO_ROWS not in reasons(patchbay), patchbay)
            assert {id_ for id_, *_ in found.finished} <= recorded(home)
            assert_sums_agree(home)
        subprocess.run(["mount", "-o", "remount,ro", home], check=True)
        done = subprocess.run(
            [sys.executable, "manage.py", "runproxy"],
            env=patchbay.environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        subprocess.run(["mount", "-o", "remount,rw", home], check=True)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr, done.stderr
        tell(f"read-only: exit {done.returncode}: {done.stderr.strip()}")


def test_a_history_that_is_damaged_while_the_server_runs(patchbay: Patchbay) -> None:
    path = patchbay.home / "history.sqlite3"
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(512))
    with load(patchbay, pause=0.01) as found:
        eventually(lambda: NO_ROWS in reasons(patchbay), patchbay)
        time.sleep(1)
    assert set(found.statuses) == {200}
    assert spooled(patchbay.home) > 0
    assert patchbay.log.count("Traceback") <= 2


def test_more_clients_than_file_handles(patchbay: Patchbay) -> None:
    process = psutil.Process(pid_of(patchbay))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (128, 128))
    crowd = []
    for _ in range(400):
        with contextlib.suppress(OSError):
            crowd.append(socket.create_connection(("127.0.0.1", patchbay.port), timeout=1))
    process.cpu_percent()
    time.sleep(4)
    busy = process.cpu_percent()
    assert process.is_running()
    for client in crowd:
        client.close()
    back = eventually(lambda: _answers(patchbay), patchbay)
    with load(patchbay, pause=0.01) as found:
        time.sleep(2)
    assert set(found.statuses) == {200}
    eventually(lambda: {id_ for id_, *_ in found.finished} <= recorded(patchbay.home), patchbay)
    tell(f"{len(crowd)} connections on 128 handles: {busy:.0f} % CPU, answers {back:.1f} s after they left")
    assert busy < 50
    assert back <= 5


def _answers(patchbay: Patchbay) -> bool:
    try:
        return patchbay.get("/health").status == 200
    except OSError:
        return False
