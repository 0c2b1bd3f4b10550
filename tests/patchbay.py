"""A real Patchbay for the tests: `manage.py runproxy` as a process, with a home of its own."""

from __future__ import annotations

import atexit
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from tests import on_postgres

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 40.0
RUN_DIRECTORY = "TESTS_DIRECTORY"  # set by tests.isolation: where all processes of a run find the same files


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def migrated_databases() -> tuple[Path, ...]:
    """The databases of a home right after `migrate`, made once a run: migrating costs as much as a start."""
    home = Path(os.environ.get(RUN_DIRECTORY) or _own_directory()) / "migrated"
    home.mkdir(mode=0o700, exist_ok=True)
    with (home / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the run may be at it
        if not (home / "done").exists():
            _migrate(home)
            (home / "done").touch()
    return tuple(home.glob("*.sqlite3"))


def _own_directory() -> str:
    home = tempfile.mkdtemp(prefix="patchbay-migrated-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


def _migrate(home: Path) -> None:
    both = (
        "import django; django.setup(); from django.core.management import call_command\n"
        "for alias in ('default', 'history'): call_command('migrate', database=alias, verbosity=0)"
    )
    settings = {"PATCHBAY_HOME": str(home), "DJANGO_SETTINGS_MODULE": "router_site.settings"}
    done = subprocess.run(
        [sys.executable, "-c", both],
        cwd=PROJECT,
        env={**os.environ, **settings},
        umask=0o077,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def copy_home(source: Path, target: Path) -> None:
    """The same once more, databases included. Nobody may be using it."""
    shutil.copytree(source, target)
    on_postgres.home_settings(target, like=source)


@dataclass
class Patchbay:
    """`with Patchbay() as patchbay: …`. `settings` become environment variables, `flags` follow `runproxy`.

    An empty home gets migrated databases, unless it `is_blank`: then the first command or start makes them itself.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="patchbay-")))
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    is_blank: bool = False

    def __enter__(self) -> Patchbay:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL without a version."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything the server has printed so far, both streams."""
        path = self.home / "server.log"
        return path.read_text() if path.exists() else ""

    @property
    def environment(self) -> dict[str, str]:
        """For the server and for every command."""
        own = {"PATCHBAY_HOME": str(self.home), "PATCHBAY_PORT": str(self.port), "NO_COLOR": "1"}
        servers = on_postgres.home_settings(self.home, is_blank=self.is_blank)
        return {**os.environ, "PYTHONWARNINGS": "default", **own, **servers, **self.settings}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.furnish()
        with (self.home / "server.log").open("ab") as log:
            command = [sys.executable, "manage.py", "runproxy", *self.flags]
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"runproxy ended with {self.process.returncode}:\n{self.log}")
            try:
                if self.get("/livez").status == 200 and self._has_joined():
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"runproxy did not answer within {START_SECONDS} s:\n{self.log}")

    def _has_joined(self) -> bool:
        """On PostgreSQL and Redis: whether the pool's state is shared already, which a server does not wait for."""
        is_told = on_postgres.is_on() and "REDIS_URL" not in self.settings
        return not is_told or b"REDIS_URL" not in self.get("/health").body

    def furnish(self) -> None:
        """Make the home, with migrated databases where it has none."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.is_blank or on_postgres.is_on():
            return
        if "DATABASE_URL" in self.settings or any(self.home.glob("*.sqlite3")):
            return
        for database in migrated_databases():
            shutil.copy(database, self.home)

    def stop(self, *, timeout: float = 20.0) -> int:
        """SIGTERM, wait, return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"runproxy did not stop:\n{self.log}") from None

    def manage(self, *words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a management command on this home. With `check`, its exit code must be 0."""
        self.furnish()
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{words} exited {done.returncode}: {done.stderr}{done.stdout}")
        return done

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, whatever the status."""
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        """POST `body` (bytes as they are, all else as JSON), whatever the status."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path, data, {"content-type": "application/json", **(headers or {})})

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def resume_all(self, *, timeout: float = 10.0) -> None:
        """What `accounts resume` does, for every account at once and without a process; waits until it counts."""
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        self.sql("config", "UPDATE accounts_account SET resumed_at = ?, is_paused = ?", moment, False)
        self.sql("config", "UPDATE backends_configversion SET number = number + 1")
        [(version,)] = self.sql("config", "SELECT number FROM backends_configversion")
        deadline = time.monotonic() + timeout
        while self.get("/health").json().get("configVersion", 0) < version:
            assert time.monotonic() < deadline, f"the server does not follow its configuration:\n{self.log}"
            time.sleep(0.02)

    def sql(self, kind: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """One statement by hand on the `config` or the `history` database; `?` stands for a value."""
        return self.table(kind, statement, *values)[1]

    def table(self, kind: str, statement: str, *values: object) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The same: the names of the columns, and the rows."""
        if on_postgres.is_on():
            name = "DATABASE_URL" if kind == "config" else "HISTORY_DATABASE_URL"
            return on_postgres.table(self.environment[name], statement, values)
        with closing(sqlite3.connect(self.home / f"{kind}.sqlite3", timeout=5)) as database, database:
            cursor = database.execute(statement, values)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

    def dump(self, kind: str) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """Every table of a database and all its rows."""
        listing = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if on_postgres.is_on():
            listing = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for (table,) in self.sql(kind, listing):
            with suppress(sqlite3.OperationalError):  # an index of texts has no rows to show
                yield table, self.sql(kind, f'SELECT * FROM "{table}"')

    def history(self, count: int = 1, *, timeout: float = 10.0) -> list[dict[str, Any]]:
        """All history rows, oldest first, once there are at least `count`."""
        deadline = time.monotonic() + timeout
        while True:
            lines = self.manage("history", "--json", "--limit", "1000").stdout.splitlines()
            if len(lines) >= count or time.monotonic() > deadline:
                return [json.loads(line) for line in lines]
            time.sleep(0.1)
