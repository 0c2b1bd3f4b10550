"""The n-th system call on a file fails, for every n until a run needs fewer: nothing is lost and nothing sticks.

The failure is a real one as far as the process can tell: strace answers the call in the kernel's place.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.promises.load import (
    BODY,
    CHAT,
    assert_sums_agree,
    assert_whole,
    eventually,
    furnish,
    recorded,
    tell,
)
from tests.servers import SimulatorThread

pytestmark = [
    pytest.mark.promises,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("strace") is None, reason="failing single system calls needs strace"),
]
MOST = 300


@pytest.fixture
def patchbay() -> Iterator[Patchbay]:
    with SimulatorThread() as upstream:
        made = Patchbay()
        furnish(made, upstream)
        with made:
            yield made


@contextmanager
def failing(patchbay: Patchbay, call: str, error: str, number: int, log: Path) -> Iterator[None]:
    """The `number`-th such call of each thread fails once. What was traced is in `log` afterwards."""
    assert patchbay.process is not None
    pid = patchbay.process.pid
    words = ["-f", "-qq", "-p", str(pid), "-o", str(log), "-e", f"trace={call}"]
    tracer = subprocess.Popen(["strace", *words, "-e", f"inject={call}:error={error}:when={number}"])
    try:
        eventually(lambda: is_traced(pid), patchbay)
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def is_traced(pid: int) -> bool:
    """Every thread."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return all("TracerPid:\t0" not in state for state in states)


def test_every_write_of_the_history_s_writer_may_fail(patchbay: Patchbay, tmp_path: Path) -> None:
    asked: set[str] = set()
    for number in itertools.count(1):
        assert number < MOST
        log = tmp_path / "calls"
        with failing(patchbay, "pwrite64", "ENOSPC", number, log):
            for _ in range(3):
                answer = patchbay.post(CHAT, BODY)
                assert answer.status == 200
                asked.add(answer.headers["x-patchbay-request-id"])
            eventually(lambda: asked <= recorded(patchbay.home), patchbay)
        assert_sums_agree(patchbay.home)
        if "INJECTED" not in log.read_text():
            break
    assert_whole(patchbay.home)
    eventually(lambda: patchbay.get("/health").json()["status"] == "ok", patchbay)
    tell(
        f"history: each of {number - 1} writes failed once; {len(asked)} records, none lost, none counted twice"
    )
    assert number > 3


def test_every_read_of_the_configuration_may_fail(patchbay: Patchbay, tmp_path: Path) -> None:
    """The old configuration stays in force until the new one could be read, which needs nobody."""
    with Desk(patchbay) as desk:
        for number in itertools.count(1):
            assert number < MOST
            log = tmp_path / "calls"
            with failing(patchbay, "pread64", "EIO", number, log):
                desk.do({"do": "edit", "alias": "openai", "weight": 1 + number % 90})
                assert patchbay.post(CHAT, BODY).status == 200
                eventually(lambda: version_of(patchbay) >= desk.version, patchbay)
                assert patchbay.post(CHAT, BODY).status == 200
            if "INJECTED" not in log.read_text():
                break
    eventually(lambda: patchbay.get("/health").json()["status"] == "ok", patchbay)
    tell(
        f"configuration: each of {number - 1} reads failed once; every change came into force, no request failed"
    )
    assert number > 3


def version_of(patchbay: Patchbay) -> int:
    return int(patchbay.get("/health").json()["configVersion"])
