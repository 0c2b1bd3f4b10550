"""Anthropic Messages in the direct lane: reading a passing stream, and ending one that was cut."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backends.wire.errors import ApiError, error_body, read_error
from backends.wire.kinds import Kind, Protocol
from backends.wire.sse import SseEvent, encode_event
from backends.wire.stream import CUT_CODE, StreamTap, load_object
from backends.wire.usage import merge_usage, usage_from

# Nothing but these is read of an event once the answer has begun: deltas are most of a stream.
_TELLING = frozenset((b"message_start", b"message_delta", b"message_stop", b"error"))
_OPENING = frozenset((b"message_start", b"ping"))


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


_TYPE = msgspec.json.Decoder(_Typed)


class AnthropicTap(StreamTap):
    """Reads a stream of POST /v1/messages."""

    __slots__ = ("_usage",)

    def __init__(self, kind: Kind = Kind.MESSAGES) -> None:
        super().__init__(kind)
        self._usage: dict[str, object] = {}

    def cut(self, message: str, request_id: str) -> bytes:
        """An `error` event. An unfinished event is turned into a `ping` first: its last name line counts."""
        error = ApiError(502, message, code=CUT_CODE)
        event = encode_event(error_body(Protocol.ANTHROPIC, error, request_id), b"error")
        pending = self._reader.pending
        if not pending.strip(b"\n"):
            return event
        # The extra data line is for readers that go by the data alone: what they see is no JSON any more.
        return self._line_end(pending) + b"event: ping\ndata: cut\n\n" + event

    def _see(self, event: SseEvent) -> None:
        name = event.name or _type_of(event.data)
        if not self.content_seen and name and name not in _OPENING and name != b"error":
            self.content_seen = True
        if name not in _TELLING:
            return
        data = load_object(event.data)
        if name == b"error":
            self._fail(read_error(data))
        elif name == b"message_stop":
            self._finish()
        elif name == b"message_start":
            self._start(data.get("message"))
        else:  # the counts are cumulative, and nothing that costs comes after this event
            self._count(data.get("usage"))
            self.usage_is_final = isinstance(data.get("usage"), Mapping)

    def _start(self, message: object) -> None:
        if isinstance(message, Mapping):
            model = message.get("model")
            self.model = model if isinstance(model, str) else None
            self._count(message.get("usage"))

    def _count(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            self._usage = merge_usage(self._usage, usage)
            self.usage = usage_from(self.kind, self._usage)


def _type_of(data: bytes) -> bytes:
    """The event's type, for senders that leave the `event:` line out; b"" if there is none."""
    try:
        return _TYPE.decode(data).type.encode()
    except (ValueError, RecursionError):
        return b""
