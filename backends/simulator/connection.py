"""One client connection: requests in, steps out, with back-pressure and a journal entry for each request."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from backends.simulator.framing import connection_fault, steps
from backends.simulator.headers import head
from backends.simulator.journal import Entry
from backends.simulator.oauth import is_oauth, ledger_body
from backends.simulator.script import ScriptError, parse
from backends.simulator.steps import End, Step, Steps

if TYPE_CHECKING:
    from backends.simulator.server import Simulator

_BATCH = 64 << 10
_LINGER = 0.5  # seconds to drain after a half-close that came before the whole request was read


class _Waiting(NamedTuple):
    """A request that was read and has to wait for the answer before it (pipelining)."""

    entry: Entry
    body: bytes
    cue: str
    keep_alive: bool
    http11: bool


class Connection(asyncio.Protocol):
    """Answers requests one after another. All state belongs to one event loop; there are no tasks."""

    def __init__(self, simulator: Simulator, number: int) -> None:
        self._simulator = simulator
        self._number = number
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._entry: Entry | None = None  # being received
        self._answering: Entry | None = None
        self._body: list[bytes] = []
        self._cue = ""
        self._requests = 0
        self._waiting: deque[_Waiting] = deque()
        self._steps: Steps | None = None
        self._close_after = False
        self._all_read = True  # no request is half received
        self._blocked = False  # the socket's buffer is not empty
        self._timer: asyncio.TimerHandle | None = None
        self._last: Entry | None = None
        self._closing = False
        self._deaf = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's own transports derive from another class
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # told at once whether all was sent
        self._simulator.joined(self)
        fault = self._simulator.queue.connection_fault()
        if fault == "refuse":
            self._reset()
        elif fault == "accept-no-read":
            self._deaf = True
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the answer says what it thinks of the request as it is
        except httptools.HttpParserCallbackError:
            raise  # a mistake of ours, not of the client
        except httptools.HttpParserError as exc:
            self._bad_http(str(exc))

    def eof_received(self) -> bool:
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._steps = None
        now = time.monotonic()
        for entry in {self._entry, self._last}:
            if entry is not None:
                entry.closed_at = now
                entry.closed_by = "us" if self._closing else "peer"
        self._simulator.left(self)
        for entry in {self._entry, self._last}:
            self._simulator.journal.changed(entry)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._steps is not None:
            self._pump()

    # the parser's side

    def on_message_begin(self) -> None:
        self._requests += 1
        self._all_read = False
        self._body = []
        self._cue = ""
        self._entry = self._simulator.journal.begin(self._number, reused=self._requests > 1)

    def on_url(self, url: bytes) -> None:
        if self._entry is not None:
            self._entry.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._entry is not None:
            self._entry.headers.append((name, value))

    def on_headers_complete(self) -> None:
        entry = self._entry
        if entry is None:
            return
        entry.headers_at = time.monotonic()
        entry.method = self._parser.get_method().decode()
        entry.key = _key(entry)
        entry.request_id = f"req_sim{entry.number:012d}"
        if found := self._simulator.logins.of_access(entry.key):
            entry.login = found[0].name
        self._cue = self._simulator.queue.take(entry, self._simulator.canonical(entry.path))
        self._act_early(entry)
        if not self._closing and (entry.header("expect") or "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._simulator.journal.changed()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        entry = self._entry
        self._all_read = True
        if entry is None or self._closing or self._deaf:
            return
        self._entry = None
        entry.body_at = time.monotonic()
        body = b"".join(self._body)
        self._body = []
        self._simulator.journal.keep_body(entry, ledger_body(entry.path, body))
        http11 = self._parser.get_http_version() == "1.1"
        waiting = _Waiting(entry, body, self._cue, self._parser.should_keep_alive(), http11)
        if self._answering is not None:
            self._waiting.append(waiting)
        else:
            self._answer(waiting)

    # the answer

    def _act_early(self, entry: Entry) -> None:
        """Scripts of key and queue that act before the body is read."""
        sources = (self._simulator.service.script_of(entry), self._cue)
        if sources == ("", "") or self._answering is not None:
            return
        try:
            script = parse(*sources)
        except ScriptError:
            return  # reported in the answer
        if script.connection == "accept-no-read":
            self._deaf = True
            self._transport.pause_reading()
        elif script.connection == "eof-before":
            self._last = entry
            entry.script = "eof-before"
            self._close()
        elif script.connection == "early":
            self._entry = None
            self._answer(_Waiting(entry, b"", self._cue, False, True))

    def _answer(self, waiting: _Waiting) -> None:
        simulator, entry = self._simulator, waiting.entry
        self._answering = self._last = entry
        path = simulator.canonical(entry.path)
        if path is not None and path.startswith("/_sim/") and simulator.control is not None:
            outcome, script = simulator.control.answer(entry, path, waiting.body)
        elif simulator.oauth is not None and is_oauth(entry.path):
            outcome, script = simulator.oauth.answer(entry, waiting.body, waiting.cue)
        else:
            body = _decoded(entry, waiting.body)
            outcome, script = simulator.service.answer(entry, path, body, waiting.cue)
        self._steps = connection_fault(script)
        if self._steps is None:
            entry.status = outcome.status
            self._steps = steps(
                outcome,
                script,
                gap=simulator.service.gap if script.gap is None else script.gap,
                keep_alive=waiting.keep_alive,
                http11=waiting.http11,
                bodiless=entry.method == "HEAD",
            )
        simulator.journal.changed()
        self._pump()

    def _pump(self) -> None:
        """Send until the answer ends, must wait, or the socket is full."""
        entry = self._answering
        if entry is None or self._steps is None or self._timer is not None or self._transport.is_closing():
            return
        batch: list[bytes] = []
        size = 0
        for step in self._steps:
            if step.wait > 0:
                self._write(entry, batch)
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(step.wait, self._after_wait, step)
                return
            entry.events += step.events
            if step.data:
                batch.append(step.data)
                size += len(step.data)
            if step.end is not None:
                self._write(entry, batch)
                self._end(entry, step.end)
                return
            if size >= _BATCH:
                self._write(entry, batch)
                if not self._blocked:  # others have their turn first
                    self._timer = asyncio.get_running_loop().call_later(0, self._after_turn)
                return
        self._write(entry, batch)
        self._steps = iter(())
        if not self._blocked:
            self._complete(entry)

    def _after_turn(self) -> None:
        self._timer = None
        if not self._blocked:
            self._pump()

    def _after_wait(self, step: Step) -> None:
        self._timer = None
        entry = self._answering
        if entry is None or self._steps is None:
            return
        entry.events += step.events
        self._write(entry, [step.data] if step.data else [])
        if step.end is not None:
            self._end(entry, step.end)
        elif not self._blocked:
            self._pump()

    def _write(self, entry: Entry, batch: list[bytes]) -> None:
        if not batch or self._transport.is_closing():
            return
        data = b"".join(batch)
        entry.bytes_written += len(data)
        self._transport.write(data)
        now = time.monotonic()
        entry.last_byte_at = now
        if entry.first_byte_at is None:
            entry.first_byte_at = now
            self._simulator.journal.changed()

    def _end(self, entry: Entry, end: End) -> None:
        if end is End.HANG:
            self._steps = None
            self._simulator.journal.changed()
            return
        if end is End.RST:
            self._reset()
        elif end is End.CLOSE:
            self._close_after = True
            self._steps = iter(())
            if not self._blocked:
                self._complete(entry)
        else:
            self._steps = None
            self._close()

    def _complete(self, entry: Entry) -> None:
        """The whole answer is with the kernel: the ledger counts it as delivered."""
        entry.completed = True
        self._steps = None
        self._answering = None
        self._simulator.journal.changed(entry)
        if self._close_after:
            self._close()
        elif self._waiting and not self._closing:
            self._answer(self._waiting.popleft())

    # the end of the connection

    def _gone(self) -> None:
        """The client left. Whatever it had asked for is no longer sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entry = self._entry or self._answering
        if entry is not None and not entry.completed and not self._closing and entry.client_gone_at is None:
            entry.client_gone_at = time.monotonic()
            self._simulator.journal.changed()
        self._steps = None

    def _close(self) -> None:
        self._closing = True
        if self._all_read or not self._transport.can_write_eof():
            self._transport.close()
            return
        # A close with unread data would send a reset: end our side, and drain for a moment.
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER, self._transport.close)

    def _reset(self) -> None:
        self._closing = True
        self._steps = None
        # Set on a duplicate: it is the same socket to the kernel, and uvloop's own wrapper has no setsockopt.
        handle = self._transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(handle)) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection because the simulator stops."""
        self._closing = True
        self._transport.abort()

    def _bad_http(self, reason: str) -> None:
        text = f"This is not HTTP: {reason}. Send an HTTP/1.1 request.\n".encode()
        fields = (("content-type", "text/plain"), ("content-length", str(len(text))), ("connection", "close"))
        self._transport.write(head(400, fields) + text)
        self._close()


def _key(entry: Entry) -> str | None:
    """The credential; `x-api-key` wins, as it does at the real service."""
    if key := entry.header("x-api-key"):
        return key
    scheme, _, token = (entry.header("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def _decoded(entry: Entry, body: bytes) -> bytes:
    """The body without its gzip coding. Broken gzip stays as it is and fails as JSON."""
    if (entry.header("content-encoding") or "").lower() != "gzip":
        return body
    try:
        return zlib.decompress(body, wbits=31)
    except zlib.error:
        return body
