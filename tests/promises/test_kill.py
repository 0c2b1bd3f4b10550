"""`kill -9` in a loop, under load: the configuration whole, the history too but for its last moment."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.promises.load import Load, assert_sums_agree, assert_whole, furnish, load, recorded, rows, tell
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(1800)]
ROUNDS = int(os.environ.get("PROMISES_KILLS", "20"))
CALM, BUSY = 0.05, 0.0  # seconds between two requests of a client
LOST_SECONDS = {CALM: 0.5, BUSY: 1.5}  # what a busy machine may need to get to a write; the figures are told


@dataclass
class Figures:
    """Of all rounds with one load."""

    kills: int = 0
    answers: int = 0
    lost: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)


def test_kills_under_load() -> None:
    patchbay, figures, written = Patchbay(), {CALM: Figures(), BUSY: Figures()}, 0
    with SimulatorThread() as upstream:
        furnish(patchbay, upstream)
        patchbay.start()
        with Desk(patchbay) as desk:
            for number in range(ROUNDS):
                pause = (CALM, BUSY)[number % 2]
                with load(patchbay, clients=4, pause=pause) as found:
                    written += edits_until_killed(patchbay, desk, written)
                    killed = time.monotonic()
                assert_intact(patchbay, figures[pause], written)
                note_lost(patchbay, found, figures[pause], killed)
    assert patchbay.stop() == 0
    assert len(patchbay.history()) > 0
    for pause, one in figures.items():
        tell(
            f"{one.kills} kills at {'full' if pause == BUSY else 'some'} load, {one.answers} answers: {len(one.lost)}"
            f" records lost, the oldest {max(one.lost, default=0) * 1000:.0f} ms before its kill;"
            f" slowest start {max(one.starts):.1f} s; {written} configuration writes in all, none lost"
        )
        assert max(one.lost, default=0) <= LOST_SECONDS[pause]


def edits_until_killed(patchbay: Patchbay, desk: Desk, before: int) -> int:
    """Changes of the configuration, each acknowledged, and then the end without a warning. How many."""
    count, until = 0, time.monotonic() + random.uniform(0.4, 1.2)
    while time.monotonic() < until:
        desk.do({"do": "edit", "alias": "openai", "weight": weight_after(before + count + 1)})
        count += 1
        time.sleep(0.02)
    assert patchbay.process is not None
    patchbay.process.kill()
    return count


def weight_after(writes: int) -> int:
    return 1 + writes % 90


def assert_intact(patchbay: Patchbay, figures: Figures, written: int) -> None:
    """A start without anybody's help, and everything that was acknowledged."""
    assert patchbay.process is not None
    patchbay.process.wait()
    began = time.monotonic()
    patchbay.start()
    figures.starts.append(time.monotonic() - began)
    assert_whole(patchbay.home)
    weight = rows(patchbay.home / "config.sqlite3", "SELECT weight FROM accounts_account")
    assert weight == [(weight_after(written),)]
    assert_sums_agree(patchbay.home)


def note_lost(patchbay: Patchbay, found: Load, figures: Figures, killed: float) -> None:
    kept = recorded(patchbay.home)
    figures.kills += 1
    figures.answers += len(found.finished)
    figures.lost += [killed - at for id_, at, _ in found.finished if id_ not in kept]
