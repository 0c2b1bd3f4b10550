"""The simulated provider as a server: one listening socket, its connections, its journal and script queue."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Collection, Iterable
from typing import Any

from backends.simulator.catalogue import Model
from backends.simulator.connection import Connection
from backends.simulator.control import Control
from backends.simulator.cues import ScriptQueue
from backends.simulator.journal import Journal
from backends.simulator.logins import Logins
from backends.simulator.oauth import OAuth, is_oauth
from backends.simulator.service import Service

_BACKLOG = 1024


class Simulator:
    """A provider on a TCP port, for one event loop.

    demo: only the demo models, words spaced in time, no control endpoints, no OAuth, a small journal without bodies.
    keys: credentials that are accepted; None accepts any and none. Access tokens are accepted while they are good.
    models: names or `Model`s to list; known_only: refuse others with 404 (default: in demo mode).
    gap: seconds between the content events of a stream; prefixes: accepted before the paths.
    """

    def __init__(
        self,
        *,
        demo: bool = False,
        keys: Collection[str] | None = None,
        models: Iterable[str | Model] | None = None,
        known_only: bool | None = None,
        gap: float | None = None,
        prefixes: Collection[str] = ("/v1", ""),
        journal: Journal | None = None,
        control: bool | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.logins = Logins()
        self.service = Service(
            demo=demo, keys=keys, models=models, known_only=known_only, gap=gap, logins=self.logins
        )
        self.queue = ScriptQueue()
        self.oauth = None if demo else OAuth(self.logins, self.queue, lambda: self.url)
        if journal is None:
            journal = Journal(limit=100, body_cap=0) if demo else Journal()
        self.journal = journal
        controlled = not demo if control is None else control
        self.control = Control(self.queue, self.journal, self.logins) if controlled else None
        self._prefixes = sorted(prefixes, key=len, reverse=True)
        self._ssl = ssl_context
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """Base URL without a version, e.g. `http://127.0.0.1:4100`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._ssl else 'http'}://{host}:{self.port}"

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, listener: socket.socket | None = None
    ) -> None:
        """Listen; port 0 takes a free one. Raises OSError if the address is taken.

        `listener`: a socket that listens already, for a caller who must know the port before the loop turns.
        """
        loop = asyncio.get_running_loop()
        where: dict[str, Any] = {"sock": listener} if listener else {"host": host, "port": port}
        self._server = await loop.create_server(self._accept, **where, ssl=self._ssl, backlog=_BACKLOG)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Close the listening socket and drop every connection. The journal stays; `start` works again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.abort()
        if self._connections:
            await self.journal.wait_idle()

    def script(self, scripts: Iterable[str], *, key: str | None = None, path: str | None = None) -> None:
        """Queue scripts for the next requests (of this key or OAuth login, to this path below the version)."""
        self.queue.add(scripts, key=key, path=path)

    def reset(self) -> None:
        """Forget queued scripts and the journal's entries. OAuth logins stay."""
        self.queue.clear()
        self.journal.clear()

    def canonical(self, path: str) -> str | None:
        """The path below the version prefix, None if it has none of the accepted prefixes; OAuth has no version."""
        if is_oauth(path):
            return path
        for prefix in self._prefixes:
            if path.startswith(prefix + "/"):
                return path[len(prefix) :]
        return None

    def _accept(self) -> Connection:
        self.journal.connections += 1
        return Connection(self, self.journal.connections)

    def joined(self, connection: Connection) -> None:
        """A connection is open."""
        self._connections.add(connection)
        self.journal.open_connections += 1

    def left(self, connection: Connection) -> None:
        """A connection is closed."""
        self._connections.discard(connection)
        self.journal.open_connections -= 1
        self.journal.changed()
