"""Connections kept for the next request, for one event loop, apart for each scheme, host and port.

Rule: every open connection counts until its socket is closed; a free place goes to who has waited longest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

from backends.addresses import BaseUrl
from backends.errors import ConnectTimedOut, NoAnswer, SendFailed, SendTimedOut
from backends.http1.connection import Connection
from backends.http1.dialer import Dialer
from backends.http1.exchange import Exchange
from backends.http1.request import Deadlines, Request

Key = tuple[str, str, int]
Turn = Connection | None  # a connection to use, or a place in which to open one


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Per host. `idle_seconds`: how long an unused connection is kept; many servers close after 75 s."""

    connections: int = 1000
    idle: int = 256
    idle_seconds: float = 60.0


@dataclass(slots=True)
class _Host:
    open: int = 0  # connections, in use or idle or being opened
    idle: list[Connection] = field(default_factory=list)  # oldest first
    waiting: deque[asyncio.Future[Turn]] = field(default_factory=deque)


class ConnectionPool:
    """`send()` is all a caller needs. Belongs to the event loop it was made in."""

    def __init__(self, dialer: Dialer | None = None, limits: PoolLimits | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer or Dialer(self._loop)
        self._limits = limits or PoolLimits()
        self._hosts: dict[Key, _Host] = {}
        self._connections: set[Connection] = set()
        self._swept_at = self._loop.time()

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def idle_connections(self) -> int:
        return sum(len(host.idle) for host in self._hosts.values())

    async def send(self, base: BaseUrl, request: Request, deadlines: Deadlines) -> Exchange:
        """Returns when the final response headers are in. Raises UpstreamError.

        A kept connection that turns out to be closed by the upstream is no failure of the request: it is sent
        once more, on a new connection, and the exchange says so (`resent`).
        """
        began = self._loop.time()
        connection = await self._checkout(base, deadlines.connect, fresh=False)
        exchange = connection.start(request, deadlines)
        exchange.connect_seconds = self._loop.time() - began
        try:
            await exchange.answered()
        except (NoAnswer, SendFailed) as error:
            if not exchange.reused or exchange.touched or isinstance(error, SendTimedOut):
                raise
        else:
            return exchange
        began = self._loop.time()
        connection = await self._checkout(base, deadlines.connect, fresh=True)
        exchange = connection.start(request, deadlines)
        exchange.connect_seconds = self._loop.time() - began
        exchange.resent = True
        await exchange.answered()
        return exchange

    def close(self) -> None:
        """Close every connection, also those in use. The event loop needs a turn or two to do it."""
        for connection in list(self._connections):
            connection.abort()

    # What a connection reports.

    def connection_free(self, connection: Connection) -> None:
        host = self._host_of(connection)
        if waiter := _next_waiter(host):
            waiter.set_result(connection)
            return
        if len(host.idle) >= self._limits.idle:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        host.idle.append(connection)
        self._sweep()

    def connection_gone(self, connection: Connection) -> None:
        if connection not in self._connections:
            return  # the attempt to open it failed or was cancelled, and freed the place itself
        self._connections.discard(connection)
        host = self._host_of(connection)
        if connection in host.idle:
            host.idle.remove(connection)
        self._free_place(host)

    # Steps.

    async def _checkout(self, base: BaseUrl, seconds: float, *, fresh: bool) -> Connection:
        key = (base.scheme, base.host, base.port)
        host = self._hosts.setdefault(key, _Host())
        if not fresh and (kept := self._kept(host)):
            return kept
        until = self._loop.time() + seconds
        if (
            host.open >= self._limits.connections and not fresh
        ):  # a second sending follows one that has just ended
            turn = await self._turn(host, base, until)
            if turn is not None:
                return turn
        else:
            host.open += 1
        return await self._opened(host, key, base, until)

    async def _opened(self, host: _Host, key: Key, base: BaseUrl, until: float) -> Connection:
        peer = f"{base.host}:{base.port}"
        try:
            connection = await self._dialer.dial(base, lambda: Connection(self._loop, self, peer, key), until)
        except BaseException:
            self._free_place(host)
            raise
        self._connections.add(connection)
        if connection.lost:
            self.connection_gone(connection)
        return connection

    def _kept(self, host: _Host) -> Connection | None:
        """The connection used last: the one least likely to be closed by the other side meanwhile."""
        while host.idle:
            connection = host.idle.pop()
            if (
                not connection.closed
                and connection.idle_since > self._loop.time() - self._limits.idle_seconds
            ):
                return connection
            connection.abort()
        return None

    async def _turn(self, host: _Host, base: BaseUrl, until: float) -> Turn:
        waiter: asyncio.Future[Turn] = self._loop.create_future()
        host.waiting.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except TimeoutError:
            self._give_back(host, waiter)
        except BaseException:
            self._give_back(host, waiter)
            raise
        raise ConnectTimedOut(
            f"All {self._limits.connections} connections to {base.host}:{base.port} stayed in use. "
            "Check whether that server is overloaded."
        )

    def _give_back(self, host: _Host, waiter: asyncio.Future[Turn]) -> None:
        """The waiter leaves; what it was handed in the same moment goes on to the next one."""
        if waiter.cancelled() or not waiter.done():
            waiter.cancel()
            with contextlib.suppress(ValueError):
                host.waiting.remove(waiter)
            return
        turn = waiter.result()
        if turn is None:
            self._free_place(host)
        elif not turn.closed:
            self.connection_free(turn)

    def _free_place(self, host: _Host) -> None:
        if waiter := _next_waiter(host):
            waiter.set_result(None)
        else:
            host.open -= 1

    def _host_of(self, connection: Connection) -> _Host:
        return self._hosts.setdefault(connection.key, _Host())

    def _sweep(self) -> None:
        """Now and then, when a connection comes back: close what was idle too long, forget unused hosts."""
        now = self._loop.time()
        if now - self._swept_at < self._limits.idle_seconds:
            return
        self._swept_at = now
        for key, host in list(self._hosts.items()):
            for connection in [one for one in host.idle if now - one.idle_since > self._limits.idle_seconds]:
                connection.abort()
            if not host.open and not host.waiting:
                del self._hosts[key]


def _next_waiter(host: _Host) -> asyncio.Future[Turn] | None:
    while host.waiting:
        waiter = host.waiting.popleft()
        if not waiter.done():
            return waiter
    return None
