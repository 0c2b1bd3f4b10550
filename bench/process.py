"""A program that the bench started: pinned to cores, its output in a file, ended with all its children."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import proc

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores run what: the subject has one to itself wherever there are two."""

    subject: int
    mock: int
    load: int

    @classmethod
    def choose(cls) -> Cores:
        """From the cores this process may use."""
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[1 % len(free)], free[-1])

    @property
    def others(self) -> set[int]:
        """Where mock and load generator run."""
        return {self.mock, self.load}


_PERSONAL = ("PATCHBAY_", "LITELLM_", "DJANGO_", "DATABASE_", "HISTORY_DATABASE_", "REDIS_")


def plain_environment() -> dict[str, str]:
    """This process's environment without settings and keys that would lead a subject to the user's own data."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PERSONAL) and not name.endswith(("_API_KEY", "_PROXY", "_proxy"))
    }


@dataclass(frozen=True, slots=True)
class Launch:
    """How a subject is started."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class Process:
    """A running `Launch`. The launch's environment lies over a plain one. `core` None: any core."""

    def __init__(self, launch: Launch, *, core: int | None, log: Path) -> None:
        self.log = log
        self._core = core
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                launch.command,
                cwd=launch.folder,
                env={**plain_environment(), **launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=None if core is None else partial(os.sched_setaffinity, 0, {core}),
            )

    @property
    def pid(self) -> int:
        """Of the root of the tree."""
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether the root has exited."""
        return self._popen.poll() is not None

    def unpin(self) -> None:
        """Let it run on every core that this process may use."""
        os.sched_setaffinity(self.pid, os.sched_getaffinity(0))

    def pin(self) -> None:
        """Back to the core it was started on."""
        if self._core is not None:
            os.sched_setaffinity(self.pid, {self._core})

    def cpu_seconds(self) -> float:
        """CPU time of the whole tree so far."""
        return proc.cpu_seconds(self.pid)

    def resident_mb(self) -> float:
        """Resident memory of the whole tree, in MB (10^6 bytes)."""
        return proc.resident_bytes(self.pid) / 1e6

    def last_words(self, lines: int = 3) -> str:
        """The end of its output, on one line."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())[:300]

    def stop(self) -> None:
        """Ask it to end; after a while end it and what it left behind."""
        group = self.pid
        if not self.has_ended:
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._popen.wait()
