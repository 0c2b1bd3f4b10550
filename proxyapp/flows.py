"""What happens to the bytes of a stream on their way: nothing in the direct lane, translation in the other.

Rule: a flow is pure bookkeeping over bytes; the relay does the reading, the waiting and the closing.
"""

from __future__ import annotations

from typing import Protocol

from backends.wire.assemble import Assembly
from backends.wire.conversation import Alive, Ended, Event, Failed, Opened, Piece
from backends.wire.errors import ApiError
from backends.wire.stream import CUT_CODE, StreamTap
from backends.wire.usage import Usage


class Flow(Protocol):
    """`content_seen`: the commit point has passed. `finished`: upstream ended the stream itself, well or badly.

    `usage`: what upstream reported so far. `usage_is_final`: it is that of the whole answer.
    """

    @property
    def content_seen(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    @property
    def error(self) -> ApiError | None: ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def usage_is_final(self) -> bool: ...

    def pass_on(self, chunk: bytes) -> bytes:
        """What the client gets for bytes that upstream sent."""

    def end(self) -> bytes:
        """Upstream has ended: what is still due, if anything."""

    def cut(self, message: str, request_id: str) -> bytes:
        """The client's protocol's error event, for a stream that upstream did not finish."""

    def ping(self) -> bytes:
        """A sign of life for a client that has heard nothing for a while; empty if none may be sent."""


class DirectFlow:
    """Bytes pass; a tap watches them."""

    __slots__ = ("_tap",)

    def __init__(self, tap: StreamTap) -> None:
        self._tap = tap

    @property
    def content_seen(self) -> bool:
        return self._tap.content_seen

    @property
    def finished(self) -> bool:
        return self._tap.finished

    @property
    def error(self) -> ApiError | None:
        return self._tap.error

    @property
    def usage(self) -> Usage | None:
        return self._tap.usage

    @property
    def usage_is_final(self) -> bool:
        return self._tap.usage_is_final

    def pass_on(self, chunk: bytes) -> bytes:
        self._tap.feed(chunk)
        return chunk

    def end(self) -> bytes:
        self._tap.close()
        return b""

    def cut(self, message: str, request_id: str) -> bytes:
        return self._tap.cut(message, request_id)

    def ping(self) -> bytes:
        return b""  # not a byte is added to what upstream says


class Reader(Protocol):
    """Upstream's bytes to neutral events."""

    def feed(self, chunk: bytes) -> list[Event]: ...

    def close(self) -> list[Event]: ...


class Writer(Protocol):
    """Neutral events to the client's bytes."""

    def write(self, event: Event) -> bytes: ...

    def ping(self) -> bytes: ...


class TranslatedFlow:
    """Events of one protocol become events of another."""

    def __init__(self, reader: Reader, writer: Writer, assembly: Assembly | None = None) -> None:
        self.content_seen = False
        self.finished = False
        self.error: ApiError | None = None
        self.usage: Usage | None = None
        self.usage_is_final = False
        self._reader = reader
        self._writer = writer
        self._assembly = assembly  # where the whole reply is wanted as well

    def pass_on(self, chunk: bytes) -> bytes:
        return b"".join([self._see(event) for event in self._reader.feed(chunk)])

    def end(self) -> bytes:
        return b"".join([self._last(event) for event in self._reader.close()])

    def cut(self, message: str, request_id: str) -> bytes:
        return self._writer.write(Failed(ApiError(502, message, code=CUT_CODE)))

    def ping(self) -> bytes:
        return self._writer.ping()

    def _last(self, event: Event) -> bytes:
        """The reader's own word for an end without a terminal event goes to nobody: the relay says why that is."""
        if isinstance(event, Failed) and event.error.code == CUT_CODE:
            self._know(event.usage)
            return b""
        return self._see(event)

    def _know(self, usage: Usage | None) -> None:
        """The usage of the whole answer, if there is one."""
        self.usage, self.usage_is_final = usage or self.usage, usage is not None

    def _see(self, event: Event) -> bytes:
        if self._assembly is not None:
            self._assembly.take(event)
        if isinstance(event, Alive):
            return b""  # the relay keeps the client awake, by what the client has heard and not by upstream's rhythm
        if isinstance(event, Opened | Piece):
            self.content_seen = True
        elif isinstance(event, Ended):
            self.content_seen = self.finished = True
            self._know(event.usage)
        elif isinstance(event, Failed):
            self.error, self.finished = event.error, True
            self._know(event.usage)
        elif usage := getattr(event, "usage", None):
            self.usage = usage
        return self._writer.write(event)
