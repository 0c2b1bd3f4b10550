"""Bringing the databases up to date, once, however many processes start at the same moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, router, transaction
from django.db.migrations.recorder import MigrationRecorder

from backends.services import ServiceError

LOCK_FILE = "migrate.lock"
LOCK_NUMBER = (
    0x5061_7463_684D  # of PostgreSQL's advisory lock: any number that nobody else uses in this database
)
OUR_APPS = {"backends", "accounts", "analytics"}
_TAKEN_BACK = "What was begun was taken back. Start the version before again."
_HALFWAY = "What was applied by then stays. See to the cause and start this version again."


def migrate_if_needed() -> bool:
    """Apply what is missing in any database; True if anything was. One process works, the others wait for it.

    Raises ServiceError for a database that cannot be read or that a newer Patchbay has changed, for one database given
    for both, and when a migration fails: SQLite's files are then as they were.
    """
    _check_apart()
    for alias in connections:
        _check_readable(alias)
    if not any(_is_pending(alias) for alias in connections):
        return False
    with _one_at_a_time():
        _migrate([alias for alias in connections if _is_pending(alias)])
    return True


def _migrate(aliases: list[str]) -> None:
    """All migrations of all files or none; on PostgreSQL each by itself."""
    before = [_applied(alias) for alias in aliases]
    try:
        with ExitStack() as held:
            for alias in aliases:
                if connections[alias].vendor == "sqlite":
                    held.enter_context(_all_or_nothing(alias))
            for alias in aliases:
                call_command("migrate", database=alias, verbosity=0, interactive=False, skip_checks=True)
    except ServiceError:
        raise
    except Exception as exc:  # whatever a migration stumbles over
        raise ServiceError(
            f"The databases cannot be brought up to this version ({_briefly(exc)})."
            f" {_TAKEN_BACK if _are_as(before, aliases) else _HALFWAY}"
            " `python manage.py doctor` and the maintainers can tell more."
        ) from exc


@contextmanager
def _all_or_nothing(alias: str) -> Iterator[None]:
    """One transaction. SQLite makes a table anew to change it, for which its foreign keys must not be watched.

    That they hold is checked by each migration; watching begins again after the transaction.
    """
    connection = connections[alias]
    connection.disable_constraint_checking()
    try:
        with transaction.atomic(using=alias):
            yield
    finally:
        connection.enable_constraint_checking()


def _applied(alias: str) -> set[tuple[str, str]]:
    return set(MigrationRecorder(connections[alias]).applied_migrations())


def _are_as(before: list[set[tuple[str, str]]], aliases: list[str]) -> bool:
    """False also where a database cannot be asked any more."""
    try:
        return before == [_applied(alias) for alias in aliases]
    except DatabaseError:
        return False


def _check_apart() -> None:
    """Each notes its own migrations: in one database for both, half of the tables would never be made."""
    places = {alias: connections[alias].settings_dict for alias in connections}
    named = {str([place.get(part) for part in ("HOST", "PORT", "NAME")]) for place in places.values()}
    if len(named) < len(places):
        raise ServiceError(
            "DATABASE_URL and HISTORY_DATABASE_URL name the same database. Give the history one of its own."
        )


def _check_readable(alias: str) -> None:
    """Nothing is ever made over a damaged file. The configuration is small, so every page of it is looked at."""
    try:
        with connections[alias].cursor() as cursor:
            is_file = connections[alias].vendor == "sqlite"
            cursor.execute("PRAGMA quick_check(1)" if is_file and alias == DEFAULT_DB_ALIAS else "SELECT 1")
            found = cursor.fetchone()[0]
            MigrationRecorder(connections[alias]).applied_migrations()
    except DatabaseError as exc:
        found = _briefly(exc)
    if found not in (1, "ok"):
        name = connections[alias].settings_dict["NAME"]
        raise ServiceError(
            f"The database {name} cannot be used ({found}). Nothing was changed. If it is damaged, restore a backup"
            " with `python manage.py restore ARCHIVE`, or move the history's file away to begin a new one; if it cannot"
            " be reached, see to that and start again."
        )


def _briefly(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0]


def _is_pending(alias: str) -> bool:
    """Whether a database lacks migrations that this code needs.

    Compares names only. Django's own executor would import every migration to find out, at each start.
    """
    applied = _applied(alias)
    known = set(known_migrations())
    here = {app for app in OUR_APPS if router.allow_migrate(alias, app)}  # the others change nothing in it
    if newer := sorted(f"{app}.{name}" for app, name in applied - known if app in here):
        raise ServiceError(
            f"The database {alias} was made by a newer Patchbay ({', '.join(newer)})."
            " Start that version, or restore the backup that belongs to this one."
        )
    return bool(known - applied)


def known_migrations() -> Iterator[tuple[str, str]]:
    """(app, name) of every migration that comes with the installed apps."""
    for config in apps.get_app_configs():
        for path in (Path(config.path) / "migrations").glob("[!_]*.py"):
            yield config.label, path.stem


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Alone on this home, and in every PostgreSQL database, which several machines may bring up to date."""
    handle = os.open(settings.PATCHBAY_HOME / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with ExitStack() as held:
            for alias in connections:
                if connections[alias].vendor == "postgresql":
                    held.enter_context(_alone_in(alias))
            yield
    finally:
        os.close(handle)  # releases the lock


@contextmanager
def _alone_in(alias: str) -> Iterator[None]:
    """The server frees the lock when the connection ends, so that a killed process blocks nobody.

    Who migrates takes as long as it takes, so here locks are waited for without an end.
    """
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), set_config('lock_timeout', '0', false)")
        usual = cursor.fetchone()[0]
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK_NUMBER])
    try:
        yield
    finally:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK_NUMBER])
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [usual])
