"""A disk that takes nothing any more under a running server: traffic goes on, everything says so, and it mends."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.operator import Operator
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

pytestmark = [pytest.mark.promises, pytest.mark.timeout(120)]
NO_ROWS = "takes no rows"
PAUSE = "/dashboard/accounts/openai/pause/"


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


def run(*words: object) -> bool:
    return subprocess.run([str(word) for word in words], capture_output=True).returncode == 0


class Disk:
    """A small file system of its own. Linux remounts none that is being written; one that finds an error turns
    read-only by itself, and is mended by a check and a new mount."""

    def __init__(self, place: Path) -> None:
        self.image, self.home = place / "image", place / "home"
        self.home.mkdir()
        with self.image.open("wb") as file:
            file.truncate(48 * 2**20)

    def make(self) -> bool:
        return run("mkfs.ext4", "-q", "-F", self.image) and self.mount()

    def mount(self) -> bool:
        return run("mount", "-o", "loop,errors=remount-ro", self.image, self.home)

    def fail(self) -> bool:
        told = subprocess.run(["losetup", "-j", self.image], capture_output=True, text=True).stdout
        trigger = Path("/sys/fs/ext4") / Path(told.partition(":")[0]).name / "trigger_fs_error"
        if not trigger.exists():
            return False
        trigger.write_text("a fault on purpose")
        return True

    def mend(self) -> None:
        assert run("umount", self.home)
        subprocess.run(["e2fsck", "-p", "-f", self.image], capture_output=True)
        assert self.mount()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    if not (shutil.which("mkfs.ext4") and made.make()):
        pytest.skip("a file system of its own needs the right to mount one")
    try:
        made.home.chmod(0o700)
        yield made
    finally:
        run("umount", "-l", made.home)


def test_a_file_system_that_turns_read_only(disk: Disk, upstream: SimulatorThread) -> None:
    patchbay = Patchbay(home=disk.home)
    furnish(patchbay, upstream)
    with patchbay:
        operator = Operator(patchbay)
        with load(patchbay, pause=0.01, streams=True) as before:
            time.sleep(1)
        eventually(lambda: {id_ for id_, *_ in before.finished} <= recorded(disk.home), patchbay)
        os.sync()  # what the system had not written yet goes with the file system, as in a power cut
        if not disk.fail():
            pytest.skip("this kernel cannot be told to find an error")
        with load(patchbay, pause=0.01, streams=True) as found:
            late = eventually(lambda: NO_ROWS in reasons(patchbay), patchbay)
            assert_refused(patchbay, operator)
            time.sleep(1)
        assert set(found.statuses) == {200}
        assert found.failures == []
        assert patchbay.get("/health").json()["historyWaiting"] > 0
    disk.mend()
    with patchbay:
        assert patchbay.get("/health").json()["status"] == "ok"
        assert patchbay.manage("accounts", "pause", "openai").returncode == 0
    assert {id_ for id_, *_ in before.finished} <= recorded(disk.home)
    assert_whole(disk.home)
    tell(
        f"read-only under load: {len(found.finished)} answers, none failed, the slowest"
        f" {found.slowest(1) * 1000:.0f} ms; health told it after {late:.1f} s"
    )


@contextmanager
def refusing(patchbay: Patchbay) -> Iterator[None]:
    """Every write of the process at a place in a file (databases, spool) is answered as by a read-only disk."""
    assert patchbay.process is not None
    words = ["-f", "-qq", "-p", str(patchbay.process.pid), "-o", "/dev/null"]
    words += ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS"]
    tracer = subprocess.Popen(["strace", *words])
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()


@pytest.mark.skipif(shutil.which("strace") is None, reason="refusing single system calls needs strace")
def test_a_disk_that_refuses_and_then_takes_writes_again(upstream: SimulatorThread) -> None:
    """Nothing is lost, and nobody has to start anything anew."""
    patchbay = Patchbay()
    furnish(patchbay, upstream)
    with patchbay:
        operator = Operator(patchbay)
        with load(patchbay, pause=0.01, streams=True) as found:
            with refusing(patchbay):
                eventually(lambda: NO_ROWS in reasons(patchbay), patchbay)
                assert operator.post(PAUSE).status == 503
                time.sleep(1)
            back = eventually(lambda: NO_ROWS not in reasons(patchbay), patchbay)
        assert set(found.statuses) == {200}
        assert found.failures == []
        eventually(lambda: {id_ for id_, *_ in found.finished} <= recorded(patchbay.home), patchbay)
        assert operator.post(PAUSE).status < 400
    assert_sums_agree(patchbay.home)
    assert_whole(patchbay.home)
    tell(f"a disk that refuses writes: {len(found.finished)} answers, none lost; well {back:.1f} s after it")


def assert_refused(patchbay: Patchbay, operator: Operator) -> None:
    """A change of the configuration, at the terminal and in the browser."""
    told = patchbay.manage("accounts", "pause", "openai", check=False)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr
    page = operator.post(PAUSE)
    assert page.status == 503, page.body
    assert b"Nothing was changed" in page.body
