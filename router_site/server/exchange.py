"""One request and its response: the ASGI side of a connection.

Rules: the application learns within the same turn of the event loop that its client has left; a response that
it does not finish is never made to look finished.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from analytics.drafts import new_request_id
from proxyapp.drain import draining
from router_site.refusals import Refusal, refusal_answer
from router_site.server.hub import Hub, Message, Scope
from router_site.server.parsing import Head

if TYPE_CHECKING:
    from router_site.server.connection import Connection

logger = logging.getLogger("patchbay.server")

_SLICE = 64 * 1024  # a larger piece of a response is written in slices, each waiting for room
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODYLESS = frozenset({204, 304})
# Written by the server, whatever the application says about them.
_OURS = frozenset({b"content-length", b"connection", b"transfer-encoding", b"keep-alive", b"date"})

# (close, the response has an Upgrade header) -> the Connection header and the blank line
_CLOSING = {
    (False, False): b"\r\n",
    (False, True): b"connection: upgrade\r\n\r\n",
    (True, False): b"connection: close\r\n\r\n",
    (True, True): b"connection: upgrade, close\r\n\r\n",
}
_FAILED = Refusal(500, "Patchbay failed on this request. Look at its log for the reason.", "internal_error")
_STOPPED = Refusal(503, "Patchbay was stopped before this request was done. Send it again.", "shutting_down")


def status_line(status: int) -> bytes:
    """First line of a response, for any status number."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def path_text(raw_path: bytes) -> str:
    """A path as ASGI wants it: percent-decoded UTF-8."""
    text = raw_path.decode("ascii")
    return unquote(text) if "%" in text else text


def http_scope(head: Head, connection: Connection) -> Scope:
    """The ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "method": head.method,
        "scheme": "http",
        "path": path_text(head.raw_path),
        "raw_path": head.raw_path,
        "root_path": "",
        "query_string": head.query,
        "headers": head.headers,
        "client": connection.client,
        "server": connection.server_address,
    }


class Exchange:
    """Runs the application for one request and writes what it sends."""

    __slots__ = (
        "_body",
        "_chunked",
        "_close",
        "_connection",
        "_head",
        "_hub",
        "_left_at",
        "_no_body",
        "_noticed",
        "_on_leave",
        "_pending",
        "_remaining",
        "_scope",
        "_started",
        "_task",
        "body_size",
        "complete",
    )

    def __init__(self, hub: Hub, connection: Connection, head: Head, scope: Scope, body: bytes) -> None:
        self._hub = hub
        self._connection: Connection | None = connection  # None once the client has left
        self._head = head
        self._scope = scope
        scope["patchbay.exchange"] = self
        self._body: bytes | None = body
        self.body_size = len(body)
        self._noticed: asyncio.Event | None = None  # set when `receive` shall say http.disconnect
        self._on_leave: Callable[[], None] | None = None  # called at the same moment
        self._left_at = 0.0
        self._started = False  # http.response.start was sent to us
        self._pending: Message | None = None  # ... and its head is not written yet
        self._chunked = False
        self._no_body = False
        self._remaining: int | None = None  # of a declared content length
        self._close = not head.keep_alive
        self.complete = False
        self._task: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the application."""
        self._hub.exchanges.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._hub.application(self._scope, self.receive, self.send)
            if not self.complete and self._connection is not None:
                logger.error("The application ended without a complete response to %s.", self._name())
        except Exception:  # the outermost edge: whatever the application did, the client gets an answer
            logger.exception("The application failed on %s.", self._name())
        finally:
            self._hub.exchanges.discard(self)
            self._hub.body_bytes -= self.body_size
            del self._scope["patchbay.exchange"]  # or each would keep the other
            if not self.complete and self._connection is not None:
                self._answer_for_the_application(self._connection)

    def _name(self) -> str:
        return f"{self._head.method} {self._scope['path']!a}"

    def _answer_for_the_application(self, connection: Connection) -> None:
        """500 while nothing is written; after that only a cut shows the client that something is missing."""
        if self._started and self._pending is None:
            connection.abort()
            return
        refusal = _STOPPED if draining() else _FAILED
        headers, body = refusal_answer(refusal, self._scope["path"], new_request_id())
        self._started, self._pending, self._close = True, {"status": refusal.status, "headers": headers}, True
        self._write(connection, body, more=False)

    def leave(self) -> None:
        """The client is gone: the application gets http.disconnect, and nothing is written any more."""
        self._connection = None
        self._left_at = time.monotonic()
        self.notify()

    def notify(self) -> None:
        """Tell the application http.disconnect; it may still write."""
        self._body = None
        if self._noticed is None:
            self._noticed = asyncio.Event()
        self._noticed.set()
        if self._on_leave is not None and not self.complete:
            self._on_leave()

    def is_overdue(self, now: float) -> bool:
        """Whether the client left too long ago for the application still to run."""
        return self._left_at > 0 and now - self._left_at > self._hub.limits.application_close_seconds

    def cancel(self) -> None:
        """Stop the application."""
        if self._task is not None:
            logger.warning("Stopped the application on %s: it did not end by itself.", self._name())
            self._task.cancel()

    # --- beside ASGI, for our own handler: `receive` without a task that waits for it ------------------------

    def take_body(self) -> bytes | None:
        """The whole body; None when it was taken, or when the client has left."""
        body, self._body = self._body, None
        return body

    def watch(self, on_leave: Callable[[], None] | None) -> None:
        """Call this when `receive` would say http.disconnect before the response is complete; None: do not."""
        self._on_leave = on_leave
        if (
            on_leave is not None
            and self._noticed is not None
            and self._noticed.is_set()
            and not self.complete
        ):
            on_leave()

    # --- the ASGI interface -------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The whole body at once, then http.disconnect as soon as it is true."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if not self.complete:
            if self._noticed is None:
                self._noticed = asyncio.Event()
            await self._noticed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Write to the client, and wait while it does not read. Nothing happens once it has left."""
        connection = self._connection
        if connection is None:
            await asyncio.sleep(0)  # whoever sends on and on must not keep the loop from telling it to stop
            return
        kind = message["type"]
        if kind == "http.response.body":
            body, more = message.get("body", b""), message.get("more_body", False)
            if len(body) > _SLICE or not self._started or self.complete:
                await self._send_slices(connection, body, more)
            else:
                self._write(connection, body, more=more)
            if more and connection.is_full:
                await connection.writable()
        elif kind == "http.response.start":
            if self._started:
                raise RuntimeError("http.response.start was sent twice")
            self._started, self._pending = True, message
        else:
            raise ValueError(f"unknown ASGI message {kind!r}")

    async def _send_slices(self, connection: Connection, body: bytes, more: bool) -> None:
        """Write a large piece, so that no more of it than the write buffer takes is copied at a time."""
        if not self._started or self.complete:
            raise RuntimeError("http.response.body came before the start or after the end of the response")
        self._declare_length(body, more)
        rest = memoryview(body)
        while len(rest) > _SLICE:
            self._write(connection, bytes(rest[:_SLICE]), more=True)
            rest = rest[_SLICE:]
            if connection.is_full:
                await connection.writable()
            if self._connection is None:
                return
        self._write(connection, bytes(rest), more=more)

    def _declare_length(self, body: bytes, more: bool) -> None:
        """A whole response in one message has a known length, also when it is written in slices."""
        if self._pending is not None and not more:
            headers = list(self._pending.get("headers", ()))
            if not any(name.lower() == b"content-length" for name, _ in headers):
                headers.append((b"content-length", b"%d" % len(body)))
            self._pending = {**self._pending, "headers": headers}

    # --- writing ------------------------------------------------------------------------------------------

    def _write(self, connection: Connection, body: bytes, *, more: bool) -> None:
        """Write one piece: the head before the first, framing around each, and the end after the last."""
        head = b""
        if self._pending is not None:
            head = self._head_bytes(self._pending, None if more else len(body))
            self._pending = None
        if self._no_body:
            body = b""
        elif not self._chunked:
            self._count(len(body))
        elif body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        if self._chunked and not more:
            body += b"0\r\n\r\n"
        connection.write(head + body)
        if not more:
            self._finish(connection)

    def _count(self, size: int) -> None:
        if self._remaining is not None:
            self._remaining -= size
            if self._remaining < 0:
                raise RuntimeError("the response body is longer than its content-length")

    def _finish(self, connection: Connection) -> None:
        if self._remaining:
            raise RuntimeError("the response body is shorter than its content-length")
        self.complete = True
        self.notify()
        connection.response_done(close=self._close)

    def _head_bytes(self, message: Message, whole: int | None) -> bytes:
        """Render the head and settle the framing. `whole` is the size of a body that is complete already."""
        status: int = message["status"]
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        lines = [b"%b: %b\r\n" % header for header in headers if header[0] not in _OURS]
        block = b"".join(lines)
        _refuse_injection(block, len(lines))
        named = dict(headers)
        length, options = named.get(b"content-length"), named.get(b"connection", b"").lower()
        self._close = self._close or b"close" in options
        self._close = self._close or (self._connection is not None and self._connection.is_last())
        framing = self._framing(status, length, whole)
        closing = _CLOSING[self._close, b"upgrade" in options]
        return b"".join((status_line(status), block, self._hub.date_line, framing, closing))

    def _framing(self, status: int, length: bytes | None, whole: int | None) -> bytes:
        """The header that says where the body ends; b"" where there is no body, or where closing ends it."""
        if status in _BODYLESS or status < 200:
            self._no_body = True
            return b""
        self._no_body = self._head.method == "HEAD"
        if length is None and whole is not None and not self._no_body:
            length = b"%d" % whole
        if length is not None:
            self._remaining = None if self._no_body else int(length)
            return b"content-length: " + length + b"\r\n"
        self._chunked = self._head.version == "1.1" and not self._no_body
        return b"transfer-encoding: chunked\r\n" if self._chunked else b""


def _refuse_injection(block: bytes, lines: int) -> None:
    """A line break or NUL inside a header would let data write headers of their own."""
    if block.count(b"\n") != lines or block.count(b"\r") != lines or b"\0" in block:
        raise ValueError("a response header contains a line break or NUL")
