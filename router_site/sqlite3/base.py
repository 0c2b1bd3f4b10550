"""Django's SQLite, whose connections can be opened while another process writes.

That a file gives free pages back must be said before it has tables. Said again by every connection, as an init command
would, it asks for the write lock each time: then no page and no command could read while the lock is held.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    """A file that does not exist yet, or is empty, is made so that it can shrink step by step."""

    def get_new_connection(self, conn_params: Mapping[str, Any]) -> Any:
        """As Django's, after the file was made."""
        name = str(conn_params["database"])
        if not name.startswith((":memory:", "file:")) and _is_blank(Path(name)):
            _make(name, float(conn_params.get("timeout", 5)))
        return super().get_new_connection(conn_params)


def _make(name: str, timeout: float) -> None:
    connection = sqlite3.connect(name, timeout=timeout)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")  # writes the first page
    finally:
        connection.close()


def _is_blank(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return True
