"""A slice of CPU for each of several processes: the same for all of them, whatever else the machine's cores do.

Control groups of Linux, version 1 (a quota of the `cpu` controller) and 2 (`cpu.max`); see the kernel's documents
`scheduler/sched-bwc` and `admin-guide/cgroup-v2`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.install import Unavailable

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 20_000  # short, so that a process which has used up its slice soon goes on


@contextmanager
def sliced(pids: Sequence[int], percent: int) -> Iterator[None]:
    """While the block runs, each process has at most `percent` of one core. Raises Unavailable with the reason."""
    home = _home()
    made: list[Path] = []
    try:
        try:
            for pid in pids:
                made.append(_slice(home, pid, percent))
        except OSError as exc:
            raise Unavailable(f"no slice of CPU can be made in {home} ({exc.strerror})") from exc
        yield
    finally:
        for pid, folder in zip(pids, made, strict=False):
            _dissolve(home, pid, folder)


def _home() -> Path:
    """Where groups can be made that are limited together with this process at most."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    places = {tuple(line.split(":")[1].split(",")): line.split(":", 2)[2].lstrip("/") for line in lines}
    for controllers, place in places.items():
        if "cpu" in controllers:
            return ROOT / ",".join(controllers) / place
    if ("",) in places and (ROOT / "cgroup.controllers").exists():
        own = ROOT / places[("",)]
        return (
            own if own == ROOT else own.parent
        )  # a group of version 2 has members or limited groups, never both
    raise Unavailable("this machine has no control groups for CPU")


def _slice(home: Path, pid: int, percent: int) -> Path:
    is_second = (home / "cgroup.controllers").exists()
    if is_second:
        (home / "cgroup.subtree_control").write_text("+cpu")
    folder = home / f"patchbay-bench-{os.getpid()}-{pid}"
    folder.mkdir()
    quota = PERIOD_US * percent // 100
    try:
        if is_second:
            (folder / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        folder.rmdir()
        raise
    return folder


def _dissolve(home: Path, pid: int, folder: Path) -> None:
    """Back to where the other processes are. A group of version 2 that only holds groups takes nobody: to the root."""
    for place in (home, ROOT):
        with suppress(OSError):
            (place / "cgroup.procs").write_text(str(pid))
            break
    with suppress(OSError):
        folder.rmdir()
