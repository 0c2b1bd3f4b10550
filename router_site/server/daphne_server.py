"""Daphne's server with an HTTP side of our own.

Daphne keeps the WebSockets, their applications and their pings. Its HTTP side (Twisted's request object, its
transport, one timer per request) is replaced by `connection.py` on asyncio's own transports: it has no
back-pressure, no limits and no drain, and costs several times as much per request.

Import this module through `event_loop.load_server()` only: Daphne makes its event loop when it is imported.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from daphne.server import Server, reactor
from daphne.ws_protocol import WebSocketFactory
from twisted.internet.protocol import Factory
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    STDLibLogObserver,
    globalLogBeginner,
)

from router_site.refusals import OnRejected
from router_site.server.connection import Connection
from router_site.server.hub import Admit, Application, Hub, Message, Scope
from router_site.server.limits import Limits
from router_site.server.parsing import Head
from router_site.server.websocket import MAX_MESSAGE, PatchbayWebSocket, WebSocketBridge


class PatchbayServer(Server):  # type: ignore[misc]  # daphne has no types
    """Daphne for WebSockets, `Hub` and `Connection` for HTTP, in one event loop."""

    def __init__(
        self,
        application: Application,
        limits: Limits,
        *,
        on_rejected: OnRejected | None = None,
        admit: Admit | None = None,
    ) -> None:
        super().__init__(
            application,
            endpoints=["made by serve()"],
            signal_handlers=False,
            websocket_max_message_size=MAX_MESSAGE,
            websocket_max_frame_size=MAX_MESSAGE,
            application_close_timeout=limits.application_close_seconds,
            server_name="",
        )
        self.connections: dict[Any, dict[str, Any]] = {}
        self.hub = Hub(application, limits, upgrade=self._upgrade, on_rejected=on_rejected, admit=admit)
        self.ws_factory = self._make_websocket_factory()

    @staticmethod
    def event_loop() -> asyncio.AbstractEventLoop:
        """The loop that Daphne's reactor was installed on."""
        loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop
        return loop

    def new_connection(self) -> Connection:
        """Protocol factory for the listening socket."""
        return Connection(self.hub)

    def start_checks(self) -> None:
        """Start Daphne's own periodic work: pings, time limits and reaping of WebSocket applications."""
        # Below errors, autobahn warns of every upgrade that was refused on purpose.
        only_errors: Any = LogLevelFilterPredicate(defaultLogLevel=LogLevel.error)
        to_logging: Any = STDLibLogObserver("twisted")
        observer: Any = FilteringLogObserver(to_logging, [only_errors])
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
        self.application_checker()
        self.timeout_checker()

    def websocket_applications(self) -> list[asyncio.Task[None]]:
        """The applications of WebSockets that still run."""
        tasks = [details.get("application_instance") for details in self.connections.values()]
        return [task for task in tasks if task is not None and not task.done()]

    def create_application(self, protocol: Any, scope: Scope) -> Any:
        """Start the application of a WebSocket, which may answer a refused upgrade over HTTP."""
        scope["extensions"] = {"websocket.http.response": {}}
        return super().create_application(protocol, scope)

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        """Send for a WebSocket application, which waits while its client does not read."""
        await super().handle_reply(protocol, message)
        if "disconnected" in self.connections.get(protocol, {"disconnected": 0}):
            await asyncio.sleep(0)  # nothing was sent; whoever sends on and on must not keep the loop
        elif isinstance(protocol.transport, WebSocketBridge):
            await protocol.transport.writable()

    def protocol_disconnected(self, protocol: Any) -> None:
        """Note when a WebSocket ended. It may be told twice, the second time after it was forgotten."""
        if (details := self.connections.get(protocol)) is not None:
            details.setdefault("disconnected", time.time())

    def _make_websocket_factory(self) -> Any:
        Factory.noisy = False
        factory = WebSocketFactory(self, server="")
        factory.protocol = PatchbayWebSocket
        factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,  # the gate judges origins, `null` among them
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )
        return factory

    def _upgrade(self, transport: asyncio.Transport, head: Head, rest: bytes) -> WebSocketBridge:
        protocol = self.ws_factory.buildProtocol(None)
        bridge = WebSocketBridge(self.hub, protocol, transport)
        bridge.start(head, rest)
        return bridge
