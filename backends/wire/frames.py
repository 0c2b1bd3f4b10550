"""Server-sent events as the bytes that they came in, for what changes a few of them and passes all others on.

Rule: nothing is lost and nothing is added: the frames of a stream, one after the other, are the stream.
"""

from __future__ import annotations

import re

# A blank line, the end of an event: two line ends in a row, in any of the three spellings.
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_DATA = re.compile(rb"(?:^|[\r\n])(?:\xef\xbb\xbf)?data:([^\r\n]*)")


class FrameReader:
    """Cuts a stream into its events, each with the blank line that ends it. Chunks may be cut anywhere."""

    __slots__ = ("_pending", "_searched")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        """How many bytes of an event that is not complete wait."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are complete by now."""
        self._pending += chunk
        frames, at = [], 0
        for blank in _BLANK.finditer(self._pending, max(0, self._searched - 3)):
            frames.append(bytes(self._pending[at : blank.end()]))
            at = blank.end()
        del self._pending[:at]
        self._searched = len(self._pending)
        return frames

    def rest(self) -> bytes:
        """What is left of an event that did not end; a second call gives nothing."""
        rest = bytes(self._pending)
        self._pending.clear()
        self._searched = 0
        return rest


def data_of(frame: bytes) -> tuple[int, bytes]:
    """Where an event's data begin, and the data, so that offsets in it are offsets in the frame, moved by the first.

    Several data lines become one text in which each stands at its place: a JSON string never runs over a line end, so
    spaces may stand for what is between the lines. No data: nothing, at 0.
    """
    spans = [match.span(1) for match in _DATA.finditer(frame)]
    if len(spans) == 1:
        return spans[0][0], frame[slice(*spans[0])]
    if not spans:
        return 0, b""
    data = bytearray(b" " * len(frame))
    for start, end in spans:
        data[start:end] = frame[start:end]
    return 0, bytes(data)
