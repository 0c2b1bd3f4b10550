"""A slice of CPU holds a process back, and nothing of it is left afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench import proc
from bench.install import Unavailable
from bench.slices import ROOT, sliced


@pytest.fixture
def burner() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_process_gets_its_slice_and_no_more(burner: int) -> None:
    try:
        with sliced([burner], 10):
            before, began = proc.cpu_seconds(burner), time.perf_counter()
            time.sleep(0.5)
            used, wall = proc.cpu_seconds(burner) - before, time.perf_counter() - began
    except Unavailable as exc:
        pytest.skip(str(exc))
    assert used < 0.2 * wall  # the quota is 10 %, and the kernel is not exact about it
    assert not list(ROOT.glob(f"**/patchbay-bench-*-{burner}"))


def test_a_process_that_is_gone_gets_none_and_leaves_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(Unavailable), sliced([process.pid], 10):
        pass
    assert not list(ROOT.glob(f"**/patchbay-bench-*-{process.pid}"))
