"""The tests' side of `refresh_worker`: real processes over one home, one SQLite file and one simulated provider."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.simulator import TokenNote
from tests.on_postgres import home_settings
from tests.patchbay import PROJECT
from tests.servers import SimulatorThread

SECONDS = 30.0


@dataclass
class Process:
    """One order, in a process of its own."""

    office: Office
    id: int

    def _said(self, *words: str) -> dict[str, Any]:
        return self.office.wait(self.id, words)

    @property
    def pid(self) -> int:
        return int(self._said("pid")["pid"])

    def until_ready(self) -> None:
        """Wait until it stands at the gate."""
        self._said("ready")

    def result(self) -> Any:
        """What it answered. Fails when it ended without an answer."""
        said = self._said("result", "exit")
        assert "result" in said, f"the process ended with {said['exit']}: {self.office.errors}"
        return said["result"]

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.exit() == -signal.SIGKILL

    def exit(self) -> int:
        """Its exit code, negative for the signal that ended it."""
        return int(self._said("exit")["exit"])


class Office:
    """Hands out orders. `home` is the PATCHBAY_HOME of all its processes."""

    def __init__(self, home: Path, simulator: SimulatorThread) -> None:
        self.home, self.simulator = home, simulator
        self._ids = itertools.count(1)
        self._log = (home / "worker.log").open("w+")
        settings = simulator.oauth_settings("sim")
        environment = {
            **os.environ,
            "PATCHBAY_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "router_site.settings",
            **home_settings(home),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.accounts.refresh_worker"],
            cwd=PROJECT,
            env={**environment, **settings, "PATCHBAY_TEST_FAILPOINTS": "on"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._heard: dict[int, dict[str, Any]] = defaultdict(dict)
        self._news = threading.Condition()
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self, do: str, *args: Any, env: dict[str, str] | None = None, gated: bool = False, **kw: Any
    ) -> Process:
        """Begin an order."""
        process = Process(self, next(self._ids))
        self._send({"id": process.id, "do": do, "args": args, "with": kw, "env": env, "gated": gated})
        return process

    def do(self, do: str, *args: Any, **kw: Any) -> Any:
        """Have an order carried out; its answer."""
        return self.start(do, *args, **kw).result()

    def open_gate(self) -> None:
        """Let the gated processes start, all at once."""
        self._send({"open": True})

    def account(self, alias: str, **login: Any) -> str:
        """An account whose login at the provider has the name `alias`. Returns its uid."""
        return str(self.do("add", alias, self.simulator.login(alias, **login)))

    def notes(self, alias: str) -> list[TokenNote]:
        """The refreshes that reached the provider for the login of this name."""
        return [note for note in self.simulator.refreshes if note.login == alias]

    def outcomes(self, alias: str) -> list[str]:
        """What came of them."""
        return [note.outcome for note in self.notes(alias)]

    def spooled(self, uid: str) -> list[str]:
        """What lies in the spool for an account."""
        return sorted(path.name for path in (self.home / "spool").glob(f"*{uid}*"))

    @property
    def errors(self) -> str:
        """What the processes wrote on stderr, logs included."""
        return (self.home / "worker.log").read_text()[-4000:]

    def wait(self, number: int, words: tuple[str, ...]) -> dict[str, Any]:
        """What an order has said, once one of the words is among it."""
        with self._news:
            heard = self._heard[number]
            self._news.wait_for(lambda: self._has_ended or any(word in heard for word in words), SECONDS)
            assert any(word in heard for word in words), f"no {' or '.join(words)}: {self.errors}"
            return dict(heard)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            with self._news:
                self._heard[message.pop("id")].update(message)
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


@contextmanager
def open_office() -> Iterator[Office]:
    """A fresh home with its database, a simulated provider, and processes that use both."""
    with SimulatorThread() as simulator, tempfile.TemporaryDirectory(prefix="patchbay-refresh-") as home:
        office = Office(Path(home), simulator)
        try:
            office.do("migrate")
            yield office
        finally:
            office.close()
