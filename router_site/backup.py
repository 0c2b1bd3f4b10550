"""`backup`: a copy of the databases as they are at one moment, while servers go on.

SQLite's online backup (https://www.sqlite.org/backup.html) copies in one step: the copy is what one read transaction
sees, and in WAL mode writers do not wait for it.
"""

from __future__ import annotations

import shlex
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from backends.services import ServiceError
from router_site.archive import (
    DATABASES,
    FORMAT,
    SECRET,
    ArchiveError,
    Manifest,
    member_of,
    write_archive,
)
from router_site.master_secrets import fingerprint, write_secrets


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup."""

    path: Path
    manifest: Manifest

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.path.stat().st_size


def default_name(moment: datetime) -> str:
    """`patchbay-20261122T153000Z.tar.gz`."""
    return f"patchbay-{moment:%Y%m%dT%H%M%SZ}.tar.gz"


def make_backup(
    path: Path | None, *, with_history: bool = True, with_secret: bool = False, version: str | None = None
) -> Backup:
    """Write an archive to `path`, a new file, or under a name of its own into a directory (default: the current one).

    `version`: whose data they are, if not this one's; "" for some version before it.
    Raises ServiceError for databases that are not SQLite, and when something cannot be read or written.
    """
    aliases = ["default", "history"] if with_history else ["default"]
    if hint := dump_hint(aliases):
        raise ServiceError(hint)
    now = datetime.now(UTC)
    target = (path or Path()).expanduser().absolute()
    target = target / default_name(now) if target.is_dir() else target
    if target.exists():
        raise ServiceError(f"{target} exists. Choose another name, or remove it first.")
    try:
        with tempfile.TemporaryDirectory(prefix=".patchbay-", dir=target.parent) as draft:
            files, migrations = _copies(Path(draft), aliases, with_secret)
            whose = settings.VERSION if version is None else version
            return _write(target, files, migrations, whose, now)
    except ArchiveError as exc:
        raise ServiceError(str(exc)) from exc
    except OSError as exc:
        place = exc.filename or target
        raise ServiceError(f"{place} cannot be used ({exc.strerror}). Choose another place.") from exc


def _copies(
    draft: Path, aliases: Sequence[str], with_secret: bool
) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The members by name, and the migrations that were applied."""
    files, migrations = {}, {}
    for alias in aliases:
        files[DATABASES[alias]] = copy = draft / DATABASES[alias]
        migrations[alias] = _copy(database_path(alias), copy)
    if with_secret:
        files[SECRET] = draft / SECRET
        write_secrets(files[SECRET], settings.MASTER_SECRETS)
    return files, migrations


def _write(
    target: Path, files: dict[str, Path], migrations: dict[str, list[str]], version: str, now: datetime
) -> Backup:
    manifest = Manifest(
        FORMAT,
        version,
        f"{now:%Y-%m-%dT%H:%M:%SZ}",
        {name: member_of(path) for name, path in files.items()},
        migrations,
        [fingerprint(secret) for secret in settings.MASTER_SECRETS],
    )
    write_archive(target, manifest, files)
    return Backup(target, manifest)


def _copy(source: Path, target: Path) -> list[str]:
    """Copy a database, check the copy, and return the migrations that made it."""
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=10)) as from_,
            closing(sqlite3.connect(target)) as to,
        ):
            from_.backup(to)
            to.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            check_whole(to, source)
            return applied_migrations(to)
    except sqlite3.Error as exc:
        raise ServiceError(
            f"{source} cannot be copied ({exc}). `doctor` says what is wrong with it."
        ) from exc


def check_whole(database: sqlite3.Connection, what: Path) -> None:
    """Raises sqlite3.DatabaseError for a damaged database."""
    [(said,)] = database.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise sqlite3.DatabaseError(f"{what.name}: {said}")


def applied_migrations(database: sqlite3.Connection) -> list[str]:
    """`app.name` of each, sorted."""
    rows = database.execute("SELECT app, name FROM django_migrations ORDER BY app, name")
    return [f"{app}.{name}" for app, name in rows]


def database_path(alias: str) -> Path:
    """The file of a SQLite database."""
    return Path(settings.DATABASES[alias]["NAME"]).absolute()


def is_sqlite(alias: str) -> bool:
    """Whether a database is a file."""
    return bool(settings.DATABASES[alias]["ENGINE"].endswith("sqlite3"))


def dump_hint(aliases: Sequence[str]) -> str:
    """What to run instead when a database is no file; "" when all are."""
    others = [alias for alias in aliases if not is_sqlite(alias)]
    if not others:
        return ""
    commands = "; ".join(_pg_dump(alias, settings.DATABASES[alias]) for alias in others)
    return f"{' and '.join(others)}: PostgreSQL has its own backups. Run: {commands}"


def _pg_dump(alias: str, database: dict[str, Any]) -> str:
    """Without the password: pg_dump asks for it, or reads ~/.pgpass."""
    words = ["pg_dump", "--format=custom", f"--file={'config' if alias == 'default' else alias}.dump"]
    options = (("HOST", "--host"), ("PORT", "--port"), ("USER", "--username"), ("NAME", "--dbname"))
    words += [f"{option}={database[name]}" for name, option in options if database.get(name)]
    return shlex.join(words)
