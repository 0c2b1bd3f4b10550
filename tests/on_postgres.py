"""The suite on PostgreSQL and Redis (`make test-postgres`): one server of each for a run, databases for every home.

Rule: the process that starts the run starts the servers and says where they are in its environment; the processes of
pytest-xdist find them there. On SQLite nothing here does anything.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import subprocess
import sys
import threading
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

WANTED = "PATCHBAY_TESTS_ON"
_PORTS = "TESTS_ON_POSTGRES"  # "PostgreSQL's port:Redis's port"
_KINDS = {"DATABASE_URL": "config", "HISTORY_DATABASE_URL": "history"}
_REDIS_DATABASES = 65_536
_OF_A_PROCESS = 1024
_PROJECT = Path(__file__).resolve().parent.parent

_homes: dict[Path, dict[str, str]] = {}
_numbers = count(1)
_making = threading.Lock()  # two servers may start at once on one home


def is_on() -> bool:
    """Whether this run is on PostgreSQL and Redis."""
    return _PORTS in os.environ


def open_run(wanted: str) -> None:
    """Start the servers unless another process of this run has, and point Django at databases of its own there."""
    for name in (*_KINDS, "REDIS_URL"):
        os.environ.pop(name, None)
    if not is_on():
        if not wanted:
            return
        if wanted != "postgres":
            sys.exit(f"{WANTED} must be postgres or unset, not {wanted!r}.")
        _start_servers()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    for name, kind in _KINDS.items():
        os.environ[name] = _url(f"run_{kind}")
        own = f"test_run_{kind}_{worker}" if worker else f"test_run_{kind}"  # as pytest-django calls it
        _ask(f"CREATE DATABASE {own} TEMPLATE migrated_{kind}")


def settings_were_read(config: Any) -> None:
    """Processes that a test starts do not get the databases of the test's own process. Those are there already."""
    for name in _KINDS:
        os.environ.pop(name, None)
    if is_on():
        config.option.reuse_db = True


def _start_servers() -> None:
    from tests.postgres_server import PostgresServer, binaries
    from tests.redis_server import RedisServer

    found = binaries()
    if found is None:
        sys.exit(
            f"{WANTED}=postgres needs PostgreSQL's programs and psycopg: apt-get install postgresql (or name the "
            "directory of initdb in POSTGRES_BIN), and pip install -r requirements-postgres.txt."
        )
    postgres, redis = PostgresServer(found), RedisServer(databases=_REDIS_DATABASES)
    atexit.register(postgres.remove)
    postgres.start()
    atexit.register(redis.kill)
    redis.start()
    os.environ[_PORTS] = f"{postgres.port}:{redis.port}"
    for kind in _KINDS.values():
        _ask(f"CREATE DATABASE migrated_{kind}")
    _migrate()


def _migrate() -> None:
    """What every home's databases are copied from."""
    urls = {name: _url(f"migrated_{kind}") for name, kind in _KINDS.items()}
    for alias in ("default", "history"):
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--database", alias, "--verbosity", "0"],
            cwd=_PROJECT,
            env={**os.environ, **urls},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def home_settings(home: Path, *, is_blank: bool = False, like: Path | None = None) -> dict[str, str]:
    """Databases and a Redis for this home alone, as settings, made at the first call.

    The databases are empty if `is_blank`, copied from another home if one is given, else just migrated.
    """
    if not is_on():
        return {}
    home = home.absolute()
    with _making:
        if home not in _homes:
            _homes[home] = _made(home, is_blank, like)
        return _homes[home]


def _made(home: Path, is_blank: bool, like: Path | None) -> dict[str, str]:
    for kind in _KINDS.values():
        source = f"migrated_{kind}" if like is None else _name(like.absolute(), kind)
        _ask(f"CREATE DATABASE {_name(home, kind)}{'' if is_blank else f' TEMPLATE {source}'}")
    urls = {name: _url(_name(home, kind)) for name, kind in _KINDS.items()}
    return {**urls, "REDIS_URL": f"redis://127.0.0.1:{_port(1)}/{_redis_number()}"}


def table(
    database: str, statement: str, values: tuple[object, ...] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """One statement on the database of this URL: names of columns, and rows. `?` stands for a value, as in SQLite."""
    with closing(_connect(database)) as connection:
        cursor = connection.execute(statement.replace("%", "%%").replace("?", "%s"), values)
        names = [column.name for column in cursor.description or ()]
        return names, cursor.fetchall() if names else []


def drop_homes() -> None:
    """Drop the databases that no process uses any more. A home that serves on keeps its own."""
    import psycopg

    for home in list(_homes):
        try:
            for kind in _KINDS.values():
                _ask(f"DROP DATABASE IF EXISTS {_name(home, kind)}")
            del _homes[home]
        except psycopg.errors.ObjectInUse:
            continue


def _name(home: Path, kind: str) -> str:
    return f"home_{hashlib.sha256(str(home).encode()).hexdigest()[:16]}_{kind}"


def _port(which: int) -> str:
    return os.environ[_PORTS].split(":")[which]


def _url(name: str) -> str:
    return f"postgres://patchbay@127.0.0.1:{_port(0)}/{name}"


def _redis_number() -> int:
    """Another for each home: every process of the run has numbers of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return worker * _OF_A_PROCESS + next(_numbers) % _OF_A_PROCESS


def _connect(url: str) -> Any:
    import psycopg

    return psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True, connect_timeout=20)


def _ask(statement: str) -> None:
    table(_url("postgres"), statement)
