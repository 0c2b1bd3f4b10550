"""The bench's end of its two helpers: the load generator and the mock upstream."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench import proc
from bench.jobs import Ask, Job, Load, LoadResult, Rounds, RoundsResult
from bench.process import Cores, Launch, Process

PROJECT = Path(__file__).resolve().parent.parent
MOCK_SECONDS = 15.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_mock(cores: Cores, logs: Path) -> tuple[Process, int]:
    """The simulated provider, ready, and its port."""
    port = free_port()
    options = ["--uvloop", "--port", str(port), "--entries", "50", "--body-cap", "0"]
    command = [sys.executable, "-m", "backends.simulator", *options]
    process = Process(Launch(command, folder=PROJECT), core=cores.mock, log=logs / "mock.log")
    deadline = time.monotonic() + MOCK_SECONDS
    while time.monotonic() < deadline and not process.has_ended:
        try:
            ask_once(port, Ask())
        except OSError:
            time.sleep(0.02)
        else:
            return process, port
    process.stop()
    raise SystemExit(f"The mock upstream did not start: {process.last_words()}")


def ask_once(port: int, ask: Ask, headers: dict[str, str] | None = None, timeout: float = 30.0) -> bytes:
    """One request on a connection of its own; the body of a 200. Raises OSError otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(
            "POST", ask.path, ask.body(), {"content-type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as exc:
        raise OSError(str(exc)) from exc
    finally:
        connection.close()
    if response.status != 200:
        raise ConnectionError(f"status {response.status}: {body[:300].decode('utf-8', 'replace')}")
    return body


def expected(port: int, ask: Ask) -> Ask:
    """`ask` with the text that the upstream itself answers to it, in its own language."""
    if ask.stream:
        return ask
    text = json.loads(ask_once(port, msgspec.structs.replace(ask, speaks="chat")))["choices"][0]["message"][
        "content"
    ]
    return msgspec.structs.replace(ask, text=text)


@dataclass(frozen=True, slots=True)
class Run:
    """A finished load: what the clients saw, and how busy the helpers' cores were (1.0 = one core)."""

    result: LoadResult
    helpers_busy: float


class LoadGenerator:
    """The load generator's process."""

    def __init__(self, cores: Cores, mock: Process) -> None:
        self._mock = mock
        self._core = cores.load
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=partial(os.sched_setaffinity, 0, {cores.load}),
        )

    def unpin(self) -> None:
        """Let it run on every core that this process may use."""
        os.sched_setaffinity(self._popen.pid, os.sched_getaffinity(0))

    def pin(self) -> None:
        """Back to the core it was started on."""
        os.sched_setaffinity(self._popen.pid, {self._core})

    def load(self, job: Load, at_start: Callable[[], None]) -> Run:
        """Run a load; `at_start` is called after the warm-up."""
        self._make_ready(job)
        busy = self._helpers_cpu()
        at_start()
        result = msgspec.json.decode(self._go(), type=LoadResult)
        busy = self._helpers_cpu() - busy
        return Run(result, busy / result.wall if result.wall else 0.0)

    def rounds(self, job: Rounds) -> RoundsResult:
        """Run interleaved rounds."""
        self._make_ready(job)
        return msgspec.json.decode(self._go(), type=RoundsResult)

    def stop(self) -> None:
        """End the process."""
        self._popen.communicate()

    def _make_ready(self, job: Job) -> None:
        self._write(msgspec.json.encode(job).decode())
        self._read()

    def _go(self) -> str:
        self._write("go")
        return self._read()

    def _write(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def _read(self) -> str:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise SystemExit("The load generator ended unexpectedly; its message is above.")
        return line

    def _helpers_cpu(self) -> float:
        return self._mock.cpu_seconds() + proc.cpu_seconds(self._popen.pid)
