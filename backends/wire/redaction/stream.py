"""The way down, for streams: placeholders become the values again, wherever the events and the network cut them.

Rule: an event in which nothing changes keeps its bytes, and so does everything that is no event. Held back are only the
bytes of an event that is not complete and, per text, the letters with which a placeholder may begin.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from backends.wire.frames import FrameReader, data_of
from backends.wire.kinds import Kind
from backends.wire.redaction.answer import levels_of, restore_body, restore_raw
from backends.wire.redaction.content import Path, Slot, answer_slots
from backends.wire.redaction.pieces import Channel, channel_of, ended_by, is_last, level_of, piece_event
from backends.wire.redaction.strings import Node, inner_spans, parse_event
from backends.wire.redaction.vault import MARK, Vault
from backends.wire.splice import splice
from backends.wire.sse import DEFAULT_LIMIT, encode_event

_NAME = re.compile(rb"(?:^|[\r\n])(?:\xef\xbb\xbf)?event: ?([^\r\n]*)")
_ENDS = (b'P"', b'PB"')  # a string that ends with the mark's first letters


class _Held(NamedTuple):
    """The end of a text that waits, and the event whose piece it was: its data, its name, the piece's place in it."""

    text: bytes
    data: bytes
    name: bytes
    path: Path


class Restorer:
    """One stream on its way to the client: `feed` each chunk, send what comes out; `end` when upstream has ended.

    Chunks may be cut anywhere. With an empty vault every chunk passes as it is. What cannot be read passes as it is,
    too; nothing here raises.
    """

    __slots__ = ("_frames", "_held", "_kind", "_vault")

    def __init__(self, kind: Kind, vault: Vault) -> None:
        self._kind = kind
        self._vault: Vault | None = None if vault.is_empty else vault
        self._frames = FrameReader()
        self._held: dict[Channel, _Held] = {}

    def feed(self, chunk: bytes) -> bytes:
        """The bytes for the client; the same object as `chunk` where nothing in it concerns us."""
        if self._vault is None:
            return chunk
        if not self._frames and not self._held and chunk.endswith(b"\n\n") and not _is_suspect(chunk):
            return chunk
        out = b"".join([self._event(frame) for frame in self._frames.feed(chunk)])
        if len(self._frames) > DEFAULT_LIMIT:  # no event is that large: this is no event stream
            out += self.end()
            self._vault = None
        return out

    def end(self) -> bytes:
        """What is still held back. Call it also before an error event is appended to a stream that broke off."""
        rest = self._frames.rest()
        if self._vault is not None:  # a backend may answer with a whole body instead of a stream
            rest = restore_body(rest, self._vault)
        return self._release(list(self._held)) + rest

    def _event(self, event: bytes) -> bytes:
        if not self._held and not _is_suspect(event):
            return event
        start, data = data_of(event)
        try:
            tree = parse_event(data)
            found = answer_slots(tree)
        except (ValueError, RecursionError):
            return (self._release(list(self._held)) if data.strip() == b"[DONE]" else b"") + event
        slots = [(slot, channel_of(self._kind, tree, slot)) for slot in found]
        spoken = {channel for slot, channel in slots if channel is not None and slot.text}
        before = self._release(ended_by(self._kind, tree, self._held, spoken))
        edits = self._edits(event, start, data, tree, slots)
        return before + (splice(event, edits) if edits else event)

    def _edits(
        self, event: bytes, start: int, data: bytes, tree: Node, slots: list[tuple[Slot, Channel | None]]
    ) -> list[tuple[int, int, bytes]]:
        assert self._vault is not None
        quotes = inner_spans(data)
        edits = []
        for slot, channel in slots:
            begin, end = quotes[2 * slot.ordinal] + 1, quotes[2 * slot.ordinal + 1]
            raw = data[begin:end]
            slot = slot._replace(level=level_of(self._kind, tree, slot))
            levels = levels_of(slot, self._vault)
            if channel is None:
                restored = restore_raw(raw, levels, self._vault)
            else:
                whole = self._joined(channel, raw, event, data, tree, slot.path)
                restored = restore_raw(whole, levels, self._vault)
            if restored != raw:
                edits.append((start + begin, start + end, restored))
        return edits

    def _joined(
        self, channel: Channel, raw: bytes, event: bytes, data: bytes, tree: Node, path: Path
    ) -> bytes:
        """What was held of this text and its new piece, without the end that has to wait now."""
        assert self._vault is not None
        held = self._held.pop(channel, None)
        whole = held.text + raw if held else raw
        tail = b"" if is_last(self._kind, tree, channel) else self._vault.open_end(whole)
        if not tail:
            return whole
        name = _NAME.search(event)
        self._held[channel] = _Held(tail, data, name[1] if name else b"", path)
        return whole[: len(whole) - len(tail)]

    def _release(self, channels: list[Channel]) -> bytes:
        """Events of our own for texts that ended with what only looked like a placeholder's beginning."""
        out = []
        for channel in channels:
            held = self._held.pop(channel)
            out.append(encode_event(piece_event(held.data, held.path, held.text.decode()), held.name))
        return b"".join(out)


def _is_suspect(data: bytes) -> bool:
    return MARK in data or _ENDS[0] in data or _ENDS[1] in data
