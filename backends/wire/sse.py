"""Server-sent events as bytes: an incremental reader and an encoder.

Rule: the reader never decodes text. A character, a line or an event may be cut anywhere between two network
chunks, so only whole events are handed out, and their bytes are the sender's.
"""

from __future__ import annotations

import msgspec

DEFAULT_LIMIT = 16 * 2**20
_BOM = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: `name` is b"" without an `event:` line; `data` is its data lines joined by LF.

    A msgspec struct and not a dataclass, because a stream makes thousands of them and these cost a fifth.
    """

    name: bytes
    data: bytes


class SseTooLong(ValueError):
    """One event is larger than the reader's limit. The stream cannot be followed any further."""


class SseReader:
    """Turns chunks into events. Accepts LF, CRLF, CR, a byte order mark, comments, no space after a colon.

    Time is linear in the bytes fed, whatever the chunk sizes. Memory is at most `limit` plus one chunk.
    """

    __slots__ = ("_at_start", "_limit", "_pending", "_skip_lf", "_too_long")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._pending = bytearray()  # the unfinished event, line ends already LF
        self._at_start = True
        self._skip_lf = False  # the last byte was a CR that counted as a line end: an LF next belongs to it
        self._too_long = False

    @property
    def pending(self) -> bytes:
        """What came of an event that is not finished yet, with line ends as LF; b"" between two events."""
        return bytes(self._pending)

    @property
    def after_cr(self) -> bool:
        """Whether the last byte fed was a CR: an LF next would belong to it and end no line."""
        return self._skip_lf

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes.

        Raises SseTooLong when an event exceeds the limit, and again on each later call.
        """
        if self._too_long:
            raise self._overflow()
        if self._at_start:
            chunk = self._without_bom(chunk)
        if self._skip_lf or b"\r" in chunk:
            chunk = self._with_lf(chunk)
        events: list[SseEvent] = []
        if self._pending and chunk:
            chunk = self._finish_pending(chunk, events)
        head, found, tail = chunk.rpartition(b"\n\n")
        if found:
            for block in head.split(b"\n\n"):
                self._add(block, events)
        if tail:
            self._pending += tail
            if len(self._pending) > self._limit:
                raise self._overflow()
        return events

    def close(self) -> list[SseEvent]:
        """End of input. An event without its closing blank line does not count, so this is always empty."""
        return []

    def _without_bom(self, chunk: bytes) -> bytes:
        """Drop a byte order mark. It may be cut between chunks, so its first bytes wait in `_pending`."""
        chunk = bytes(self._pending) + chunk
        self._pending.clear()
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._pending += chunk
            return b""
        self._at_start = False
        return chunk.removeprefix(_BOM)

    def _with_lf(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if self._skip_lf:
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if chunk.endswith(b"\r"):
            self._skip_lf = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _finish_pending(self, chunk: bytes, events: list[SseEvent]) -> bytes:
        """Complete the unfinished event if the chunk ends it; return what of the chunk is still to be read.

        Only the seam and the new bytes are searched: what waits was searched when it came.
        """
        if chunk[0] == 10 and self._pending[-1] == 10:
            end, rest = 0, 1
        elif (end := chunk.find(b"\n\n")) >= 0:
            rest = end + 2
        else:
            return chunk
        block = bytes(self._pending) + chunk[:end]
        self._pending.clear()
        self._add(block, events)
        return chunk[rest:]

    def _add(self, block: bytes, events: list[SseEvent]) -> None:
        if len(block) > self._limit:
            raise self._overflow()
        event = _parse(block)
        if event is not None:
            events.append(event)

    def _overflow(self) -> SseTooLong:
        self._too_long = True
        return SseTooLong(
            f"One event of the stream is larger than {self._limit} bytes. Check the backend: "
            "it sends no blank line between events, or no event stream at all."
        )


def _parse(block: bytes) -> SseEvent | None:
    """One block between blank lines. The two usual layouts first, each without a loop over lines."""
    if block.startswith(b"data: "):
        if b"\n" not in block:
            return SseEvent(b"", block[6:])
    elif block.startswith(b"event: "):
        end = block.find(b"\n")
        if block.startswith(b"data: ", end + 1) and block.find(b"\n", end + 1) < 0:
            return SseEvent(block[7:end], block[end + 7 :])
    return _parse_lines(block)


def _parse_lines(block: bytes) -> SseEvent | None:
    """Any block. Unknown fields, `id`, `retry` and comments are skipped; no data line, no event."""
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return SseEvent(name, b"\n".join(data)) if data else None


def encode_event(data: bytes, name: bytes = b"") -> bytes:
    """The bytes of one event; each line of `data` gets its own data line. The name is one line."""
    if b"\n" in name or b"\r" in name:
        raise ValueError("An event name is one line; remove the line break.")
    head = b"event: " + name + b"\n" if name else b""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
