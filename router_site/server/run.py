"""Running the server: listen, serve, drain, exit code.

The first SIGTERM or SIGINT starts the drain; the second one ends the process within a second.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.tasks import spawn, supervise
from proxyapp.drain import DRAINING, SHUTDOWN
from router_site.crowd import Crowd
from router_site.refusals import OnRejected
from router_site.server.accepting import Acceptor
from router_site.server.event_loop import load_server
from router_site.server.hub import SWEEP_SECONDS, Admit, Application
from router_site.server.limits import Limits
from router_site.server.listening import BindError, bind, raise_file_limit

if TYPE_CHECKING:
    from router_site.server.daphne_server import PatchbayServer

EXIT_DRAINED = 0
EXIT_FORCED = 1
EXIT_NOT_BOUND = 1

# After the drain time, in this order and in sum under four seconds:
_FAREWELL_SECONDS = 2.0  # streams send their error event
_DISCONNECT_SECONDS = 0.75  # applications see http.disconnect
_CANCEL_SECONDS = 0.5  # applications are cancelled
_CLOSING_SECONDS = 0.5  # `on_stop`, and tasks that are left
_FORCED_SECONDS = 0.8  # from the second signal to the end, whatever is stuck
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Hooks:
    """What others do at the turns of a server's life. See `serve`."""

    on_ready: Callable[[], None] | None = None
    on_drain: Callable[[], None] | None = None
    on_shutdown: Callable[[], None] | None = None
    on_stop: Callable[[], Awaitable[None]] | None = None


def serve(
    application: Application,
    *,
    host: str,
    port: int,
    limits: Limits,
    drain_seconds: float,
    on_ready: Callable[[], None] | None = None,
    on_drain: Callable[[], None] | None = None,
    on_shutdown: Callable[[], None] | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    on_rejected: OnRejected | None = None,
    admit: Admit | None = None,
    listener: socket.socket | None = None,
    worker: tuple[Crowd, int] | None = None,
) -> int:
    """Serve until a signal; return the exit code: 0 after a drain, 1 when forced or without the port.

    Hooks, all called in the server's event loop: `on_ready` once the port accepts connections, `on_drain` at
    the first signal, `on_shutdown` when the drain time is up, `on_stop` (awaited for half a second) when all
    requests have ended, `on_rejected` for each request refused before the application saw it, `admit` to
    refuse a request whose body has not arrived yet. `listener`: a socket that `bind` has made already, to
    share a port between processes; `worker`: this one's number, and how the workers share the port evenly. Uses
    the process-wide Twisted reactor: once per process.
    """
    server_class = load_server()
    try:
        listener = listener or bind(host, port, socket_buffer=limits.socket_buffer)
    except BindError as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_NOT_BOUND
    raise_file_limit()
    loop = server_class.event_loop()
    asyncio.set_event_loop(loop)
    server = server_class(application, limits, on_rejected=on_rejected, admit=admit)
    hooks = Hooks(on_ready, on_drain, on_shutdown, on_stop)
    return loop.run_until_complete(_Run(server, listener, drain_seconds, hooks, worker).main())


class _Run:
    """One run of a server, from listening to the last task."""

    def __init__(
        self,
        server: PatchbayServer,
        listener: socket.socket,
        drain_seconds: float,
        hooks: Hooks,
        worker: tuple[Crowd, int] | None,
    ) -> None:
        self._server = server
        self._hub = server.hub
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._hooks = hooks
        self._worker = worker
        self._acceptor: Acceptor | None = None
        self._leave = asyncio.Event()  # the first signal
        self._force = asyncio.Event()  # the second one

    async def main(self) -> int:
        """Everything, in order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        listening = await self._listen()
        self._server.start_checks()
        sweeping = supervise(self._sweep_for_ever, name="server-sweep")
        _call(self._hooks.on_ready)
        await self._leave.wait()
        await self._stop_listening(listening)
        await self._drain_unless_forced()
        sweeping.cancel()
        await self._end()
        return EXIT_FORCED if self._force.is_set() else EXIT_DRAINED

    async def _listen(self) -> asyncio.Server | Acceptor:
        factory = self._server.new_connection
        if self._worker is None:
            return await asyncio.get_running_loop().create_server(factory, sock=self._listener)
        self._acceptor = Acceptor(self._listener, factory, *self._worker, lambda: len(self._hub.connections))
        return self._acceptor

    def _on_signal(self) -> None:
        if not self._leave.is_set():
            self._leave.set()
            return
        # Even a thread that never ends, or a blocked event loop, must not hold the process now.
        watchdog = threading.Timer(_FORCED_SECONDS, os._exit, (EXIT_FORCED,))
        watchdog.daemon = True
        watchdog.start()
        self._force.set()

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._hub.sweep()
            if self._acceptor is not None:
                self._acceptor.tell()

    # --- leaving ------------------------------------------------------------------------------------------

    async def _stop_listening(self, listening: asyncio.Server | Acceptor) -> None:
        """Close the port. Whom the kernel has connected already is let in first: closing would reset them."""
        loop, found = asyncio.get_running_loop(), []
        with suppress(OSError):  # nobody is left, or no file descriptor
            while True:
                found.append(self._listener.accept()[0])
        listening.close()
        made = (loop.connect_accepted_socket(self._server.new_connection, client) for client in found)
        await asyncio.gather(*made, return_exceptions=True)

    async def _drain_unless_forced(self) -> None:
        draining = spawn(self._drain(), name="server-drain")
        forced = spawn(self._force.wait(), name="server-forced")
        await asyncio.wait((draining, forced), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, forced):
            task.cancel()
        await asyncio.wait((draining, forced))

    async def _drain(self) -> None:
        """Let what runs finish, then say that time is up, then http.disconnect. Ends once all is quiet."""
        self._hub.last_call = time.monotonic() + self._drain_seconds / 2
        DRAINING.come()
        _call(self._hooks.on_drain)
        for connection in list(self._hub.connections):
            connection.drain()
        for websocket in list(self._hub.websockets):
            websocket.go_away()
        if await self._quiet_within(self._drain_seconds):
            return
        SHUTDOWN.come()
        _call(self._hooks.on_shutdown)
        if await self._quiet_within(_FAREWELL_SECONDS):
            return
        for exchange in list(self._hub.exchanges):
            exchange.notify()
        await self._quiet_within(_DISCONNECT_SECONDS)

    async def _quiet_within(self, seconds: float) -> bool:
        """Wait until nobody is connected and nothing runs."""
        deadline = time.monotonic() + seconds
        while not (self._hub.is_empty() and not self._server.websocket_applications()):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def _end(self) -> None:
        """Stop what is left: applications first, so that their `finally` still finds the rest at work."""
        SHUTDOWN.come()
        for exchange in list(self._hub.exchanges):
            exchange.cancel()
        for task in self._server.websocket_applications():
            task.cancel()
        seconds = 0.1 if self._force.is_set() else _CANCEL_SECONDS
        await self._quiet_within(seconds)
        for connection in list(self._hub.connections):
            connection.abort()
        for websocket in list(self._hub.websockets):
            websocket.abort()
        await self._stop(_CLOSING_SECONDS if not self._force.is_set() else 0.2)

    async def _stop(self, seconds: float) -> None:
        """`on_stop`, then the tasks that are nobody's."""
        if self._hooks.on_stop is not None:
            stopping = spawn(_await(self._hooks.on_stop), name="server-on-stop")
            await asyncio.wait((stopping,), timeout=seconds)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_POLL_SECONDS)


def _call(hook: Callable[[], None] | None) -> None:
    if hook is not None:
        hook()


async def _await(hook: Callable[[], Awaitable[None]]) -> None:
    await hook()
