"""One TCP connection: bytes in, requests out one after the other, with every limit and deadline.

A connection is always in one phase: it reads a head, reads a body, waits for the application (what the client
sends meanwhile is kept, up to a limit), or has refused and reads on for a moment so that its answer arrives.
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from typing import cast

from analytics.drafts import new_request_id
from proxyapp.drain import draining
from router_site.peers import peer_class
from router_site.refusals import Refusal, refusal_answer
from router_site.server.body import Body, ChunkedBody, LengthBody, too_large
from router_site.server.exchange import Exchange, http_scope, path_text, status_line
from router_site.server.hub import SWEEP_SECONDS, Hub, Scope
from router_site.server.parsing import Head, Refused, guess_request, parse_head

Address = tuple[str, int]

# Asked for by probes and by people while we leave; everything else is refused then.
_SERVED_WHILE_DRAINING = frozenset({b"/livez", b"/readyz"})
# A WebSocket upgrade here is an API request in the wrong transport: the application answers over HTTP.
_API_ONLY = frozenset({b"/v1/responses", b"/responses"})
_LEAVING = Refusal(
    503,
    "Patchbay is shutting down. Send the request again in a moment.",
    "shutting_down",
    ((b"retry-after", b"1"),),
)
# A proxy that keeps connections cannot know that we leave before it has sent its next request, and may not send that
# one twice. So in a drain an open connection may bring one more within this time; its answer says that it is the last.
_LAST_REQUEST_SECONDS = 4 * SWEEP_SECONDS
_LAST_REST_SECONDS = 5.0  # and what is half sent may be sent to its end


class Phase(enum.Enum):
    """What a connection is doing."""

    HEAD = enum.auto()
    BODY = enum.auto()
    WAITING = enum.auto()
    REFUSED = enum.auto()


class Connection(asyncio.Protocol):
    """The server side of one client connection."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._phase = Phase.HEAD
        self._buffer = b""
        self._scanned = 0  # of the buffer, without finding the end of a head
        self._body: Body | None = None
        self._body_bytes = 0  # counted in hub.body_bytes for the body that is arriving
        self._head: Head | None = None
        self._scope: Scope = {}
        self._exchange: Exchange | None = None
        self._discarded = 0
        self._deadline = math.inf  # of the current phase
        self._stalled_at = math.inf  # when a client that does not read is cut
        self.is_full = False  # the client does not read; wait for `writable()`
        self._room: asyncio.Event | None = None  # set while it is not full
        self._reading = True
        self.client: Address | None = None
        self.server_address: Address | None = None

    # --- asyncio ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        limits = self._hub.limits
        self._transport.set_write_buffer_limits(high=limits.write_buffer, low=limits.write_buffer // 4)
        self.client = _address(transport.get_extra_info("peername"))
        self.server_address = _address(transport.get_extra_info("sockname"))
        self._hub.connections.add(self)
        self._deadline = time.monotonic() + limits.header_seconds
        if len(self._hub.connections) > limits.max_connections:
            self._refuse(Refusal(503, "Too many connections. Close some, or try again later.", "overloaded"))

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._phase is Phase.REFUSED:
            self._discard(len(data))
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self._phase is Phase.WAITING:
            if len(self._buffer) > self._hub.limits.pipelined_bytes:
                self._transport.pause_reading()
                self._reading = False
            return
        self._advance()

    def eof_received(self) -> bool:
        """The client has closed its side: it has left. What runs for it ends now."""
        if self._exchange is not None:
            self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever closed it."""
        self._hub.connections.discard(self)
        self._drop_body()
        self._forget_exchange()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read: the application waits, and the clock of the stall limit runs."""
        self._stalled_at = time.monotonic() + self._hub.limits.stall_seconds
        self.is_full = True
        if self._room is None:
            self._room = asyncio.Event()
        self._room.clear()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stalled_at = math.inf
        self.is_full = False
        if self._room is not None:
            self._room.set()

    # --- reading ------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Go through the buffer as far as it reaches."""
        try:
            while self._buffer:
                done = self._read_head() if self._phase is Phase.HEAD else self._read_body()
                if not done or self._phase in (Phase.WAITING, Phase.REFUSED):
                    return
        except Refused as refused:
            self._refuse(refused.refusal)

    def _read_head(self) -> bool:
        """Read a head from the buffer and act on it. False: it is not complete."""
        if self._scanned <= 1 and self._buffer.startswith(b"\r\n"):
            self._buffer, self._scanned = self._buffer[2:], 0  # a blank line before a request is forgiven
        limits = self._hub.limits
        end = self._buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._check_partial_head()
            return False
        if end > limits.max_head:
            raise Refused(431, f"The request head is larger than {limits.max_head} bytes. Shorten it.")
        head = parse_head(self._buffer[:end], limits)
        self._buffer, self._scanned = self._buffer[end + 4 :], 0
        self._deadline = math.inf
        self._begin(head)
        return True

    def _check_partial_head(self) -> None:
        """Start the clock with the first byte; refuse what cannot become a head any more."""
        buffer, limits = self._buffer, self._hub.limits
        if not self._scanned and buffer:
            self._deadline = time.monotonic() + _patience(limits.header_seconds)
        new = buffer[max(0, self._scanned - 1) :]
        if new.count(b"\n") != new.count(b"\r\n") + new.startswith(b"\n") * (self._scanned > 0):
            raise Refused(400, "The request head contains a bare line feed. End each line with CR LF.")
        if len(buffer) > limits.max_head:
            raise Refused(431, f"The request head is larger than {limits.max_head} bytes. Shorten it.")
        if len(buffer) - buffer.rfind(b"\n") > limits.max_line + 2:
            raise Refused(
                431, f"A line of the request head is longer than {limits.max_line} bytes. Shorten it."
            )
        self._scanned = len(buffer)

    def _begin(self, head: Head) -> None:
        """A head is complete: refuse it, hand it over, or read its body."""
        self._head = head
        if self._comes_too_late() and head.raw_path not in _SERVED_WHILE_DRAINING:
            self._refuse(_LEAVING)
        elif head.upgrade == b"websocket" and head.raw_path not in _API_ONLY:
            self._upgrade(head)
        elif head.chunked or head.content_length:
            self._begin_body(head)
        else:
            self._start(head, http_scope(head, self), b"")

    def _begin_body(self, head: Head) -> None:
        """Decide about a body before any of it is read."""
        hub, limits = self._hub, self._hub.limits
        if head.content_length > limits.max_body:
            raise too_large(limits)
        if hub.body_bytes + head.content_length > limits.max_bodies_in_flight:
            raise Refused(
                503,
                "Too many request bodies are being received. Try again in a moment.",
                (b"retry-after", b"1"),
            )
        self._scope = http_scope(head, self)
        self._body = ChunkedBody(limits) if head.chunked else LengthBody(head.content_length)
        if len(self._buffer) < head.content_length or head.chunked:
            if hub.admit is not None and (refusal := hub.admit(self._scope)) is not None:
                self._refuse(refusal)
                return
            if head.expects_continue and not self._buffer:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        allowed = limits.body_seconds + head.content_length / limits.body_bytes_per_second
        self._deadline = time.monotonic() + _patience(allowed)
        self._phase = Phase.BODY

    def _read_body(self) -> bool:
        """Give what has come to the body. False: more is needed."""
        assert self._body is not None
        assert self._head is not None
        body, hub = self._body, self._hub
        before = body.received
        rest = body.feed(self._buffer)
        self._buffer = rest or b""
        arrived = body.received - before
        self._body_bytes += arrived
        hub.body_bytes += arrived
        if rest is None:
            if hub.body_bytes > hub.limits.max_bodies_in_flight:
                raise Refused(503, "Too many request bodies are being received. Try again in a moment.")
            if self._head.chunked:  # no declared size: what has come earns time for more
                self._deadline += arrived / hub.limits.body_bytes_per_second
            return False
        self._deadline = math.inf
        self._drop_body()
        self._start(self._head, self._scope, body.value())
        return True

    def _drop_body(self) -> None:
        self._hub.body_bytes -= self._body_bytes
        self._body, self._body_bytes = None, 0

    def _start(self, head: Head, scope: Scope, body: bytes) -> None:
        """The request is complete: the application runs."""
        self._phase = Phase.WAITING
        self._hub.body_bytes += len(body)
        self._exchange = Exchange(self._hub, self, head, scope, body)
        self._exchange.start()

    def _upgrade(self, head: Head) -> None:
        """The connection becomes a WebSocket; this object lets go of it."""
        if head.chunked or head.content_length or head.method != "GET":
            raise Refused(400, "A WebSocket upgrade is a GET without a body.")
        self._hub.connections.discard(self)
        self._phase = Phase.WAITING
        rest, self._buffer = self._buffer, b""
        self._hub.upgrade(self._transport, head, rest)

    # --- writing ------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write to the client, at once."""
        self._transport.write(data)

    async def writable(self) -> None:
        """Wait while the client does not read."""
        if self._room is not None:
            await self._room.wait()

    def is_last(self) -> bool:
        """Whether a response whose head is written now shall be the connection's last."""
        return draining()

    def response_done(self, *, close: bool) -> None:
        """The response is written: close, or go on with the next request."""
        self._forget_exchange()
        if close:
            self.close()
            return
        self._phase, self._head = Phase.HEAD, None
        idle = _LAST_REQUEST_SECONDS if draining() else self._hub.limits.keep_alive_seconds
        self._deadline = time.monotonic() + idle
        if not self._reading:
            self._transport.resume_reading()
            self._reading = True
        self._advance()

    def _forget_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.complete:
            exchange.leave()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, tell the observer, and read on for a moment so that the answer is not lost to a reset."""
        method, path = (self._head.method, self._head.raw_path) if self._head else guess_request(self._buffer)
        self._answer_refusal(refusal, method, path_text(path))

    def _answer_refusal(self, refusal: Refusal, method: str, path: str) -> None:
        self._drop_body()
        self._phase, self._buffer = Phase.REFUSED, b""
        request_id = new_request_id()
        headers, body = refusal_answer(refusal, path, request_id)
        lines = [b"%b: %b\r\n" % header for header in headers]
        parts = [status_line(refusal.status), *lines, self._hub.date_line, b"connection: close\r\n\r\n"]
        self._transport.write(b"".join(parts) + (b"" if method == "HEAD" else body))
        self._deadline = time.monotonic() + self._hub.limits.linger_seconds
        if self._transport.can_write_eof():
            self._transport.write_eof()
        peer = peer_class(self.client[0] if self.client else None)
        self._hub.on_rejected(method, path, refusal.status, refusal.message, request_id, peer)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._hub.limits.linger_bytes:
            self.abort()

    # --- time and ends ------------------------------------------------------------------------------------

    def is_late(self, now: float) -> bool:
        """Whether a deadline has passed."""
        return now > self._deadline or now > self._stalled_at

    def on_late(self, now: float) -> None:
        """Act on the deadline that has passed."""
        if now > self._stalled_at or self._phase is Phase.REFUSED:
            self.abort()
        elif draining() and (self._phase is Phase.BODY or self._buffer):
            self._refuse(_LEAVING)
        elif self._phase is Phase.BODY:
            self._refuse(Refusal(408, "The request body came too slowly. Send it again, faster."))
        elif self._buffer:
            self._refuse(Refusal(408, "The request head came too slowly. Send it again, faster."))
        else:
            self.close()

    def drain(self) -> None:
        """The server is leaving: what is open may bring one more whole request, soon; what runs goes on."""
        if self._phase in (Phase.HEAD, Phase.BODY):
            is_begun = self._phase is Phase.BODY or self._buffer
            seconds = _LAST_REST_SECONDS if is_begun else _LAST_REQUEST_SECONDS
            self._deadline = min(self._deadline, time.monotonic() + seconds, self._hub.last_call)

    def _comes_too_late(self) -> bool:
        """Whether we leave, and what is begun now could be cut when the drain time is up."""
        return draining() and time.monotonic() > self._hub.last_call

    def close(self) -> None:
        """Close once everything is written; a client that does not read is cut after the stall limit."""
        self._deadline = math.inf
        self._stalled_at = min(self._stalled_at, time.monotonic() + self._hub.limits.stall_seconds)
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection now. The application is told at once, not when the loop reports it."""
        self._deadline = self._stalled_at = math.inf
        self._forget_exchange()
        self._transport.abort()


def _patience(seconds: float) -> float:
    """How long to wait for the rest of what is half sent."""
    return min(seconds, _LAST_REST_SECONDS) if draining() else seconds


def _address(name: object) -> Address | None:
    """(host, port) of a socket name; None for one without (a Unix socket)."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
