"""A real PostgreSQL for the tests: this machine's binaries (or those in `POSTGRES_BIN`), in a directory of its own.

It refuses to run as root, so a test run of root starts it as `nobody`. Nothing is synced to the disk.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.patchbay import free_port

START_SECONDS = 20.0


def binaries() -> Path | None:
    """The directory of `initdb` and `postgres`; None where PostgreSQL or its driver is not installed."""
    if find_spec("psycopg") is None:
        return None
    found = shutil.which("initdb")
    places = [os.environ.get("POSTGRES_BIN"), found and str(Path(found).parent)]
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    every = [*(Path(place) for place in places if place), *versions]
    return next((place for place in every if (place / "initdb").exists()), None)


class PostgresServer:
    """One server. After `stop()` (or `kill()`), `start()` brings the same data back on the same port."""

    def __init__(self, bin_: Path) -> None:
        self._bin = bin_
        self.port = free_port()
        self._home = Path(tempfile.mkdtemp(prefix="patchbay-postgres-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            found = pwd.getpwnam(self._user)
            os.chown(self._home, found.pw_uid, found.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "patchbay", "-E", "UTF8", "--locale=C", "-N")

    def url(self, database: str) -> str:
        """A URL for DATABASE_URL."""
        return f"postgres://patchbay@127.0.0.1:{self.port}/{database}"

    def settings(self, name: str) -> dict[str, str]:
        """Two new empty databases, as settings."""
        urls = {}
        for setting, kind in (("DATABASE_URL", "config"), ("HISTORY_DATABASE_URL", "history")):
            self.ask(f"CREATE DATABASE {name}_{kind}")
            urls[setting] = self.url(f"{name}_{kind}")
        return urls

    def start(self) -> None:
        """Returns once it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._home),
            "fsync": "off",
            "max_connections": "500",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._bin / "postgres"), "-D", "data", "-p", str(self.port), *words]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._home,
                user=self._user,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, (self._home / "log").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """One statement by hand, and its rows."""
        import psycopg

        url = self.url(database).replace("postgres://", "postgresql://")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """At once, as after a loss of power: connections break, and the data is recovered at the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._bin / program), *words]
        done = subprocess.run(
            command, cwd=self._home, user=self._user, capture_output=True, text=True, env=_environment()
        )
        assert done.returncode == 0, done.stderr


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "TZ": "UTC"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests of a module; skips them where there is no PostgreSQL."""
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL or psycopg is not installed (pip install -r requirements-postgres.txt)")
    server = PostgresServer(found)
    server.start()
    yield server
    server.remove()
