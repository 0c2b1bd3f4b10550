"""`restore`: put a backup in the place of the databases, or change nothing at all.

Everything is unpacked beside its place and checked first. Then each file is renamed into place, which happens wholly
or not; what was there is kept aside. A crash between two renames leaves a home that works, and restoring again
finishes it: the secrets are only ever added to, and the configuration comes last.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path

from django.conf import settings

from backends.migrating import OUR_APPS, known_migrations
from backends.private_files import new_file, sync_directory
from backends.services import ServiceError
from router_site import master_secrets
from router_site.archive import (
    DATABASES,
    MEMBERS,
    SECRET,
    ArchiveError,
    Manifest,
    read_archive,
)
from router_site.backup import applied_migrations, check_whole, database_path, is_sqlite
from router_site.home import HomeError, read_secret
from router_site.home_lock import home_alone

_SEALED = (
    "SELECT sealed_secret FROM accounts_account WHERE sealed_secret <> ''"
    " UNION ALL SELECT sealed_access FROM accounts_oauthtoken"
    " UNION ALL SELECT sealed_refresh FROM accounts_oauthtoken WHERE sealed_refresh <> ''"
)
_WITHOUT_OAUTH = (
    "SELECT sealed_secret FROM accounts_account WHERE sealed_secret <> ''"  # of the first versions
)
WRONG_SECRET = (
    "This home's master secret is not the one of the backup: it cannot open the stored keys, and client keys would"
    " not be known. Put the secret that was kept with the backup first into {path} (or into PATCHBAY_SECRET_KEY), or"
    " give --any-secret to restore all the same and set the keys again."
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. `kept`: where the replaced files are; None when there were none."""

    manifest: Manifest
    kept: Path | None


def restore(
    archive: Path, may_replace: Callable[[Manifest, list[Path]], bool], *, any_secret: bool
) -> Restored | None:
    """Check `archive` and put its files in place; None when `may_replace` said no to what would be replaced.

    Raises ServiceError: a server runs on this home, the archive is damaged or newer, the master secret is another.
    """
    if not all(is_sqlite(alias) for alias in DATABASES):
        raise ServiceError("Only SQLite files are restored here. For PostgreSQL, use pg_restore.")
    try:
        with home_alone(settings.PATCHBAY_HOME), _staging() as staged:
            manifest = read_archive(archive.expanduser(), staged)
            _check(manifest, staged, any_secret)
            old = [path for name in manifest.members if name != SECRET and (path := _place(name)).exists()]
            if old and not may_replace(manifest, old):
                return None
            return Restored(manifest, _replace(manifest, staged))
    except (ArchiveError, HomeError) as exc:
        raise ServiceError(str(exc)) from exc
    except OSError as exc:
        raise ServiceError(
            f"{exc.filename or archive} cannot be used ({exc.strerror}). Check its disk and rights."
        ) from exc


def _place(member: str) -> Path:
    """Where a member belongs."""
    alias = next((alias for alias, name in DATABASES.items() if name == member), None)
    return master_secrets.secret_path() if alias is None else database_path(alias)


@contextmanager
def _staging() -> Iterator[dict[str, Path]]:
    """A new name beside each member's place, on its own disk, gone afterwards."""
    mark = f"{os.getpid()}.{secrets.token_hex(4)}"
    staged = {name: (place := _place(name)).with_name(f".{place.name}.{mark}") for name in MEMBERS}
    try:
        yield staged
    finally:
        for path in staged.values():
            for suffix in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)


# --- checking -----------------------------------------------------------------------------------------------------


def _check(manifest: Manifest, staged: dict[str, Path], any_secret: bool) -> None:
    if _numbers(manifest.patchbay) > _numbers(settings.VERSION):
        raise ServiceError(
            f"The backup was made by Patchbay {manifest.patchbay}, and this is {settings.VERSION}. Use that version."
        )
    known = {f"{app}.{name}" for app, name in known_migrations()}
    for alias, name in DATABASES.items():
        if name in manifest.members:
            _check_database(staged[name], alias, known)
    if not any_secret:
        _check_secret(manifest, staged)


def _check_database(path: Path, alias: str, known: set[str]) -> None:
    try:
        with closing(sqlite3.connect(path)) as database:
            check_whole(database, path)
            applied = applied_migrations(database)
    except sqlite3.Error as exc:
        raise ServiceError(
            f"{DATABASES[alias]} in the backup is damaged ({exc}). Use another backup."
        ) from exc
    if newer := [name for name in applied if name.partition(".")[0] in OUR_APPS and name not in known]:
        raise ServiceError(f"The backup was made by a newer Patchbay ({', '.join(newer)}). Use that version.")


def _check_secret(manifest: Manifest, staged: dict[str, Path]) -> None:
    """The newest secret of the backup is known here or comes with it, and every stored key opens."""
    masters = _secrets_after(manifest, staged)
    cipher = master_secrets.cipher_of(masters)
    is_known = set(manifest.secrets[:1]) <= {master_secrets.fingerprint(secret) for secret in masters}
    if not is_known or not all(master_secrets.opens(cipher, sealed) for sealed in _sealed(staged)):
        raise ServiceError(WRONG_SECRET.format(path=master_secrets.secret_path()))


def _secrets_after(manifest: Manifest, staged: dict[str, Path]) -> list[str]:
    """The master secrets in force once this is restored: those of the archive before those of this home."""
    here: list[str] = settings.MASTER_SECRETS
    if SECRET not in manifest.members or master_secrets.are_given():
        return here
    return list(dict.fromkeys([*read_secret(staged[SECRET]), *here]))


def _sealed(staged: dict[str, Path]) -> list[str]:
    with closing(sqlite3.connect(staged[DATABASES["default"]])) as database:
        try:
            return [sealed for (sealed,) in database.execute(_SEALED)]
        except sqlite3.OperationalError:
            return [sealed for (sealed,) in database.execute(_WITHOUT_OAUTH)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


# --- replacing ----------------------------------------------------------------------------------------------------


def _replace(manifest: Manifest, staged: dict[str, Path]) -> Path | None:
    kept: Path = (
        settings.PATCHBAY_HOME / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    )
    kept.mkdir(mode=0o700)
    try:
        names = [name for name in (DATABASES["history"], DATABASES["default"]) if name in manifest.members]
        for name in names:
            _free_of_log(_place(name), kept)
        if SECRET in manifest.members and not master_secrets.are_given():
            master_secrets.write_secrets(_place(SECRET), _secrets_after(manifest, staged))
        for name in names:
            _keep(_place(name), kept)
            staged[name].replace(_place(name))
            sync_directory(_place(name).parent)
    finally:
        with suppress(OSError):
            kept.rmdir()  # where nothing was replaced
    return kept if kept.exists() else None


def _keep(path: Path, kept: Path) -> None:
    """Put the old file under its name into `kept`, and leave it in its place until the new one takes that."""
    if not path.exists():
        return
    try:
        os.link(path, kept / path.name)
    except OSError:  # another disk
        _copy(path, kept / path.name)
    sync_directory(kept)


def _copy(source: Path, target: Path) -> None:
    with new_file(target) as to, source.open("rb") as from_:
        shutil.copyfileobj(from_, to)


def _free_of_log(place: Path, kept: Path) -> None:
    """Fold the old database's write-ahead log into it: left behind, SQLite would apply it to the new one.

    Raises ServiceError while another program has the database open. A damaged one is kept with its log.
    """
    logs = [log for suffix in ("-wal", "-shm") if (log := place.with_name(place.name + suffix)).exists()]
    for log in logs:  # first of all: SQLite deletes the log of what it takes for no database
        _copy(log, kept / log.name)
    state = _fold(place) if place.exists() else Log.DAMAGED
    if state is not Log.DAMAGED:
        for log in logs:
            (kept / log.name).unlink()
    if state is Log.IN_USE:
        raise ServiceError(f"Another program has {place} open. Stop it first, then try again.")
    for log in logs:
        log.unlink(missing_ok=True)


class Log(Enum):
    """What became of a write-ahead log."""

    FOLDED = auto()
    IN_USE = auto()
    DAMAGED = auto()


def _fold(place: Path) -> Log:
    """Only who has a database for himself can leave WAL mode, which folds the log in."""
    try:
        with closing(sqlite3.connect(place, timeout=1)) as database:
            [(mode,)] = database.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.OperationalError as exc:
        return Log.IN_USE if "locked" in str(exc) else Log.DAMAGED
    except sqlite3.DatabaseError:
        return Log.DAMAGED
    return Log.FOLDED if mode == "delete" else Log.IN_USE
