"""`backup` beside a working server, `restore` in its place, and every reason not to."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.services import ServiceError
from router_site.archive import MANIFEST, Manifest, member_of, write_archive
from router_site.backup import make_backup
from router_site.home import ensure_home, read_or_create_secret
from router_site.home_lock import home_alone
from router_site.restore import Restored, restore
from tests.patchbay import Patchbay

# The databases of a home are files that nobody connects to here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Overriding setting DATABASES"),
    pytest.mark.sqlite("backup and restore copy its files; PostgreSQL is backed up by pg_dump"),
]
BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def backends(home: Path) -> set[str]:
    return {name for (name,) in ask(home / "config.sqlite3", "SELECT name FROM backends_backend")}


def ask(database: Path, statement: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement).fetchall()


@contextmanager
def load(patchbay: Patchbay) -> Iterator[list[int]]:
    """Requests, one after the other, from two clients until the end of the block: their statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            statuses.append(patchbay.post("/v1/messages", BODY).status)

    clients = [threading.Thread(target=ask_on) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        over.set()
        for client in clients:
            client.join()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Patchbay, Path]:
    """A stopped server whose backup, made under load, knows a backend `kept` with a key; it is called `later` since."""
    directory = tmp_path_factory.mktemp("backup")
    archive = directory / "under-load.tar.gz"
    with Patchbay(flags=("--demo",), home=directory / "home") as patchbay:
        words = ("backend", "add", "kept", "--base-url", "http://127.0.0.1:9/v1", "--key-stdin")
        patchbay.manage(*words, stdin="sk-canary-of-kept\n")
        with load(patchbay) as statuses:
            done = patchbay.manage("backup", str(archive))
        assert "does not hold the master secret" in done.stderr
        assert set(statuses) == {200}
        refused = patchbay.manage("restore", str(archive), "--yes", check=False)
        assert (refused.returncode, "Stop it first" in refused.stderr) == (1, True)
    ask(patchbay.home / "config.sqlite3", "UPDATE backends_backend SET name = 'later'")
    return patchbay, archive


@pytest.fixture
def home(saved: tuple[Patchbay, Path], tmp_path: Path, settings: Any) -> Path:
    """A copy of that server's home, to do anything to; the settings are those of a command that works on it."""
    return work_on(shutil.copytree(saved[0].home, tmp_path / "home"), settings)


def work_on(home: Path, settings: Any) -> Path:
    ensure_home(home)
    settings.PATCHBAY_HOME, settings.MASTER_SECRETS = home, read_or_create_secret(home)
    names = {"default": "config.sqlite3", "history": "history.sqlite3"}
    settings.DATABASES = {a: {**settings.DATABASES[a], "NAME": str(home / name)} for a, name in names.items()}
    return home


@pytest.fixture
def archive(saved: tuple[Patchbay, Path]) -> Path:
    return saved[1]


def put_back(archive: Path, *, any_secret: bool = False) -> Restored:
    done = restore(archive, lambda manifest, old: True, any_secret=any_secret)
    assert done is not None
    return done


def changes_nothing(home: Path, archive: Path, told: str) -> None:
    before = sorted(path.name for path in home.iterdir())
    with pytest.raises(ServiceError) as caught:
        put_back(archive)
    assert told in str(caught.value)
    assert sorted(path.name for path in home.iterdir() if path.name != "server.lock") == [
        name for name in before if name != "server.lock"
    ]
    assert backends(home) == {"later"}


def test_a_backup_is_one_private_file_without_secrets(home: Path, archive: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    with tarfile.open(archive) as tar:
        assert tar.getnames() == [MANIFEST, "config.sqlite3", "history.sqlite3"]
        everything = b"".join(file.read() for name in tar.getnames() if (file := tar.extractfile(name)))
    assert (home / "secrets" / "secret_key").read_bytes().strip() not in everything
    assert b"sk-canary" not in everything
    assert not list(archive.parent.glob(".*"))
    with pytest.raises(ServiceError, match="exists"):
        make_backup(archive)


def test_restoring_replaces_all_and_keeps_what_was_there(
    saved: tuple[Patchbay, Path], tmp_path: Path
) -> None:
    patchbay = Patchbay(home=shutil.copytree(saved[0].home, tmp_path / "home"), flags=("--demo",))
    asked = patchbay.manage("restore", str(saved[1]), check=False)
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    assert backends(patchbay.home) == {"later"}
    patchbay.manage("restore", str(saved[1]), "--yes")
    assert backends(patchbay.home) == {"kept"}
    [kept] = patchbay.home.glob("replaced-*")
    assert backends(kept) == {"later"}
    with patchbay:
        assert patchbay.post("/v1/messages", BODY).status == 200


def test_nothing_is_replaced_when_nobody_says_yes(home: Path, archive: Path) -> None:
    asked: list[list[Path]] = []
    assert restore(archive, lambda manifest, old: asked.append(old) is not None, any_secret=False) is None
    assert asked == [[home / "config.sqlite3", home / "history.sqlite3"]]
    assert backends(home) == {"later"}


def test_history_stays_where_the_backup_has_none(home: Path, tmp_path: Path) -> None:
    only = make_backup(tmp_path / "config.tar.gz", with_history=False).path
    before = (home / "history.sqlite3").read_bytes()
    put_back(only)
    assert (home / "history.sqlite3").read_bytes() == before


def test_a_log_that_was_left_behind_is_not_applied_to_the_new_database(home: Path, archive: Path) -> None:
    with closing(sqlite3.connect(home / "config.sqlite3")) as holder:
        holder.execute("PRAGMA journal_mode=WAL")
        holder.execute("UPDATE backends_backend SET name = 'in-the-log'")
        holder.commit()
        with pytest.raises(ServiceError, match="Another program has"):
            put_back(archive)
        for suffix in ("", "-wal"):  # as a crash leaves them
            shutil.copy(home / f"config.sqlite3{suffix}", home / f"crashed{suffix}")
    for suffix in ("", "-wal"):
        (home / f"crashed{suffix}").replace(home / f"config.sqlite3{suffix}")
    kept = put_back(archive).kept
    assert backends(home) == {"kept"}
    assert kept is not None
    assert backends(kept) == {"in-the-log"}


def test_a_broken_database_can_be_replaced(home: Path, archive: Path) -> None:
    (home / "config.sqlite3").write_bytes(b"this is no database" * 500)
    (home / "config.sqlite3-wal").write_bytes(b"nor is this its log")
    kept = put_back(archive).kept
    assert backends(home) == {"kept"}
    assert kept is not None
    assert {path.name for path in kept.iterdir()} == {
        "config.sqlite3",
        "config.sqlite3-wal",
        "history.sqlite3",
    }


def changed(archive: Path, target: Path, change: Callable[[Manifest], Manifest], statement: str = "") -> Path:
    """The archive with another manifest, and a statement run on its configuration."""
    with tarfile.open(archive) as tar:
        tar.extractall(target.parent / "unpacked", filter="data")
    unpacked = target.parent / "unpacked"
    if statement:
        with closing(sqlite3.connect(unpacked / "config.sqlite3")) as connection:
            connection.execute(statement)
            connection.commit()
    manifest = msgspec.json.decode((unpacked / MANIFEST).read_bytes(), type=Manifest)
    files = {name: unpacked / name for name in manifest.members}
    members = {name: member_of(path) for name, path in files.items()}
    write_archive(target, change(msgspec.structs.replace(manifest, members=members)), files)
    return target


NEWER = "INSERT INTO django_migrations (app, name, applied) VALUES ('accounts', '9999_next', '2027-01-01')"


@pytest.mark.parametrize(
    ("statement", "version", "told"),
    [("", "99.0.0", "made by Patchbay 99.0.0"), (NEWER, "0.0.1", "newer Patchbay (accounts.9999_next)")],
)
def test_a_newer_backup_changes_nothing(
    home: Path, archive: Path, tmp_path: Path, statement: str, version: str, told: str
) -> None:
    def other(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(manifest, patchbay=version)

    changes_nothing(home, changed(archive, tmp_path / "newer.tar.gz", other, statement), told)


def test_a_damaged_database_inside_changes_nothing(home: Path, archive: Path, tmp_path: Path) -> None:
    broken = changed(
        archive, tmp_path / "broken.tar.gz", lambda manifest: manifest, "DROP TABLE django_migrations"
    )
    changes_nothing(home, broken, "config.sqlite3 in the backup is damaged")


def test_a_damaged_backup_changes_nothing(home: Path, archive: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(archive.read_bytes()[:-2000])
    changes_nothing(home, torn, "damaged")
    changes_nothing(home, tmp_path / "absent.tar.gz", "cannot be read")


def test_on_another_machine_the_secret_is_asked_for_or_comes_along(
    home: Path, archive: Path, tmp_path: Path, settings: Any
) -> None:
    with_secret = make_backup(tmp_path / "all.tar.gz", with_secret=True).path
    right = settings.MASTER_SECRETS
    other = work_on(tmp_path / "other", settings)
    [fresh] = settings.MASTER_SECRETS
    with pytest.raises(ServiceError, match="master secret is not the one of the backup"):
        put_back(archive)
    assert not (other / "config.sqlite3").exists()
    assert put_back(with_secret).kept is None
    secret = other / "secrets" / "secret_key"
    assert secret.read_text().splitlines() == [*right, fresh]  # it opens both what came and what was there
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_secret_that_was_rotated_since_still_counts(home: Path, archive: Path, settings: Any) -> None:
    settings.MASTER_SECRETS = ["a-newer-one", *settings.MASTER_SECRETS]
    put_back(archive)
    assert backends(home) == {"kept"}


def test_any_secret_restores_what_cannot_be_opened(archive: Path, tmp_path: Path, settings: Any) -> None:
    other = work_on(tmp_path / "other", settings)
    put_back(archive, any_secret=True)
    assert backends(other) == {"kept"}


def test_a_server_does_not_start_while_files_are_replaced(home: Path) -> None:
    with home_alone(home):
        done = Patchbay(home=home).manage("runproxy", check=False)
    assert (done.returncode, "being replaced" in done.stderr) == (1, True)


def test_postgresql_has_its_own_backups(home: Path, tmp_path: Path, settings: Any) -> None:
    server = {"ENGINE": "django.db.backends.postgresql", "HOST": "db.internal", "PORT": 5433, "USER": "ann"}
    history = {**server, "NAME": "a b", "PASSWORD": "canary-password"}
    settings.DATABASES = {**settings.DATABASES, "history": history}
    command = "pg_dump --format=custom --file=history.dump --host=db.internal --port=5433 --username=ann '--dbname=a b'"
    with pytest.raises(ServiceError) as caught:
        make_backup(tmp_path)
    assert command in str(caught.value)
    assert "canary" not in str(caught.value)
    assert make_backup(tmp_path, with_history=False).path.exists()
    with pytest.raises(ServiceError, match="use pg_restore"):
        put_back(tmp_path)
