"""Several processes behind one port: `runproxy --workers N`.

The first process migrates, binds the port and keeps the workers going; each worker is a whole server on the inherited
socket, and they agree on the pool over Redis. A worker that ends by itself is started again. Signals are passed on, so
a drain is a drain of all; workers whose first process is gone drain by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

from router_site.board import Board
from router_site.crowd import ABSENT, Crowd

logger = logging.getLogger("patchbay.workers")
LISTEN_FD, LIFELINE_FD, NUMBER = "PATCHBAY_LISTEN_FD", "PATCHBAY_LIFELINE_FD", "PATCHBAY_WORKER"
CROWD_FD, COUNT = "PATCHBAY_CROWD_FD", "PATCHBAY_WORKER_COUNT"
GREETS = "PATCHBAY_WORKER_GREETS"
SHORT_LIFE_SECONDS = 10.0  # who ends sooner has not served: a fault that starting again will not cure …
MOST_SHORT_LIVES = 5  # … if it happens so many times in a row
PAUSE_SECONDS = 0.1
REFUSED = 2  # the exit code of a start that the configuration does not allow


def is_first() -> bool:
    """Whether this is the first of the workers, or the only process."""
    return os.environ.get(NUMBER, "1") == "1"


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker was given. `number` counts from 1; `greets`: it tells the terminal what to do next."""

    listener: socket.socket
    lifeline: int
    crowd: Crowd
    board: Board
    number: int
    greets: bool

    @classmethod
    def from_environment(cls) -> Place | None:
        """This process's place among the workers; None for a server of one process, and for the first process."""
        if LISTEN_FD not in os.environ:
            return None
        listener = socket.socket(fileno=int(os.environ[LISTEN_FD]))
        listener.setblocking(False)
        number, greets = int(os.environ[NUMBER]), os.environ.get(GREETS) == "1"
        memory = int(os.environ[CROWD_FD])
        crowd = Crowd(memory, int(os.environ[COUNT]))
        board = Board(memory, crowd, number)
        return cls(listener, int(os.environ[LIFELINE_FD]), crowd, board, number, greets)

    def watch_lifeline(self) -> None:
        """Drain when the first process is gone: nobody would pass a signal on any more. In the server's loop."""
        asyncio.get_running_loop().add_reader(self.lifeline, self._orphaned)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self.lifeline)
        logger.error("The first process is gone; this worker drains.")
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)


class Workers:
    """The first process's work. `command`: how this program was started."""

    def __init__(self, count: int, listener: socket.socket, command: list[str]) -> None:
        self._count, self._listener, self._command = count, listener, command
        self._workers: dict[int, _Worker] = {}
        self._short_lives = 0
        self._signals = 0
        self._is_starting = False  # a process, which needs the open port
        self._codes: list[int] = []
        self._crowd, self._crowd_fd = Crowd.make(count)
        self._lifeline, self._held = os.pipe()  # the writing end closes with this process, and only then

    def run(self) -> int:
        """Until a signal, and until every worker has ended. Returns the exit code: 0 after a drain."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop_all)
        for number in range(1, self._count + 1):
            self._start(number, greets=number == 1)
        while self._workers:
            time.sleep(PAUSE_SECONDS)  # a signal is handled meanwhile; who has ended is noticed after it
            for worker in [w for w in self._workers.values() if w.process.poll() is not None]:
                self._ended(worker)
        return max(self._codes, default=0)

    def _start(self, number: int, *, greets: bool = False) -> None:
        self._is_starting = True
        process = None if self._signals else self._process(number, greets=greets)
        self._is_starting = False
        if process is not None:
            self._workers[number] = _Worker(number, process)
        if self._signals:  # one came meanwhile: the port was left open, and this worker was not told
            self._listener.close()
            if process is not None:
                process.send_signal(signal.SIGTERM)

    def _process(self, number: int, *, greets: bool) -> subprocess.Popen[bytes]:
        own = {
            LISTEN_FD: str(self._listener.fileno()),
            LIFELINE_FD: str(self._lifeline),
            CROWD_FD: str(self._crowd_fd),
            COUNT: str(self._count),
            NUMBER: str(number),
            GREETS: "1" if greets else "0",
        }
        return subprocess.Popen(
            [sys.executable, *self._command],
            env={**os.environ, **own},
            pass_fds=(self._listener.fileno(), self._lifeline, self._crowd_fd),
            start_new_session=True,  # Ctrl-C in a terminal is for the first process alone
        )

    def _ended(self, worker: _Worker) -> None:
        del self._workers[worker.number]
        self._crowd.say(worker.number, ABSENT)
        code = worker.process.returncode
        if self._signals or code == REFUSED:
            is_drained = code == -signal.SIGTERM  # the signal came before it served anybody
            self._codes.append(0 if is_drained else code if code >= 0 else 1)
            if not self._signals:
                self._stop_all()
            return
        logger.error("Worker %d ended (%d); it is started again.", worker.number, code)
        is_short = time.monotonic() - worker.began < SHORT_LIFE_SECONDS
        self._short_lives = self._short_lives + 1 if is_short else 0
        if self._short_lives >= MOST_SHORT_LIVES:
            logger.error("Workers keep ending as soon as they start; giving up. The lines above say why.")
            self._codes.append(1)
            self._stop_all()
            return
        self._start(worker.number)

    def _stop_all(self, *_: object) -> None:
        """The first signal drains the workers, the second ends them now, as with one process."""
        self._signals += 1
        if not self._is_starting:
            self._listener.close()  # else clients would go on being connected, and wait for nobody
        for worker in list(self._workers.values()):
            worker.process.send_signal(signal.SIGTERM)
