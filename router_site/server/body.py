"""Request bodies, of declared length or chunked: bytes in, one value out, never more than the limit. Pure."""

from __future__ import annotations

import re
from typing import Protocol

from router_site.server.limits import Limits
from router_site.server.parsing import Refused

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_MAX_SIZE_LINE = 1024
_MAX_TRAILER = 16 * 1024
# Many tiny chunks cost far more than their bytes: refused once there is no doubt about the intent.
_TINY_CHUNKS = 65_536
_TINY_CHUNK_BYTES = 16


def too_large(limits: Limits) -> Refused:
    """The refusal of a body above the limit."""
    return Refused(
        413,
        f"The request body is larger than {limits.max_body} bytes. Send less, or raise PATCHBAY_MAX_BODY_MB.",
    )


class Body(Protocol):
    """A body that is being received."""

    received: int

    def feed(self, data: bytes) -> bytes | None:
        """Take what has come. None: more is needed. Else what follows the body. Raises `Refused`."""

    def value(self) -> bytes:
        """The whole body, once `feed` has said that it is there."""


class LengthBody:
    """A body of a declared length."""

    __slots__ = ("_length", "_parts", "received")

    def __init__(self, length: int) -> None:
        self.received = 0
        self._length = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        """See `Body.feed`."""
        missing = self._length - self.received
        part = data if len(data) <= missing else data[:missing]
        self.received += len(part)
        self._parts.append(part)
        return data[missing:] if self.received == self._length else None

    def value(self) -> bytes:
        """See `Body.value`."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class ChunkedBody:
    """A body in chunks, each with its size before it. Extensions and trailers are read and dropped."""

    __slots__ = (
        "_body",
        "_buffer",
        "_chunks",
        "_in_trailer",
        "_left",
        "_limits",
        "_position",
        "_trailer",
        "received",
    )

    def __init__(self, limits: Limits) -> None:
        self.received = 0
        self._limits = limits
        self._body = bytearray()
        self._buffer = bytearray()
        self._position = 0  # read so far of the buffer
        self._left = 0  # of the current chunk, with its two closing bytes; 0 between chunks
        self._chunks = 0
        self._in_trailer = False
        self._trailer = 0

    def feed(self, data: bytes) -> bytes | None:
        """See `Body.feed`."""
        self._buffer += data
        finished = False
        while not finished and self._step():
            finished = self._in_trailer and self._left < 0
        del self._buffer[: self._position]
        self._position = 0
        return bytes(self._buffer) if finished else None

    def value(self) -> bytes:
        """See `Body.value`."""
        value, self._body = bytes(self._body), bytearray()
        return value

    def _step(self) -> bool:
        """Read one element of the framing. False: it is not complete yet."""
        if self._in_trailer:
            return self._read_trailer_line()
        return self._read_data() if self._left else self._read_size()

    def _read_size(self) -> bool:
        line = self._line(_MAX_SIZE_LINE, "chunk size")
        if line is None:
            return False
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Refused(400, "Malformed chunk size. Send hexadecimal digits and CR LF.")
        size = int(match[1], 16)
        if self.received + size > self._limits.max_body:
            raise too_large(self._limits)
        self._chunks += 1
        if self._chunks > _TINY_CHUNKS and self.received < self._chunks * _TINY_CHUNK_BYTES:
            raise Refused(400, "The chunks of the request body are too small. Send larger ones.")
        self._left = size + 2 if size else 0
        self._in_trailer = not size
        return True

    def _read_data(self) -> bool:
        available = len(self._buffer) - self._position
        if not available:
            return False
        part = min(self._left - 2, available) if self._left > 2 else 0
        if part:
            self._body += memoryview(self._buffer)[self._position : self._position + part]
            self.received += part
            self._left -= part
            self._position += part
        return self._read_chunk_end() if self._left == 2 else False

    def _read_chunk_end(self) -> bool:
        end = self._buffer[self._position : self._position + 2]
        if not b"\r\n".startswith(end):
            raise Refused(
                400, "A chunk of the request body is longer than its size. End each chunk with CR LF."
            )
        if len(end) < 2:
            return False
        self._position += 2
        self._left = 0
        return True

    def _read_trailer_line(self) -> bool:
        line = self._line(_MAX_TRAILER, "trailer")
        if line is None:
            return False
        self._trailer += len(line)
        if self._trailer > _MAX_TRAILER or b"\n" in line or b"\r" in line:
            raise Refused(400, "Malformed trailer after the request body. Leave it out.")
        if not line:
            self._left = -1  # the end
        return True

    def _line(self, longest: int, what: str) -> bytes | None:
        """The next line without its end, or None if its end has not come."""
        end = self._buffer.find(b"\r\n", self._position)
        if (end if end >= 0 else len(self._buffer)) - self._position > longest:
            raise Refused(400, f"The {what} line of the request body is too long. Shorten it.")
        if end < 0:
            return None
        line = bytes(self._buffer[self._position : end])
        self._position = end + 2
        return line
