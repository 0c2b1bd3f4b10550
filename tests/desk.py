"""The operator at work beside a running Patchbay: the services that commands and admin use, in a process of its own.

A command takes half a second to start; the desk stays open, so that each test can have a pool for itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Any

from tests.patchbay import PROJECT, Patchbay


class Desk:
    """`with Desk(patchbay) as desk: desk.do(…)`. The home must have been migrated: start Patchbay first."""

    def __init__(self, patchbay: Patchbay) -> None:
        self.patchbay = patchbay
        self.version = 0

    def __enter__(self) -> Desk:
        self._open()
        return self

    def reopen(self) -> None:
        """A new process, after the database was away: the connection of this one has ended."""
        self._close()
        self._open()

    def _open(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.desk_worker"],
            cwd=PROJECT,
            env=self.patchbay.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def do(self, *orders: dict[str, Any]) -> list[Any]:
        """Carry out orders of `tests.desk_worker`, all or none: `{"do": "pause", "alias": "a"}`."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{orders}: {answer['error']}"
        self.version = answer["version"]
        return list(answer["results"])

    def settle(self, *, timeout: float = 10.0) -> None:
        """Wait until the server works with what was ordered."""
        deadline = time.monotonic() + timeout
        while self.patchbay.get("/health").json().get("configVersion", 0) < self.version:
            assert time.monotonic() < deadline, f"the configuration does not arrive:\n{self.patchbay.log}"
            time.sleep(0.02)


def add_backends(patchbay: Patchbay, *wanted: dict[str, Any]) -> None:
    """Backends with one account each, as the order `backend` takes them with a `key`, at work when this returns."""
    with Desk(patchbay) as desk:
        for backend in wanted:
            name, key = backend["name"], backend.pop("key")
            desk.do(
                {"do": "backend", **backend},
                {"do": "account", "alias": name, "backend": name, "credential": {"key": key}},
            )
        desk.settle()
