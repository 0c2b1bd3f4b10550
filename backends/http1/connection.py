"""One TCP or TLS connection to an upstream: writes a request, parses the answer into an Exchange.

Rule: an answer whose framing is doubtful ends the connection; only one whose last answer was complete and
unambiguous is used again. Reading pauses while nobody takes what came; writing follows the peer's pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import Protocol, cast

import httptools

from backends.errors import (
    BadFraming,
    NoAnswer,
    SendFailed,
    StreamCut,
    StreamGarbled,
    UpstreamError,
)
from backends.http1.exchange import HIGH_WATER, Exchange
from backends.http1.request import Deadlines, Request

MAX_HEAD = 64 * 1024
MAX_HEADERS = 200
_ONE_WRITE = 64 * 1024  # a body up to this size is sent together with its head
_SLICE = 256 * 1024


class Owner(Protocol):
    """The pool, as a connection sees it."""

    def connection_free(self, connection: Connection) -> None: ...
    def connection_gone(self, connection: Connection) -> None: ...


class _Refused(Exception):
    """The answer breaks a limit; the text says which."""


class Connection(asyncio.Protocol):
    """Serves one exchange at a time, from `start()` until the answer is complete or something fails."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, owner: Owner, peer: str, key: tuple[str, str, int]
    ) -> None:
        self.key = key  # under which the owner keeps it: scheme, host, port
        self.peer = peer
        self.idle_since = 0.0
        self.served = 0
        self.closed = False  # or about to be; never used again
        self.lost = False  # the socket is gone
        self._loop = loop
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._unsent: memoryview | None = None
        self._write_blocked = False
        self._read_paused = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._reset_answer()

    def _reset_answer(self) -> None:
        self._interim = False
        self._keep_alive = False
        self._cut_short = False  # not all of the request will be sent
        self._headers: list[tuple[bytes, bytes]] = []  # of the head that is coming in, then the trailers
        self._header_bytes = 0
        self._overhead = 0  # bytes since the last body byte: head, chunk sizes, trailers

    # For the pool and the exchange.

    def start(self, request: Request, deadlines: Deadlines) -> Exchange:
        """Send a request. Fails into the exchange, never raises."""
        exchange = Exchange(self._loop, self, request, deadlines, self.peer)
        exchange.reused = self.served > 0 or self.idle_since > 0
        if self._transport is None or self.closed or self._transport.is_closing():
            error = self._lost(exchange, None)
            error.request_sent = "none"
            exchange.fail(error)
            return exchange
        self.served += 1
        self._exchange = exchange
        if len(request.body) <= _ONE_WRITE:
            self._transport.write(request.head + request.body)
        else:
            self._transport.write(request.head)
            self._unsent = memoryview(request.body)
        self._send_on()
        return exchange

    def resume_answer(self) -> None:
        if self._read_paused and self._transport is not None:
            self._read_paused = False
            self._transport.resume_reading()

    def ring_by(self, moment: float) -> None:
        """Look at the exchange's deadline by then. One timer serves all exchanges of the connection, one after the
        other: making one costs more than letting it ring in vain now and then.
        """
        if self._alarm is None or self._alarm_at > moment:
            self._silence()
            self._alarm_at = moment
            self._alarm = self._loop.call_at(moment, self._rang)

    def abort(self) -> None:
        """Close the socket without another word. The owner hears of it when it is closed."""
        self.closed = True
        self._unsent = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.complete:
            exchange.fail(self._lost(exchange, None))
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        encrypted = transport.get_extra_info("sslcontext") is not None
        # "Blocked" then means: not all is out yet. (The TLS layer calls a limit of 0 reached when empty.)
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()  # nobody asked: a farewell like 408, or an answer too many
            return
        exchange.touched = True
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not exchange.complete:
                exchange.fail(self._garbled(exchange, error))
            self._keep_alive = False
        if exchange.complete:
            self._leave(exchange)
        elif self._overhead > MAX_HEAD:
            exchange.fail(
                self._garbled(exchange, _Refused("sent more than 64 KiB of headers or chunk framing"))
            )
        elif exchange.buffered:
            self._hand_over(exchange)

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._hear_last_words(exc)
        self._transport = None
        self._end(exc)
        self._silence()
        del self._parser  # it holds our methods: a cycle
        self._owner.connection_gone(self)

    def pause_writing(self) -> None:
        self._write_blocked = True

    def resume_writing(self) -> None:
        self._write_blocked = False
        self._send_on()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            self._keep_alive = False
            raise _Refused("sent a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._header_bytes += len(name) + len(value) + 4
        if len(self._headers) > MAX_HEADERS or self._header_bytes > MAX_HEAD:
            raise _Refused("sent more than 200 headers or 64 KiB of them")

    def on_headers_complete(self) -> None:
        exchange, status = self._exchange, self._parser.get_status_code()
        if exchange is None:
            return
        headers, self._headers = self._headers, []
        if 100 <= status < 200:
            self._interim_answer(status)
            return
        exchange.headers = headers
        exchange.until_close = not _is_framed(headers)
        exchange.answer_began(status)
        if status >= 400 and self._unsent:
            self._unsent = None  # it has heard enough; the rest would only be thrown away
            self._cut_short = True
        if exchange.request.bodyless_answer or status in (204, 304):
            exchange.complete = True
        exchange.wake()

    def on_body(self, data: bytes) -> None:
        self._overhead = 0
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.keep(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif self._exchange is not None:
            self._keep_alive = self._parser.should_keep_alive() and not self._exchange.complete
            self._exchange.complete = True

    # Steps.

    def _interim_answer(self, status: int) -> None:
        if status == 101:
            raise _Refused("switched to another protocol without being asked")
        self._interim = True

    def _send_on(self) -> None:
        """Write until the transport holds something back, or all is out."""
        exchange, transport = self._exchange, self._transport
        if exchange is None or transport is None:
            return
        while self._unsent and not self._write_blocked and not transport.is_closing():
            # None, not an empty rest: that one would hold the whole body while the connection is idle
            piece, self._unsent = self._unsent[:_SLICE], self._unsent[_SLICE:] or None
            transport.write(piece)
        sent = not self._unsent and not self._write_blocked and not self._cut_short
        if exchange.status:
            exchange.sent = sent
        else:
            exchange.progressed(sent=sent)

    def _hand_over(self, exchange: Exchange) -> None:
        if exchange.buffered > HIGH_WATER and not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()
        exchange.wake()

    def _rang(self) -> None:
        self._alarm = None
        exchange = self._exchange
        if exchange is not None and (moment := exchange.looked_at_the_clock()) is not None:
            self.ring_by(moment)

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _leave(self, exchange: Exchange) -> None:
        """The answer is complete: back to the owner, if nothing about it was doubtful."""
        clean = self._keep_alive and exchange.sent and not self.closed
        self._exchange = None
        exchange.finish()
        if not clean:
            self.abort()
            return
        self._reset_answer()
        self._owner.connection_free(self)

    def _hear_last_words(self, exc: Exception | None) -> None:
        """A server that refuses a large request may answer, close and so reset at once.

        The write that fails then hides the answer, but it is still in the socket. Not so under TLS.
        """
        exchange, transport = self._exchange, self._transport
        if exchange is None or transport is None or exc is None or exchange.sent or exchange.status:
            return
        sock = transport.get_extra_info("socket")
        if sock is None or transport.get_extra_info("sslcontext") is not None:
            return
        with contextlib.suppress(OSError):
            if data := os.read(sock.fileno(), MAX_HEAD):
                self.data_received(data)

    def _end(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.status and exchange.until_close and exc is None:
            self._keep_alive = False
            self._leave(exchange)
        elif exchange is not None:
            exchange.fail(self._lost(exchange, exc))
        self.abort()

    def _garbled(self, exchange: Exchange, error: Exception) -> UpstreamError:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        what = str(cause) if isinstance(cause, _Refused) else "sent something that is not valid HTTP/1.1"
        message = f"{self.peer} {what}. Check that the base URL points at an HTTP API."
        return StreamGarbled(message) if exchange.status else BadFraming(message)

    def _lost(self, exchange: Exchange, exc: Exception | None) -> UpstreamError:
        how = "reset the connection" if isinstance(exc, ConnectionError) else "closed the connection"
        if isinstance(exc, ssl.SSLError):
            how = "broke the TLS connection"
        if exchange.status:
            return StreamCut(
                f"{self.peer} {how} in the middle of its answer. What came before is incomplete."
            )
        if not exchange.sent:
            return SendFailed(f"{self.peer} {how} while the request was being sent. Check that server's log.")
        when = "in the middle of the response headers" if exchange.touched else "without an answer"
        return NoAnswer(f"{self.peer} {how} {when}. Check that server's log.")


def _is_framed(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the head says where the body ends. The parser refuses a second length, and one beside chunks."""
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise _Refused("sent a Transfer-Encoding that was not asked for")
    return bool(codings) or b"content-length" in dict(headers)
