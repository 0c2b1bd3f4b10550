"""What all connections of one server share: the application, the limits, who is there, what is held."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from router_site.refusals import OnRejected, Refusal
from router_site.server.limits import Limits

if TYPE_CHECKING:
    import asyncio

    from router_site.server.connection import Connection
    from router_site.server.exchange import Exchange
    from router_site.server.parsing import Head
    from router_site.server.websocket import WebSocketBridge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Looks at a scope whose body has not arrived and says whether to refuse it already. Must not block.
Admit = Callable[[Scope], Refusal | None]
# Hands a connection over to the WebSocket side: (transport, head, bytes after the head).
Upgrade = Callable[["asyncio.Transport", "Head", bytes], "WebSocketBridge"]

SWEEP_SECONDS = 0.25


def _nobody_listens(*_: object) -> None:
    """Stands in for an absent observer."""


class Hub:
    """Shared state of one server. Everything here belongs to its one event loop."""

    def __init__(
        self,
        application: Application,
        limits: Limits,
        *,
        upgrade: Upgrade,
        on_rejected: OnRejected | None = None,
        admit: Admit | None = None,
    ) -> None:
        self.application = application
        self.limits = limits
        self.upgrade = upgrade
        self.admit = admit
        self.on_rejected: OnRejected = on_rejected or _nobody_listens
        self.connections: set[Connection] = set()
        self.exchanges: set[Exchange] = set()
        self.websockets: set[WebSocketBridge] = set()
        self.last_call = math.inf  # after this moment of a drain nothing new is begun
        self.body_bytes = 0  # request bodies held in memory, arriving or being worked on
        self.date_line = b""
        self._date_second = 0
        self.sweep()

    def is_empty(self) -> bool:
        """Nobody is connected and no application runs."""
        return not (self.connections or self.exchanges or self.websockets)

    def sweep(self) -> None:
        """Everything that depends on the clock, once per `SWEEP_SECONDS` for all: no timer per request."""
        now = time.monotonic()
        if int(time.time()) != self._date_second:
            self._date_second = int(time.time())
            self.date_line = b"date: " + formatdate(self._date_second, usegmt=True).encode() + b"\r\n"
        for connection in [each for each in self.connections if each.is_late(now)]:
            connection.on_late(now)
        for exchange in [each for each in self.exchanges if each.is_overdue(now)]:
            exchange.cancel()
        for websocket in [each for each in self.websockets if each.is_late(now)]:
            websocket.abort()
