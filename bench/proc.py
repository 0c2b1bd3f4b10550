"""CPU time and memory of a process and all its descendants, read from the Linux kernel.

Rule: CPU time comes from each process's own clock (nanoseconds, ended threads included), not from ticks.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SCHED_CLOCK = 2  # the kernel's number for "CPU time that was really run"


@dataclass(frozen=True, slots=True)
class Stat:
    """What `/proc/<pid>/stat` says that matters here."""

    pid: int
    parent: int
    state: str
    reaped_seconds: float  # CPU time of children that have ended and were waited for


def parse_stat(text: str, ticks: int = _TICKS) -> Stat:
    """Read one stat line. The name in parentheses may hold spaces and parentheses."""
    start, end = text.index("("), text.rindex(")")
    fields = text[end + 2 :].split()
    reaped = (int(fields[13]) + int(fields[14])) / ticks
    return Stat(int(text[:start]), int(fields[1]), fields[0], reaped)


def descendants(root: int, stats: dict[int, Stat]) -> list[int]:
    """`root` and everything below it, in no special order; [] if it is gone."""
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found, open_ends = [], [root] if root in stats else []
    while open_ends:
        pid = open_ends.pop()
        found.append(pid)
        open_ends += children.get(pid, [])
    return found


def read_stats() -> dict[int, Stat]:
    """The stat of every process that lives now."""
    stats = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                stat = parse_stat((folder / "stat").read_text())
            except (OSError, ValueError, IndexError):
                continue  # it ended while we looked
            if stat.state not in "ZX":
                stats[stat.pid] = stat
    return stats


def cpu_seconds(root: int) -> float:
    """CPU time of the tree since its start, user and system."""
    stats = read_stats()
    total = 0.0
    for pid in descendants(root, stats):
        try:
            total += time.clock_gettime(~pid << 3 | _SCHED_CLOCK) + stats[pid].reaped_seconds
        except OSError:
            continue
    return total


def resident_bytes(root: int) -> int:
    """Resident memory of the tree. Pages shared between its processes count once for each."""
    total = 0
    for pid in descendants(root, read_stats()):
        try:
            total += int((PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue
    return total
