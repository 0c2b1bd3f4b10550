"""`kill -9` in a loop, under load: the configuration whole, and a record of every answer that had ended."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field

import pytest

from tests.desk import Desk
from tests.patchbay import Patchbay
from tests.promises.load import (
    Load,
    assert_sums_agree,
    assert_whole,
    eventually,
    furnish,
    load,
    recorded,
    rows,
    tell,
)
from tests.servers import SimulatorThread

pytestmark = [pytest.mark.promises, pytest.mark.timeout(1800)]
ROUNDS = int(os.environ.get("PROMISES_KILLS", "20"))
CALM, BUSY = 0.05, 0.0  # seconds between two requests of a client


@dataclass
class Figures:
    """Of all rounds with one load."""

    kills: int = 0
    answers: int = 0
    lost: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    saved: int = 0  # records that the database did not have when the process was killed


def test_kills_under_load() -> None:
    patchbay, figures, written = Patchbay(), {CALM: Figures(), BUSY: Figures()}, 0
    with SimulatorThread() as upstream:
        furnish(patchbay, upstream)
        patchbay.start()
        with Desk(patchbay) as desk:
            for number in range(ROUNDS):
                pause = (CALM, BUSY)[number % 2]
                with load(patchbay, clients=4, pause=pause, streams=True) as found:
                    written += edits_until_killed(patchbay, desk, written)
                note_saved(patchbay, found, figures[pause])
                assert_intact(patchbay, figures[pause], written)
                note_lost(patchbay, found, figures[pause])
    assert patchbay.stop() == 0
    assert len(patchbay.history()) > 0
    for pause, one in figures.items():
        tell(
            f"{one.kills} kills at {'full' if pause == BUSY else 'some'} load, {one.answers} answers, half of them"
            f" streams: {len(one.lost)} records lost, {one.saved} were only in the journal;"
            f" slowest start {max(one.starts):.1f} s; {written} configuration writes in all, none lost"
        )
        assert one.lost == []
        assert one.saved > 0


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
    began = time.monotonic()
    patchbay.start()
    figures.starts.append(time.monotonic() - began)
    assert_whole(patchbay.home)
    weight = rows(patchbay.home / "config.sqlite3", "SELECT weight FROM accounts_account")
    assert weight == [(weight_after(written),)]
    assert_sums_agree(patchbay.home)


def note_saved(patchbay: Patchbay, found: Load, figures: Figures) -> None:
    """What a kill would take, were it not for the journal."""
    assert patchbay.process is not None
    patchbay.process.wait()
    figures.saved += len({id_ for id_, *_ in found.finished} - recorded(patchbay.home))


def note_lost(patchbay: Patchbay, found: Load, figures: Figures) -> None:
    eventually(lambda: not left_behind(patchbay), patchbay)
    figures.kills += 1
    figures.answers += len(found.finished)
    figures.lost += sorted({id_ for id_, *_ in found.finished} - recorded(patchbay.home))


def left_behind(patchbay: Patchbay) -> list[str]:
    """Files of processes that are no more, not taken over yet."""
    assert patchbay.process is not None
    own = str(patchbay.process.pid)
    names = [path.name for path in (patchbay.home / "spool").glob("*.jsonl")]
    return [name for name in names if name.split("-")[1] != own]
