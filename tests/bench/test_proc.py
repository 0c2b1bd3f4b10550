"""Process trees and their CPU time, as the Linux kernel tells them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench import proc
from bench.proc import Stat, descendants, parse_stat

LINE = "4242 (a (very) odd name) S 17 4242 4242 0 -1 4194560 1 2 0 0 11 22 150 50 20 0 1 0 99 1000 10"


def test_stat_line_with_parentheses_in_the_name() -> None:
    assert parse_stat(LINE, ticks=100) == Stat(4242, 17, "S", 2.0)


def test_descendants_are_the_whole_tree_and_nothing_beside_it() -> None:
    parents = {2: 1, 3: 2, 4: 3, 5: 2, 6: 1, 7: 6}
    stats = {pid: Stat(pid, parent, "S", 0.0) for pid, parent in parents.items()}
    assert sorted(descendants(2, stats)) == [2, 3, 4, 5]
    assert descendants(99, stats) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads the Linux kernel's process list")
def test_a_busy_child_counts_while_it_lives_and_after_it_has_ended() -> None:
    script = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = proc.cpu_seconds(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert proc.cpu_seconds(child.pid) >= 0.3
        assert proc.resident_bytes(child.pid) > 1_000_000
        assert proc.cpu_seconds(os.getpid()) - before >= 0.3
        child.communicate(b"\n")
    assert proc.cpu_seconds(os.getpid()) - before >= 0.25  # the kernel counts ended children in ticks
    assert proc.cpu_seconds(child.pid) == 0.0
