"""Neutral events written as a Messages stream.

Rules: blocks are numbered as they are written, so one that stays empty leaves no gap; a signature goes out just
before its block stops, and only one that came from this protocol; each tool call has input.
"""

from __future__ import annotations

from typing import Any

import msgspec

from backends.wire.anthropic.blocks_in import ORIGIN
from backends.wire.anthropic.blocks_out import is_own_citation
from backends.wire.anthropic.errors import client_error
from backends.wire.anthropic.input_json import input_object
from backends.wire.anthropic.response import (
    MOST_EXPLANATION,
    call_head,
    hides_thinking,
    message_head,
    start_usage,
    stop_fields,
    write_usage,
)
from backends.wire.conversation import (
    Alive,
    Began,
    Block,
    Closed,
    Conversation,
    Ended,
    Event,
    Failed,
    Foreign,
    Opened,
    Piece,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import error_body
from backends.wire.kinds import Protocol
from backends.wire.sse import encode_event
from backends.wire.target import wrap_custom
from backends.wire.usage import Usage

_PING = encode_event(b'{"type": "ping"}', b"ping")


class StreamWriter:
    """Writes one stream for the client that asked. `reply_id` names the message."""

    def __init__(self, ask: Conversation, reply_id: str, created: int) -> None:
        self._ask, self._reply_id = ask, reply_id
        self.request_id = reply_id  # for an error event; the caller may know a better one
        self._out: list[bytes] = []
        self._index = 0  # of the next block to write, or of the one that is open
        self._block: Block | None = None
        self._is_open = self._began = self._over = self._has_calls = False
        self._signature: str | None = None
        self._encrypted: str | None = None
        self._held: list[str] | None = None  # tool input that must be seen whole before it can be written
        self._has_input = False
        self._usage: Usage | None = None
        self._refusal: str | None = None
        self._category: str | None = None

    def write(self, event: Event) -> bytes:
        """The bytes that are due after this event, b"" if none."""
        if self._over:
            return b""
        if isinstance(event, Piece):
            self._piece(event)
        elif isinstance(event, Opened):
            self._open(event.block)
        elif isinstance(event, Closed):
            self._close()
        elif isinstance(event, Began):
            self._begin(event)
        elif isinstance(event, Ended):
            self._end(event)
        elif isinstance(event, Failed):
            self._fail(event)
        elif isinstance(event, Alive) and self._began:
            self._out.append(_PING)
        out, self._out = b"".join(self._out), []
        return out

    def ping(self) -> bytes:
        """A sign of life for a client that waits."""
        return _PING

    def _emit(self, name: str, **fields: Any) -> None:
        self._out.append(encode_event(msgspec.json.encode({"type": name, **fields}), name.encode()))

    def _begin(self, event: Began) -> None:
        if self._began:
            return
        self._began, self._usage = True, event.usage
        self._reply_id = self._reply_id or event.id
        message = message_head(self._reply_id, event.model or self._ask.model)
        self._emit("message_start", message=message | {"usage": start_usage(event.usage)})

    # --- blocks

    def _open(self, block: Block) -> None:
        """A call is announced at once; text and thinking with their first piece, a foreign block whole."""
        self._begin(Began("", ""))
        self._close()
        self._block = block
        if isinstance(block, ToolCall):
            self._has_calls, self._has_input = True, False
            self._held = [] if block.is_custom else None
            self._start(call_head(block, self._reply_id, self._index))
            self._piece_of_call(block.arguments)
        elif isinstance(block, Foreign):
            self._foreign(block)
        elif isinstance(block, Refusal):
            self._refusal, self._category = self._refusal or "", block.category or self._category
        if isinstance(block, Thinking):
            self._signature, self._encrypted = block.signature, block.encrypted
        if isinstance(block, Text | Thinking | Refusal):
            self._text_piece(block.text)

    def _start(self, block: dict[str, Any]) -> None:
        self._is_open = True
        self._emit("content_block_start", index=self._index, content_block=block)

    def _delta(self, kind: str, **fields: Any) -> None:
        self._emit("content_block_delta", index=self._index, delta={"type": kind, **fields})

    def _piece(self, piece: Piece) -> None:
        block = self._block
        if isinstance(block, ToolCall):
            self._piece_of_call(piece.text)
            return
        if isinstance(block, Thinking):
            self._signature = piece.signature or self._signature
            self._encrypted = piece.encrypted or self._encrypted
        self._text_piece(piece.text)
        if isinstance(block, Text) and is_own_citation(piece.citation):
            self._ensure_open({"type": "text", "text": ""})
            self._delta("citations_delta", citation=piece.citation)

    def _text_piece(self, text: str) -> None:
        if not text:
            return
        if isinstance(self._block, Thinking):
            if self._block.origin != ORIGIN and hides_thinking(self._ask):
                return
            self._ensure_open({"type": "thinking", "thinking": "", "signature": ""})
            self._delta("thinking_delta", thinking=text)
        elif isinstance(self._block, Text | Refusal):
            self._ensure_open({"type": "text", "text": ""})
            self._delta("text_delta", text=text)
            if isinstance(self._block, Refusal) and len(self._refusal or "") < MOST_EXPLANATION:
                self._refusal = (self._refusal or "") + text

    def _ensure_open(self, block: dict[str, Any]) -> None:
        if not self._is_open:
            self._start(block)

    def _piece_of_call(self, text: str) -> None:
        """Input passes as it comes once it is known to be an object; anything else is held and wrapped at the end."""
        if self._held is None and not self._has_input:
            if not text.strip():
                return
            if not text.lstrip().startswith("{"):
                self._held = []
        if not text:
            return
        if self._held is not None:
            self._held.append(text)
            return
        self._has_input = True
        self._delta("input_json_delta", partial_json=text)

    def _foreign(self, block: Foreign) -> None:
        if block.origin != ORIGIN:
            return
        raw = dict(block.raw)
        given = raw.get("input")
        if isinstance(given, dict):
            raw["input"] = {}
        self._start(raw)
        if isinstance(given, dict):
            self._delta("input_json_delta", partial_json=msgspec.json.encode(given).decode())

    def _close(self) -> None:
        block, self._block = self._block, None
        if isinstance(block, ToolCall):
            self._close_call(block)
        elif isinstance(block, Thinking):
            self._close_thinking(block)
        self._signature = self._encrypted = self._held = None
        if self._is_open:
            self._is_open = False
            self._emit("content_block_stop", index=self._index)
            self._index += 1

    def _close_call(self, call: ToolCall) -> None:
        if self._held is not None:
            text = "".join(self._held)
            text = wrap_custom(text) if call.is_custom else text
            self._delta("input_json_delta", partial_json=bytes(input_object(text)).decode())
        elif not self._has_input:
            self._delta("input_json_delta", partial_json="{}")

    def _close_thinking(self, block: Thinking) -> None:
        if block.origin != ORIGIN:
            return
        if self._signature:
            self._ensure_open({"type": "thinking", "thinking": "", "signature": ""})
            self._delta("signature_delta", signature=self._signature)
        elif self._encrypted and not self._is_open:
            self._start({"type": "redacted_thinking", "data": self._encrypted})

    # --- the end

    def _end(self, event: Ended) -> None:
        self._begin(Began("", ""))
        self._close()
        usage = write_usage(event.usage or self._usage)
        usage.pop("cache_creation", None)
        delta = stop_fields(
            event.stop,
            event.stop_sequence,
            has_calls=self._has_calls,
            refusal=self._refusal,
            category=self._category,
        )
        self._emit("message_delta", delta=delta, usage=usage)
        self._emit("message_stop")
        self._over = True

    def _fail(self, event: Failed) -> None:
        body = error_body(Protocol.ANTHROPIC, client_error(event.error), self.request_id)
        self._out.append(encode_event(body, b"error"))
        self._over = True
