"""Connections kept for the next request, for one event loop, apart for each scheme, host and port.

Rule: every open connection counts until its socket is closed; a free place goes to who has waited longest. Who waits
for a new connection takes one that becomes free meanwhile as well: opening takes several turns of the event loop, with
TLS several round trips. The new one then goes to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from backends.addresses import BaseUrl
from backends.errors import ConnectTimedOut, NoAnswer, SendFailed, SendTimedOut
from backends.http1.connection import Connection
from backends.http1.dialer import Dialer
from backends.http1.exchange import Exchange
from backends.http1.request import Deadlines, Request

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Per host. `connections`: half of what clients may open: one host cannot have all of them.

    `idle_seconds`: how long an unused connection is kept; many servers close after 75 s.
    """

    connections: int = 4096
    idle: int = 256
    idle_seconds: float = 60.0


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request without a connection. `dial`: one is being opened for it."""

    base: BaseUrl
    until: float  # on the loop's clock
    turn: asyncio.Future[Connection]
    dial: asyncio.Task[Connection] | None = None


@dataclass(slots=True)
class _Host:
    open: int = 0  # connections, in use or idle or being opened
    idle: list[Connection] = field(default_factory=list)  # oldest first
    waiting: deque[_Waiter] = field(default_factory=deque)  # some may have been served


class ConnectionPool:
    """`send()` is all a caller needs. Belongs to the event loop it was made in."""

    def __init__(self, dialer: Dialer | None = None, limits: PoolLimits | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer or Dialer(self._loop)
        self._limits = limits or PoolLimits()
        self._hosts: dict[Key, _Host] = {}
        self._connections: set[Connection] = set()
        self._dialling: set[_Waiter] = set()
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
        for waiter in self._dialling:
            if waiter.turn.done() and waiter.dial is not None:
                waiter.dial.cancel()  # nobody waits for it any more

    # What a connection reports.

    def connection_free(self, connection: Connection) -> None:
        host = self._host_of(connection)
        if waiter := _next_waiter(host):
            waiter.turn.set_result(connection)
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
        waiter = _Waiter(base, self._loop.time() + seconds, self._loop.create_future())
        if not fresh:
            host.waiting.append(waiter)
        # A second sending follows one that has just ended, so it needs no place.
        if fresh or host.open < self._limits.connections:
            self._dial(host, key, waiter)
        try:
            return await self._served(waiter)
        except BaseException:
            self._give_up(host, waiter)
            raise

    def _dial(self, host: _Host, key: Key, waiter: _Waiter) -> None:
        """Open a connection, in a place of its own."""
        base, peer = waiter.base, f"{waiter.base.host}:{waiter.base.port}"
        work = self._dialer.dial(base, lambda: Connection(self._loop, self, peer, key), waiter.until)
        host.open += 1
        self._dialling.add(waiter)
        waiter.dial = self._loop.create_task(work, context=contextvars.Context())
        waiter.dial.add_done_callback(partial(self._dialled, host, waiter))

    def _dialled(self, host: _Host, waiter: _Waiter, dial: asyncio.Task[Connection]) -> None:
        """To the request it was opened for; if that one is served or has left, to the next one."""
        self._dialling.discard(waiter)
        error = None if dial.cancelled() else dial.exception()
        if dial.cancelled() or error is not None:
            self._free_place(host)
            if error is not None and not waiter.turn.done():
                waiter.turn.set_exception(error)
            return
        connection = dial.result()
        self._connections.add(connection)
        if not waiter.turn.done():
            waiter.turn.set_result(connection)
            _forget_served(host)  # of a host that closes every connection nobody else would
        elif waiter.turn.cancelled():
            self._pass_on(host, connection)
        elif not connection.closed:
            self.connection_free(connection)
        if connection.lost:
            self.connection_gone(connection)

    async def _served(self, waiter: _Waiter) -> Connection:
        """The connection it is given. Opening one has its own deadlines, and errors that say more."""
        if waiter.dial is None:
            await asyncio.wait((waiter.turn,), timeout=max(0.0, waiter.until - self._loop.time()))
            if waiter.dial is None and not waiter.turn.done():
                raise ConnectTimedOut(
                    f"All {self._limits.connections} connections to {waiter.base.host}:{waiter.base.port} stayed in"
                    " use. Check whether that server is overloaded."
                )
        return await waiter.turn

    def _give_up(self, host: _Host, waiter: _Waiter) -> None:
        """The waiter leaves; what it was handed in the same moment goes on to the next one."""
        with contextlib.suppress(ValueError):
            host.waiting.remove(waiter)
        if waiter.dial is not None:
            waiter.dial.cancel()
        if not waiter.turn.done():
            waiter.turn.cancel()
        elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
            self._pass_on(host, waiter.turn.result())

    def _pass_on(self, host: _Host, connection: Connection) -> None:
        """Whoever it was meant for has left. One that has served is kept; a new one only if somebody waits."""
        if connection.served and not connection.closed:
            self.connection_free(connection)
        elif not connection.closed and (next_one := _next_waiter(host)):
            next_one.turn.set_result(connection)
        else:
            connection.abort()

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

    def _free_place(self, host: _Host) -> None:
        """Who has waited longest without a connection being opened for it may open one."""
        host.open -= 1
        waiter = next((one for one in host.waiting if one.dial is None and not one.turn.done()), None)
        if waiter is not None:
            self._dial(host, (waiter.base.scheme, waiter.base.host, waiter.base.port), waiter)

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


def _forget_served(host: _Host) -> None:
    while host.waiting and host.waiting[0].turn.done():
        host.waiting.popleft()


def _next_waiter(host: _Host) -> _Waiter | None:
    _forget_served(host)
    return host.waiting.popleft() if host.waiting else None
