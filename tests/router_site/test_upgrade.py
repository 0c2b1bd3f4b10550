"""Homes of older versions under today's code: they start, two at once, and lose nothing; a failure changes nothing."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.patchbay import PROJECT, Patchbay
from tests.promises.load import CHAT, assert_sums_agree, assert_whole, eventually, rows
from tests.servers import SimulatorThread

pytestmark = pytest.mark.sqlite("a home of an older version is files")
OLDER = PROJECT / "tests" / "data" / "upgrade"
PORT = 28417  # of the provider, in the stored base URLs
HISTORY_AGE = {"PATCHBAY_HISTORY_DAYS": "36500"}  # the old rows are of a certain day
FAST = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}
CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def older(request: pytest.FixtureRequest) -> Path:
    return OLDER / str(getattr(request, "param", "before-pool"))


class AtItsPort(SimulatorThread):
    """The provider where it was: a stored key is for one address, and is not sent to another."""

    def __enter__(self) -> SimulatorThread:
        self._thread.start()
        self._call(self.simulator.start(listener=socket.create_server(("127.0.0.1", PORT))))
        return self


@pytest.fixture
def upstream() -> Iterator[SimulatorThread]:
    with AtItsPort() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, older: Path) -> Path:
    """What the older version left."""
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True, mode=0o700)
    shutil.copy(older / "secret_key.txt", home / "secrets" / "secret_key")
    (home / "secrets" / "secret_key").chmod(0o600)
    for name in ("config", "history"):
        with closing(sqlite3.connect(home / f"{name}.sqlite3")) as database:
            database.executescript((older / f"{name}.sql").read_text())
        (home / f"{name}.sqlite3").chmod(0o600)
    return home


def change(home: Path, statement: str, name: str = "config") -> None:
    with closing(sqlite3.connect(home / f"{name}.sqlite3")) as database, database:
        database.execute(statement)


def dump(home: Path, names: tuple[str, ...] = ("config", "history")) -> list[list[str]]:
    found = []
    for name in names:
        with closing(sqlite3.connect(home / f"{name}.sqlite3")) as database:
            found.append(list(database.iterdump()))
    return found


def copies(home: Path) -> list[Path]:
    return sorted((home / "backups").glob("before-*.tar.gz"))


def refused_start(patchbay: Patchbay) -> str:
    """What a start says that is refused: where the copy is, and one line."""
    done = subprocess.run(
        [sys.executable, "manage.py", "runproxy"],
        cwd=PROJECT,
        env=patchbay.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    *before, line = done.stderr.splitlines()
    assert all("as it was before" in other for other in before), done.stderr
    return line


@pytest.mark.parametrize("older", ["before-pool", "before-ledger"], indirect=True)
def test_two_starts_at_once_migrate_once_and_serve_what_was_there(
    home: Path, older: Path, upstream: SimulatorThread
) -> None:
    old_ids = {id_ for (id_,) in rows(home / "history.sqlite3", "SELECT id FROM analytics_requestrecord")}
    key = (older / "client_key.txt").read_text().strip()
    servers = [Patchbay(HISTORY_AGE, home=home), Patchbay(HISTORY_AGE, home=home)]
    try:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda server: server.start(), servers))
        for server in servers:
            assert server.post(CHAT, FAST, {"authorization": f"Bearer {key}"}).status == 200
            assert server.post("/v1/messages", CLAUDE, {"x-api-key": key}).status == 200
            assert server.post(CHAT, FAST, {"authorization": f"Bearer {key}x"}).status == 401
            assert server.get("/health").json()["status"] == "ok"
        seen = {entry.key for entry in upstream.journal.entries}
        assert "sk-upgrade-anthropic-0001" in seen
        assert seen & {"sk-upgrade-openai-0001", "sk-upgrade-openai-0002"}
        assert len(seen - {None}) <= 3
        eventually(lambda: server_rows(home) == len(old_ids) + 6, servers[0])
        eventually(lambda: summed(home) == server_rows(home), servers[0])
        assert len(copies(home)) == 1
    finally:
        assert [server.stop() for server in servers] == [0, 0]
    assert_history_reads(servers[0], old_ids)


def assert_history_reads(patchbay: Patchbay, old_ids: set[str]) -> None:
    assert_whole(patchbay.home)
    assert_sums_agree(patchbay.home)
    told = [json.loads(line) for line in patchbay.manage("history", "--json").stdout.splitlines()]
    assert old_ids < {row["id"] for row in told}
    usage = patchbay.manage("usage", "--minutes", "500000", "--json").stdout
    assert json.loads(usage)


def server_rows(home: Path) -> int:
    return int(rows(home / "history.sqlite3", "SELECT COUNT(*) FROM analytics_requestrecord")[0][0])


def summed(home: Path) -> int:
    return int(rows(home / "history.sqlite3", "SELECT SUM(requests) FROM analytics_usageday")[0][0] or 0)


def test_the_copy_is_private_and_restores_the_state_before(home: Path) -> None:
    patchbay = Patchbay(HISTORY_AGE, home=home)
    before = dump(home, ("config",))
    patchbay.manage("accounts", "pause", "openai")
    [copy] = copies(home)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    with tarfile.open(copy) as archive, closing(sqlite3.connect(":memory:")) as database:
        member = archive.extractfile("config.sqlite3")
        assert member is not None
        assert "history.sqlite3" not in archive.getnames()
        database.deserialize(member.read())
        assert [list(database.iterdump())] == before
    patchbay.manage("restore", str(copy), "--yes")
    assert dump(home, ("config",)) == before


NEWER = "INSERT INTO django_migrations (app, name, applied) VALUES ('{app}', '9999_next', '2027-01-01')"
OLD_CODE = """
import sys, django
from pathlib import Path
django.setup()
from django.conf import settings
from router_site.restore import restore
settings.VERSION = "0.0.9"  # the version before, as it will be when this one is released
print(restore(Path(sys.argv[1]), lambda *_: True, any_secret=False))
"""


def test_the_version_before_takes_the_copy_and_the_history(home: Path) -> None:
    patchbay = Patchbay(HISTORY_AGE, home=home)
    before = dump(home, ("config",))
    patchbay.manage("accounts", "pause", "openai")
    [copy] = copies(home)
    change(home, NEWER.format(app="accounts"), "history")  # a newer version notes it there too
    environment = {**patchbay.environment, "DJANGO_SETTINGS_MODULE": "router_site.settings"}
    command = [sys.executable, "-c", OLD_CODE, str(copy)]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert dump(home, ("config",)) == before
    assert patchbay.manage("accounts", "list").returncode == 0
    change(home, NEWER.format(app="analytics"), "history")
    assert "was made by a newer Patchbay (analytics.9999_next)" in refused_start(patchbay)


def test_a_migration_that_fails_changes_nothing_and_the_next_start_tries_again(home: Path) -> None:
    """A table of the last migration's name is in the way, so that all before it had worked."""
    change(home, "CREATE TABLE backends_priceoverride (mine TEXT)")
    before, patchbay = dump(home), Patchbay(HISTORY_AGE, home=home)
    (home / "backups").mkdir(mode=0o700)
    for number in range(3):
        (home / "backups" / f"before-0.0.{number}.tar.gz").touch()
    line = refused_start(patchbay)
    assert "cannot be brought up to this version" in line
    assert "backends_priceoverride" in line
    assert "Start the version before" in line
    assert dump(home) == before
    assert len(copies(home)) == 3  # the oldest has gone
    change(home, "DROP TABLE backends_priceoverride")
    with patchbay:
        assert patchbay.get("/health").status == 200


def test_without_a_copy_nothing_is_migrated(home: Path) -> None:
    (home / "backups").write_text("in the way")
    before = dump(home)
    assert "a copy of it cannot be made" in refused_start(Patchbay(HISTORY_AGE, home=home))
    assert dump(home) == before


def test_a_new_home_needs_no_copy(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "new", is_blank=True)
    patchbay.manage("accounts", "list")
    assert not (patchbay.home / "backups").exists()
