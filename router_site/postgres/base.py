"""Django's PostgreSQL, whose threads outlive the server: a connection that broke is opened anew at its next use.

Django looks after its connections at the end of an HTTP request. Ours are used by threads that know no requests, for
as long as the process runs: without this, a restart of the database would leave them with a dead one for ever.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Whatever was under way when the connection broke fails, once; a transaction fails as a whole."""

    def _cursor(self, name: str | None = None) -> Any:
        connection = self.connection
        if connection is not None and connection.closed and not self.in_atomic_block:
            self.close()
        return super()._cursor(name)  # type: ignore[misc]  # Django's stubs leave it out
