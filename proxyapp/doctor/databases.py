"""The databases: whether they can be read, are whole, and fit this version."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from django.apps import apps
from django.db import DatabaseError, connections
from django.db.migrations.loader import MigrationLoader

from backends.checks import sqlite_version
from proxyapp.doctor.findings import Finding, fail, from_messages, ok, warn

CHECK_SECONDS = 5.0
_STEPS = 100_000  # of SQLite's machine, between two looks at the clock
_OURS = ("router_site", "proxyapp", "analytics", "accounts", "backends")
RESTORE = "Stop Patchbay and restore the newest backup that passes (docs/operations.md)."


def database_findings() -> list[Finding]:
    """Every database, and the library under them."""
    found = [finding for alias in connections for finding in _look_at(alias)]
    return found + from_messages("sqlite", sqlite_version(), f"SQLite {sqlite3.sqlite_version}")


def are_usable(findings: list[Finding]) -> bool:
    """Whether the tables can be read: no database fails or waits for its migrations."""
    return all(finding.level.value == "ok" for finding in findings if finding.check in connections)


def _look_at(alias: str) -> list[Finding]:
    connection = connections[alias]
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        if not path.exists():
            return [warn(alias, f"{path} does not exist yet.", "The first command or `runproxy` makes it.")]
        if (fault := sqlite_fault(path)) is not None:
            return [fail(alias, f"{path}: {fault}.", RESTORE)]
    try:
        return [_migrations(alias)]
    except DatabaseError as exc:
        return [
            fail(
                alias,
                f"It cannot be used: {str(exc).strip()}.",
                "Check its address, its disk and its rights.",
            )
        ]


def sqlite_fault(path: Path, seconds: float = CHECK_SECONDS) -> str | None:
    """What SQLite's quick check finds wrong with a file; None when nothing was found in this time."""
    until = time.monotonic() + seconds
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=seconds)
        try:
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            [(said,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError as exc:
        return None if "interrupted" in str(exc) else str(exc)
    except sqlite3.DatabaseError as exc:
        return str(exc)
    return None if said == "ok" else str(said)


def _migrations(alias: str) -> Finding:
    loader = MigrationLoader(connections[alias])
    applied, known = set(loader.applied_migrations), set(loader.disk_migrations or ())
    newer = [f"{app}.{name}" for app, name in sorted(applied - known) if app in _OURS]
    if newer:
        return fail(
            alias,
            f"It was made by a newer Patchbay ({', '.join(newer)}).",
            "Start that version, or restore the backup that belongs to this one.",
        )
    labels = {config.label for config in apps.get_app_configs()}
    pending = [key for key in known - applied if key[0] in labels]
    if pending:
        return warn(
            alias,
            f"{len(pending)} migrations are missing.",
            "`runproxy`, or any other command, applies them.",
        )
    return ok(alias, "whole, and as this version needs it")
