"""Tool names on the way down: the client gets the names that it knows, and every other byte as the backend sent it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backends.wire.frames import FrameReader, data_of
from backends.wire.kinds import Kind
from backends.wire.splice import splice
from backends.wire.sse import DEFAULT_LIMIT
from backends.wire.templates.sites import answer_node, may_hold, sites


@dataclass(frozen=True, slots=True)
class ToolNames:
    """The names that one request changed: upstream's → the client's. `kind` is the operation at the backend."""

    kind: Kind
    client: Mapping[str, str]

    def whole(self, body: bytes) -> bytes:
        """A whole answer with the client's names; the same object if it holds none, or is no JSON."""
        if not may_hold(body, self.client):
            return body
        try:
            found = sites(body, answer_node(self.kind), self.client)
        except (ValueError, RecursionError):
            return body
        return splice(body, [site[:3] for site in found]) if found else body

    def stream(self) -> NameStream:
        """For one stream."""
        return NameStream(self)


class NameStream:
    """One stream on its way to the client: `feed` each chunk, pass on what comes out; `end` when upstream has ended.

    A name comes whole within one event, so an event is held until it is complete, and nothing longer. An event without
    a changed name keeps its bytes. Nothing here raises.
    """

    __slots__ = ("_frames", "_names")

    def __init__(self, names: ToolNames) -> None:
        self._names: ToolNames | None = names
        self._frames = FrameReader()

    def feed(self, chunk: bytes) -> bytes:
        """The bytes for the client; the same object as `chunk` where it is whole events without a name."""
        names = self._names
        if names is None:
            return chunk
        if not self._frames and chunk.endswith(b"\n\n") and not may_hold(chunk, names.client):
            return chunk
        told = b"".join([_restored(frame, names) for frame in self._frames.feed(chunk)])
        if len(self._frames) > DEFAULT_LIMIT:  # no event is that large: this is no event stream
            told += self._frames.rest()
            self._names = None
        return told

    def end(self) -> bytes:
        """What is still held back: an event that was not ended, or a whole body in place of a stream."""
        rest, names = self._frames.rest(), self._names
        if not rest or names is None:
            return rest
        return _restored(rest, names) if b"data:" in rest[:4096] else names.whole(rest)


def _restored(frame: bytes, names: ToolNames) -> bytes:
    """One event with the client's names."""
    if not may_hold(frame, names.client):
        return frame
    start, data = data_of(frame)
    try:
        found = sites(data, answer_node(names.kind), names.client)
    except (ValueError, RecursionError):
        return frame
    return splice(frame, [(start + site.start, start + site.end, site.spelled) for site in found])
