"""A management command at a real terminal: a process whose standard streams are a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType

from tests.patchbay import PROJECT

SECONDS = 30.0


class Terminal:
    """`with Terminal(environment, "login") as terminal: terminal.expect("…"); terminal.type("y")`."""

    def __init__(self, environment: Mapping[str, str], *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.shown = ""
        self._read_to = 0
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env={**environment, "TERM": "dumb", "COLUMNS": "400"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def expect(self, text: str) -> None:
        """Wait until `text` is shown after what was expected last."""
        deadline = time.monotonic() + SECONDS
        while (at := self.shown.find(text, self._read_to)) < 0:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{text!r} was not shown; shown was:\n{self.shown}")
        self._read_to = at + len(text)

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self._ours, f"{line}\n".encode())

    def end(self) -> int:
        """Everything that is still shown, then the exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(SECONDS)

    def _read(self, seconds: float) -> bool:
        """Read on; False at the end, or when there was nothing for so long."""
        readable, _, _ = select.select([self._ours], [], [], max(0.0, seconds))
        if not readable:
            return False
        try:
            chunk = os.read(self._ours, 65536)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.shown += chunk.decode(errors="replace")
        return bool(chunk)
