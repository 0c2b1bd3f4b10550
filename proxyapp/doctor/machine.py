"""The machine: Python, the packages, the disk, and Redis where it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from proxyapp.doctor.findings import Finding, fail, ok, or_fine, warn

LEAST_PYTHON = (3, 11)
FULL_DISK, TIGHT_DISK = 100 * 2**20, 2**30
REDIS_SECONDS = 3.0
INSTALL = "Run: .venv/bin/python -m pip install -r requirements.txt"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.M)


def python_finding(running: tuple[int, int], text: str) -> Finding:
    """Whether this Python is new enough. `text` is its whole version."""
    if running < LEAST_PYTHON:
        return fail(
            "python", f"Python {text} is too old.", "Install Python 3.11 or newer, and make .venv anew."
        )
    return ok("python", f"Python {text}")


def package_findings(pins: Mapping[str, str], installed: Mapping[str, str | None]) -> list[Finding]:
    """Whether what is installed is what Patchbay was tested with. `pins` and `installed`: name → version."""
    found = []
    for name, pinned in pins.items():
        have = installed.get(name)
        if have is None:
            found.append(fail("packages", f"{name} is not installed.", INSTALL))
        elif have != pinned:
            judge = fail if _number(have) < _number(pinned) else warn
            found.append(judge("packages", f"{name} is {have}; Patchbay is tested with {pinned}.", INSTALL))
    return or_fine("packages", found, f"{len(pins)} as pinned")


def read_pins(requirements: Path) -> dict[str, str]:
    """The pinned run-time dependencies; none when the file is not there."""
    return dict(_PIN.findall(requirements.read_text())) if requirements.is_file() else {}


def installed_versions(names: Mapping[str, str]) -> dict[str, str | None]:
    """The version of each package here; None for one that is missing."""
    return {name: _installed(name) for name in names}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def disk_finding(home: Path, free: int) -> Finding:
    """Whether the history can grow. `free` is bytes."""
    text = f"{free / 2**30:.1f} GiB free at {home}"
    if free < FULL_DISK:
        return fail(
            "disk", f"{text}.", "Make room, or move PATCHBAY_HOME: the history and new keys need space."
        )
    if free < TIGHT_DISK:
        return warn("disk", f"{text}.", "Make room before the history stops.")
    return ok("disk", text)


def redis_finding(url: str) -> Finding:
    """Whether the Redis of REDIS_URL answers. Its password is not shown."""
    if not url:
        return ok("redis", "not used: one process keeps its own state")
    try:
        import redis

        client = redis.Redis.from_url(url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS)
        try:
            client.ping()
        finally:
            client.close()
    except ImportError:
        return fail("redis", "REDIS_URL is set, but the package redis is not installed.", INSTALL)
    except Exception as exc:
        return fail(
            "redis",
            f"Redis does not answer ({type(exc).__name__}).",
            "Start it, or correct REDIS_URL; until then each process goes by what it knows itself.",
        )
    return ok("redis", "answers")
