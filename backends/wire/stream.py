"""The base of the taps: what a stream of events that passes by tells, the same words for every protocol.

Rule: a tap changes nothing and never raises. What it cannot read, it lets pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backends.wire import mend
from backends.wire.errors import ApiError
from backends.wire.kinds import Kind
from backends.wire.sse import SseEvent, SseReader, SseTooLong, encode_event
from backends.wire.usage import Usage

CUT_CODE = "stream_cut"  # the error code of a stream that its upstream did not finish


class StreamTap:
    """Reads what passes in the direct lane. One per stream; the protocols' modules derive from it.

    `content_seen` is the commit point: the first event that is more than an opening or a sign of life has
    passed. `finished` says that the upstream ended the stream itself, well or with an error event. `error` is
    its in-stream error, with the status it would have had over HTTP; 502 if the events are unreadable. `usage` is
    what was reported so far; `usage_is_final` says that it is that of the whole answer.
    """

    __slots__ = ("_reader", "content_seen", "error", "finished", "kind", "model", "usage", "usage_is_final")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.content_seen = False
        self.finished = False
        self.error: ApiError | None = None
        self.usage: Usage | None = None
        self.usage_is_final = False
        self.model: str | None = None
        self._reader = SseReader()

    def feed(self, chunk: bytes) -> None:
        """Look at bytes that were received. Chunks may be cut anywhere."""
        try:
            for event in self._reader.feed(chunk):
                self._see(event)
        except SseTooLong as exc:
            self.error = self.error or ApiError(502, str(exc), code="event_too_large")

    def close(self) -> None:
        """The upstream's end of stream. An event that lacks its closing blank line does not count."""

    def cut(self, message: str, request_id: str) -> bytes:
        """The bytes that end, with this protocol's error, a stream whose upstream did not finish it.

        They continue exactly where the forwarded bytes stop, also in the middle of an event.
        """
        raise NotImplementedError

    def _see(self, event: SseEvent) -> None:
        raise NotImplementedError

    def _fail(self, error: ApiError) -> None:
        """An error event of the upstream: the first one counts, and it ends the stream."""
        self.error = self.error or error
        self.finished = True

    def _finish(self) -> None:
        """The upstream's regular end. An empty answer is an answer too."""
        self.content_seen = self.finished = True
        self.usage_is_final = self.usage is not None

    def _cut_into(self, data: bytes, members: bytes, *, name: bytes = b"", is_end: bool = False) -> bytes:
        """The error event `data`, put where the forwarded bytes stop.

        Between two events: as it is. Before any data of an unfinished event: into that event. In the middle
        of its JSON: the JSON is completed with `members`, which make an error of it. Else the unfinished
        event ends first; with `is_end` a line is added to its data so that it cannot be read as the regular
        end of the stream.
        """
        whole = encode_event(data, name)
        pending = self._reader.pending
        if not pending.strip(b"\n"):
            return whole
        newline = self._line_end(pending)
        came = pending_data(pending)
        if not came.strip():
            return newline + whole
        on_data_line = pending.rpartition(b"\n")[2].startswith(b"data:")
        ending = mend.complete_object(came if on_data_line else came + b"\n", members)
        if ending is None:
            return newline + (b"data: cut\n\n" if is_end else b"\n") + whole
        start = b"" if on_data_line else newline + b"data: "
        return start + ending + (b"\nevent: " + name if name else b"") + b"\n\n"

    def _line_end(self, pending: bytes) -> bytes:
        """What ends the line in which the forwarded bytes stop; nothing if they stop between two lines."""
        if pending.endswith(b"\n"):
            return b"\n" if self._reader.after_cr else b""
        return mend.utf8_rest(pending) + b"\n"


def pending_data(pending: bytes) -> bytes:
    """What came of the data of an unfinished event."""
    lines = (line[5:].removeprefix(b" ") for line in pending.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(lines)


def load_object(data: bytes | msgspec.Raw) -> Mapping[str, object]:
    """The JSON object in `data`; an empty mapping for anything else, whatever it is."""
    value = load(data)
    return value if isinstance(value, dict) else {}


def load(data: bytes | msgspec.Raw) -> object:
    """The JSON value in `data`, None if it is no JSON."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return None
