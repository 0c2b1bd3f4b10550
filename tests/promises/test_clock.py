"""A wall clock that jumps while the server runs: nobody waits longer, nobody is refused, no time is negative."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.patchbay import Patchbay
from tests.promises.load import BODY, CHAT, assert_sums_agree, eventually, furnish, load, recorded, rows, tell
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(120)]


@pytest.fixture
def clock(tmp_path: Path) -> tuple[dict[str, str], Callable[[int], None]]:
    """An environment whose wall clock is ours, and how to set it: seconds beside the true time."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a clock of our own needs a C compiler")
    library, place = tmp_path / "clock.so", tmp_path / "step"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    place.write_bytes(struct.pack("l", 0))

    def set_to(seconds: int) -> None:
        with place.open("r+b") as file:
            file.write(struct.pack("l", seconds))

    return {"LD_PRELOAD": str(library), "CLOCK_STEP": str(place)}, set_to


@pytest.mark.parametrize("step", [600, -600, 86_400, -86_400])
def test_a_step_of_the_clock(clock: tuple[dict[str, str], Callable[[int], None]], step: int) -> None:
    environment, set_to = clock
    patchbay = Patchbay(environment)
    with SimulatorThread() as upstream:
        furnish(patchbay, upstream)
        with patchbay:
            with load(patchbay, pause=0.01) as found:
                time.sleep(1)
                set_to(step)
                time.sleep(2)
                upstream.script(["status=429,ra=2"])  # a bench across a step
                time.sleep(0.5)
                set_to(0)
                time.sleep(3)
            assert set(found.statuses) <= {200}
            assert found.failures == []
            began = time.monotonic()
            assert patchbay.post(CHAT, BODY).status == 200
            assert time.monotonic() - began < 2
            eventually(lambda: {id_ for id_, *_ in found.finished} <= recorded(patchbay.home), patchbay)
            assert patchbay.get("/health").json()["status"] == "ok"
    assert_sums_agree(patchbay.home)
    history = patchbay.home / "history.sqlite3"
    [(shortest, longest)] = rows(
        history, "SELECT MIN(duration_ms), MAX(duration_ms) FROM analytics_requestrecord"
    )
    assert 0 <= shortest <= longest < 15_000
    moments = [
        datetime.fromisoformat(at)
        for (at,) in rows(history, "SELECT started_at FROM analytics_requestrecord")
    ]
    stepped = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=step)
    assert any(abs((at - stepped).total_seconds()) < 120 for at in moments)  # the step did reach the server
    tell(f"clock {step:+} s: {len(found.finished)} answers, the slowest {found.slowest(1) * 1000:.0f} ms")
