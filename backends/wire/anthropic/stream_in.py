"""A Messages upstream's stream, read into neutral events.

Rules: the reader goes by each block's index. A block that opens before the one before it is closed waits for its
turn, and a delta that does not fit its block gets a block of its own. Server tool blocks are handed out whole.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from msgspec.json import Decoder

from backends.wire.anthropic.blocks_in import ORIGIN
from backends.wire.anthropic.errors import neutral
from backends.wire.anthropic.response import derive_stop, load_counts, read_refusal
from backends.wire.anthropic.shapes import (
    Delta,
    StartedBlock,
    StartedMessage,
    StopDetails,
    StreamEvent,
    Typed,
)
from backends.wire.conversation import (
    Alive,
    Began,
    Block,
    Closed,
    Ended,
    Event,
    Failed,
    Foreign,
    Opened,
    Piece,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import ApiError, read_error
from backends.wire.kinds import Kind
from backends.wire.sse import SseEvent, SseReader, SseTooLong
from backends.wire.stream import CUT_CODE, load
from backends.wire.target import Names, unwrap_custom
from backends.wire.usage import merge_usage, usage_from

_MOST_HELD = 16 * 2**20  # characters that may wait for their turn
_KNOWN = frozenset(
    ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
     "message_stop", "error")
)  # fmt: skip
_CUT = "The upstream ended its answer early. Send the request again."


_EVENT, _START, _ANY = Decoder(StreamEvent), Decoder(StartedBlock), Decoder(dict[str, Any])
_TYPE = Decoder(Typed)


class _Open:
    """A block of the upstream that is not closed yet. `held`: its pieces until it is its turn."""

    __slots__ = ("block", "held", "input", "is_done", "json", "raw", "signature")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.held: list[Piece] = []
        self.is_done = False
        self.input = ""  # a call's input as its start gave it, for a call without deltas
        self.json: list[str] | None = None  # a custom tool's or a server tool's input, until it is whole
        self.raw: dict[str, Any] = {}  # a foreign block
        self.signature: str | None = None


class StreamReader:
    """Reads one stream. Chunks may be cut anywhere; nothing is emitted before the first event that can be read."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._sse = SseReader()
        self._open: dict[int, _Open] = {}  # by the upstream's index
        self._queue: list[_Open] = []  # in the order in which they are handed out; the first one is being
        self._events: list[Event] = []
        self._count = 0  # blocks handed out, the current one included
        self._began = self._over = self._has_calls = False
        self._held = 0
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._details: StopDetails | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes; none after the stream's end."""
        if self._over:
            return []
        try:
            for event in self._sse.feed(chunk):
                self._see(event)
        except SseTooLong as exc:
            self._fail(ApiError(502, str(exc), code="event_too_large"))
        return self._taken()

    def close(self) -> list[Event]:
        """The upstream's end of stream: an error unless its last event came."""
        if not self._over:
            self._fail(ApiError(502, _CUT, code=CUT_CODE))
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _see(self, event: SseEvent) -> None:
        if self._over:
            return
        try:
            data = _EVENT.decode(event.data)
        except (ValueError, RecursionError):
            self._see_unreadable(event)
            return
        kind = data.type or event.name.decode("ascii", "replace")
        if kind == "content_block_delta":
            self._delta(data, event)
        elif kind == "content_block_start":
            self._start(data)
        elif kind == "content_block_stop":
            self._stop(data.index)
        elif kind == "message_start":
            self._begin(data.message)
        elif kind == "message_delta":
            self._message_delta(data)
        elif kind == "message_stop":
            self._end()
        elif kind == "error":
            self._fail(neutral(read_error(load(event.data))))
        elif self._began:
            self._events.append(Alive())

    def _see_unreadable(self, event: SseEvent) -> None:
        """Events that nobody knows may look as they like; a known one that cannot be read must not be skipped."""
        try:
            kind = _TYPE.decode(event.data).type
        except (ValueError, RecursionError):
            kind = ""
            if not event.name and event.data.strip() in (b"[DONE]", b""):
                return
        kind = kind or event.name.decode("ascii", "replace") or "message_start"
        if kind == "error":
            self._fail(neutral(read_error(load(event.data))))
        elif kind in _KNOWN:
            words = f"The backend sent a `{kind[:40]}` event that cannot be read. Check its protocol."
            self._fail(ApiError(502, words, code="unreadable"))

    def _begin(self, message: StartedMessage | None) -> None:
        if self._began:
            return
        self._began = True
        message = message or StartedMessage()
        self._usage = load_counts(message.usage)
        usage = usage_from(Kind.MESSAGES, self._usage)
        self._events.append(Began(message.id, message.model, usage))

    # --- blocks

    def _start(self, data: StreamEvent) -> None:
        self._begin(None)
        if data.index in self._open:
            self._stop(data.index)
        try:
            start = _START.decode(data.content_block)
        except (ValueError, RecursionError):
            start = StartedBlock(type=_type_of(data.content_block))
        opened = self._opened(start, data.content_block)
        self._open[data.index] = opened
        self._queue.append(opened)
        if len(self._queue) == 1:
            self._hand_out(opened)
        if start.text and isinstance(opened.block, Text):
            self._piece(opened, Piece(0, start.text))
        if start.thinking and isinstance(opened.block, Thinking):
            self._piece(opened, Piece(0, start.thinking))
        if start.data and start.type == "redacted_thinking":
            self._piece(opened, Piece(0, encrypted=start.data))

    def _opened(self, start: StartedBlock, raw: Raw) -> _Open:
        if start.type == "text":
            return _Open(Text(""))
        if start.type in ("thinking", "redacted_thinking"):
            opened = _Open(Thinking(origin=ORIGIN))
            opened.signature = start.signature or None
            return opened
        if start.type == "tool_use":
            self._has_calls = True
            own = self._names.client(start.name)
            opened = _Open(ToolCall(start.id, own.name, "", own.is_custom, own.namespace))
            given = bytes(start.input).decode("utf-8", "replace")
            opened.input = given if given.startswith("{") else "{}"
            opened.json = [] if own.is_custom else None
            return opened
        foreign = load(raw)
        fields = foreign if isinstance(foreign, dict) else {}
        opened = _Open(Foreign(ORIGIN, start.type, fields))
        opened.raw, opened.json = fields, []
        return opened

    def _delta(self, data: StreamEvent, event: SseEvent) -> None:
        self._begin(None)
        delta = data.delta or Delta()
        opened = self._open.get(data.index)
        if opened is not None and isinstance(opened.block, Foreign):
            self._foreign_delta(opened, delta, event)
        elif delta.type == "text_delta":
            self._piece(self._fitting(data.index, Text), Piece(0, delta.text or ""))
        elif delta.type == "thinking_delta":
            self._piece(self._fitting(data.index, Thinking), Piece(0, delta.thinking or ""))
        elif delta.type == "signature_delta":
            self._fitting(data.index, Thinking).signature = delta.signature
        elif delta.type == "citations_delta":
            self._cite(data.index, event)
        elif delta.type == "input_json_delta":
            self._input(opened, delta.partial_json or "")

    def _fitting(self, index: int, kind: type[Text | Thinking]) -> _Open:
        """The block of this index if it is of the kind; else a new one of that kind behind it."""
        opened = self._open.get(index)
        if opened is not None and isinstance(opened.block, kind):
            return opened
        if opened is not None:
            self._stop(index)
        opened = _Open(Text("") if kind is Text else Thinking(origin=ORIGIN))
        self._open[index] = opened
        self._queue.append(opened)
        if len(self._queue) == 1:
            self._hand_out(opened)
        return opened

    def _input(self, opened: _Open | None, text: str) -> None:
        if opened is None or not isinstance(opened.block, ToolCall):
            if text.strip():
                self._fail(
                    ApiError(502, "The backend sent tool input outside a tool call.", code="unreadable")
                )
            return
        if opened.json is not None:
            opened.json.append(text)
            self._hold(len(text))
        elif text:
            opened.input = ""
            self._piece(opened, Piece(0, text))

    def _cite(self, index: int, event: SseEvent) -> None:
        delta = load(event.data)
        citation = delta["delta"].get("citation") if isinstance(delta, dict) else None
        if citation is not None:
            self._piece(self._fitting(index, Text), Piece(0, citation=citation))

    def _foreign_delta(self, opened: _Open, delta: Delta, event: SseEvent) -> None:
        """More of a server tool's block: its input, or text fields that grow."""
        self._hold(len(event.data))
        if delta.type == "input_json_delta" and opened.json is not None:
            opened.json.append(delta.partial_json or "")
            return
        whole = load(event.data)
        fields = whole.get("delta") if isinstance(whole, dict) else None
        for name, value in fields.items() if isinstance(fields, dict) else ():
            before = opened.raw.get(name)
            if name != "type":
                is_more = isinstance(before, str) and isinstance(value, str)
                opened.raw[name] = before + value if is_more else value

    def _stop(self, index: int) -> None:
        opened = self._open.pop(index, None)
        if opened is None:
            return
        self._complete(opened)
        opened.is_done = True
        while self._queue and self._queue[0].is_done:
            done = self._queue.pop(0)
            if isinstance(done.block, Foreign):
                self._count += 1
                self._events.append(Opened(self._count - 1, done.block))
            self._events.append(Closed(self._count - 1))
            if self._queue:
                self._hand_out(self._queue[0])

    def _complete(self, opened: _Open) -> None:
        """What a block's end brings: its signature, a call's arguments if none came, a server tool's input."""
        block, text = opened.block, "".join(opened.json or ())
        if isinstance(block, ToolCall):
            if opened.json is not None:
                self._piece(opened, Piece(0, unwrap_custom(text or opened.input)))
            elif opened.input:
                self._piece(opened, Piece(0, opened.input))
        elif isinstance(block, Thinking):
            if opened.signature:
                self._piece(opened, Piece(0, signature=opened.signature))
        elif isinstance(block, Foreign) and text.strip():
            value = load(text.encode("utf-8", "replace"))
            opened.raw["input"] = value if isinstance(value, dict) else {"value": text}

    def _piece(self, opened: _Open, piece: Piece) -> None:
        if not (piece.text or piece.signature or piece.encrypted or piece.citation is not None):
            return
        if self._queue and self._queue[0] is opened:
            piece.index = self._count - 1
            self._events.append(piece)
        else:
            opened.held.append(piece)
            self._hold(len(piece.text))

    def _hand_out(self, opened: _Open) -> None:
        """It is this block's turn. A foreign one is handed out when it is whole."""
        if isinstance(opened.block, Foreign):
            return
        self._count += 1
        self._events.append(Opened(self._count - 1, opened.block))
        for piece in opened.held:
            piece.index = self._count - 1
            self._events.append(piece)
            self._held -= len(piece.text)
        opened.held = []

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > _MOST_HELD:
            words = f"The backend's answer has a block of more than {_MOST_HELD} characters that never ends."
            self._fail(ApiError(502, words, code="event_too_large"))

    # --- the end

    def _message_delta(self, data: StreamEvent) -> None:
        self._begin(None)
        delta = data.delta or Delta()
        self._stop_reason = delta.stop_reason or self._stop_reason
        self._stop_sequence = delta.stop_sequence or self._stop_sequence
        self._details = delta.stop_details or self._details
        self._usage = merge_usage(self._usage, load_counts(data.usage))

    def _end(self) -> None:
        self._begin(None)
        for index in list(self._open):
            self._stop(index)
        stop = derive_stop(self._stop_reason, has_calls=self._has_calls)
        if refusal := read_refusal(stop, self._details):
            text, refusal.text = refusal.text, ""
            self._events.append(Opened(self._count, refusal))
            if text:
                self._events.append(Piece(self._count, text))
            self._events.append(Closed(self._count))
        usage = usage_from(Kind.MESSAGES, self._usage)
        self._events.append(Ended(stop, self._stop_sequence, usage))
        self._over = True

    def _fail(self, error: ApiError) -> None:
        if not self._over:
            usage = usage_from(Kind.MESSAGES, self._usage) if self._stop_reason else None
            self._events.append(Failed(error, usage))
            self._over = True
            self._queue, self._open = [], {}


def _type_of(raw: Raw) -> str:
    found = load(raw)
    kind = found.get("type") if isinstance(found, dict) else ""
    return kind if isinstance(kind, str) else ""
