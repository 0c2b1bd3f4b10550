"""Django's PostgreSQL, for threads that outlive the server and wait for nobody's lock for long.

Django looks after its connections at the end of an HTTP request. Ours are used by threads that know no requests, for
as long as the process runs: without this, a restart of the database would leave them with a dead one for ever, and a
table that somebody locks (a backup that is restored, `VACUUM FULL`) would hold them without a word.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from django.db.backends.postgresql import base
from psycopg.types.string import StrDumper

LOCK_SECONDS = 5
"""As long as SQLite's."""
_opened: WeakSet[Any] = WeakSet()  # by all threads: the server logs every connection that merely breaks off


class TextDumper(StrDumper):
    """PostgreSQL takes no NUL in a text, whoever sent it: it becomes the sign for what cannot be shown.

    https://www.postgresql.org/docs/current/datatype-character.html
    """

    def dump(self, obj: str) -> Any:
        """As psycopg's."""
        return super().dump(obj.replace("\0", "\ufffd"))


class DatabaseWrapper(base.DatabaseWrapper):
    """Whatever was under way when the connection broke fails, once; a transaction fails as a whole."""

    def _cursor(self, name: str | None = None) -> Any:
        connection = self.connection
        if connection is not None and connection.closed and not self.in_atomic_block:
            self.close()
        return super()._cursor(name)  # type: ignore[misc]  # Django's stubs leave it out

    def get_new_connection(self, conn_params: Mapping[str, Any]) -> Any:
        """As Django's, closed at the latest when the process ends."""
        made = super().get_new_connection(conn_params)
        made.adapters.register_dumper(str, TextDumper)
        _opened.add(made)
        return made

    def init_connection_state(self) -> None:
        """As Django's, and no lock is waited for longer than LOCK_SECONDS; then a statement fails."""
        super().init_connection_state()
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")


@atexit.register
def _close() -> None:
    for connection in list(_opened):
        connection.close()
