"""Where a measurement ran, in words that name no person and no path."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path


def describe() -> dict[str, str]:
    """CPU, memory, kernel, Python."""
    return {
        "cpu": f"{_line('/proc/cpuinfo', 'model name')}, {len(os.sched_getaffinity(0))} cores usable",
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _line(file: str, name: str) -> str:
    """The value of the first `name: value` line."""
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0 unknown"
