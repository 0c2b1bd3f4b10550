"""Daphne's WebSocket protocol on an asyncio transport.

Daphne and autobahn expect a Twisted transport; `WebSocketBridge` is one, and the asyncio protocol behind it.
It adds what they lack: an application waits while its client does not read, a client that never reads is cut,
and messages do not pile up without bound before a busy application.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from router_site.server.exchange import status_line
from router_site.server.hub import Hub, Message
from router_site.server.parsing import Head

MAX_MESSAGE = 64 * 1024
_WAITING_MESSAGES = 256
_POLICY_VIOLATION = 1008
_GOING_AWAY = 1001
_CLEAN_END = Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # twisted is half typed


class PatchbayWebSocket(WebSocketProtocol):  # type: ignore[misc]  # daphne has no types
    """A WebSocket whose unread messages are bounded, and which can say goodbye at any moment."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message from the client; too many that nobody has read end the connection."""
        if self.application_queue.qsize() >= _WAITING_MESSAGES:
            self.muted = True
            self.application_queue.put_nowait({"type": "websocket.disconnect", "code": _POLICY_VIOLATION})
            self.sendCloseFrame(code=_POLICY_VIOLATION)  # sendClose() takes only the codes of applications
            return
        super().onMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended; before a valid handshake there was nobody to tell."""
        if hasattr(self, "server"):
            super().onClose(wasClean, code, reason)

    def handle_reply(self, message: Message) -> None:
        """A message from the application; also the HTTP answer to an upgrade that it refuses."""
        if message["type"] == "websocket.http.response.start":
            self._denial = message
        elif message["type"] == "websocket.http.response.body":
            self._deny(self._denial, message.get("body", b""))
        else:
            super().handle_reply(message)

    def _deny(self, start: Message, body: bytes) -> None:
        status: int = start["status"]
        lines = [b"%b: %b\r\n" % header for header in start["headers"] if header[0] != b"connection"]
        self.sendData(b"".join((status_line(status), *lines, b"connection: close\r\n\r\n", body)))
        del self.handshake_deferred
        self.server.protocol_disconnected(self)
        self.dropConnection(abort=False)

    def go_away(self) -> None:
        """The server is leaving."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=_GOING_AWAY)
        elif self.state == self.STATE_CONNECTING and hasattr(self, "handshake_deferred"):
            self.serverReject()


@implementer(ITransport)
class WebSocketBridge(asyncio.Protocol):
    """Between an asyncio transport and a Twisted protocol: the former's protocol, the latter's transport."""

    # Twisted's transport interface, as far as autobahn uses it, gives this class its method names.
    disconnecting = False

    def __init__(self, hub: Hub, protocol: Any, transport: asyncio.Transport) -> None:
        self._hub = hub
        self._protocol = protocol
        self._transport = transport
        self._stalled_at = math.inf
        self._room = asyncio.Event()
        self._room.set()

    def start(self, head: Head, rest: bytes) -> None:
        """Take the connection over and replay the request."""
        self._hub.websockets.add(self)
        self._transport.set_protocol(self)
        self._protocol._raw_query_string = head.query
        self._protocol.makeConnection(self)
        target = head.raw_path + (b"?" + head.query if head.query else b"")
        lines = [b"%b: %b\r\n" % header for header in head.headers]
        self._protocol.dataReceived(b"GET " + target + b" HTTP/1.1\r\n" + b"".join(lines) + b"\r\n" + rest)

    def go_away(self) -> None:
        """The server is leaving."""
        self._protocol.go_away()

    async def writable(self) -> None:
        """Wait while the client does not read."""
        await self._room.wait()

    def is_late(self, now: float) -> bool:
        """Whether the client has not read for too long."""
        return now > self._stalled_at

    def abort(self) -> None:
        """Cut the connection."""
        self._stalled_at = math.inf
        self._transport.abort()

    # --- asyncio ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._protocol.dataReceived(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._hub.websockets.discard(self)
        self._room.set()
        self._protocol.connectionLost(_CLEAN_END)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._stalled_at = time.monotonic() + self._hub.limits.stall_seconds
        self._room.clear()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stalled_at = math.inf
        self._room.set()

    # --- Twisted ------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """ITransport."""
        self._transport.write(data)

    def loseConnection(self) -> None:
        """ITransport: close when everything is written."""
        self.disconnecting = True
        self._transport.close()

    def abortConnection(self) -> None:
        """ITransport: close now."""
        self.disconnecting = True
        self.abort()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """ITransport."""
        return _twisted_address(self._transport.get_extra_info("peername"))

    def getHost(self) -> IPv4Address | IPv6Address:
        """ITransport."""
        return _twisted_address(self._transport.get_extra_info("sockname"))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """ITCPTransport: asyncio has set it already."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """IConsumer: flow control is `writable()`."""

    def unregisterProducer(self) -> None:
        """IConsumer."""


def _twisted_address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    kind = IPv6Address if ":" in str(name[0]) else IPv4Address
    return kind("TCP", str(name[0]), int(name[1]))
