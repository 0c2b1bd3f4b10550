"""Neutral events → a stream of Responses events for the client.

Rule: one item per block, announced when its first content is there, so an empty block leaves no trace, as in a whole
answer. The closing event repeats the whole answer, which is therefore kept until then, up to a limit.
"""

from __future__ import annotations

from typing import Any

import msgspec

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
from backends.wire.errors import ApiError, error_object
from backends.wire.kinds import Protocol
from backends.wire.openai_responses.item_writer import ItemWriter, item_writer
from backends.wire.openai_responses.response_out import Envelope, is_shown, item_id
from backends.wire.sse import encode_event
from backends.wire.usage import Usage

_MOST_KEPT = 64 * 2**20  # characters of one answer
# Codes that clients act upon; every other fault is the server's, which clients try again.
_CODES = frozenset(
    (
        "context_length_exceeded",
        "insufficient_quota",
        "usage_not_included",
        "rate_limit_exceeded",
        "invalid_prompt",
        "bio_policy",
        "misalignment_policy_violation",
    )
)


class StreamWriter:
    """One stream for the client who asked `ask`. `reply_id` and `created` (seconds) are the answer's."""

    __slots__ = (
        "_called",
        "_envelope",
        "_is_over",
        "_item",
        "_items",
        "_kept",
        "_number",
        "_out",
        "_refused",
        "_reply_id",
        "_usage",
    )

    def __init__(self, ask: Conversation, reply_id: str, created: int) -> None:
        self._reply_id = reply_id
        self._envelope = Envelope(ask, reply_id, created, "")
        self._items: list[msgspec.Raw] = []  # the finished ones, encoded
        self._item: ItemWriter | None = None
        self._called: set[str] = set()
        self._usage: Usage | None = None
        self._out: list[bytes] = []
        self._number = self._kept = 0
        self._refused = self._is_over = False

    def write(self, event: Event) -> bytes:
        """The bytes that this event is worth; nothing after the end."""
        if self._is_over:
            return b""
        if isinstance(event, Piece):
            self._piece(event)
        elif isinstance(event, Opened):
            self._opened(event.block)
        elif isinstance(event, Closed):
            self._close()
        elif isinstance(event, Alive):
            return self.ping()
        else:
            self._about_all(event)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def ping(self) -> bytes:
        """A comment: it keeps the connection awake and means nothing."""
        return b": keep-alive\n\n"

    def _about_all(self, event: Began | Ended | Failed) -> None:
        if isinstance(event, Began):
            self._usage = event.usage
            if event.model:
                self._envelope.base["model"] = event.model
            self._emit("response.created", {"response": self._envelope.base})
            self._emit("response.in_progress", {"response": self._envelope.base})
        elif isinstance(event, Ended):
            self._close()
            self._usage = event.usage or self._usage
            response = self._envelope.ended(self._items, event.stop, self._usage, said_refusal=self._refused)
            self._emit(f"response.{response['status']}", {"response": response})
            self._is_over = True
        else:
            self._fail(event.error)

    def _opened(self, block: Block) -> None:
        self._close()
        if isinstance(block, Foreign) and not is_shown(block):
            return
        index = len(self._items)
        known = item_id(self._reply_id, block, index)
        self._item = item_writer(block, known, index, self._called)
        self._send(self._item.start())
        if isinstance(block, Text | Refusal):
            self._piece(Piece(0, block.text))
        elif isinstance(block, Thinking):
            self._piece(Piece(0, block.text, block.signature, block.encrypted))
        elif isinstance(block, ToolCall):
            self._piece(Piece(0, block.arguments))

    def _piece(self, piece: Piece) -> None:
        if self._item is None:
            return
        self._kept += len(piece.text)
        if self._kept > _MOST_KEPT:
            message = "The answer is larger than a stream may be here. Ask for a shorter one."
            self._fail(ApiError(502, message, code="stream_too_large"))
            return
        self._send(self._item.add(piece))

    def _close(self) -> None:
        item, self._item = self._item, None
        if item is None:
            return
        events, whole = item.finish()
        self._send(events)
        if whole is not None:
            raw = msgspec.Raw(msgspec.json.encode(whole))
            self._emit("response.output_item.done", {"output_index": len(self._items), "item": raw})
            self._items.append(raw)
            self._refused = self._refused or isinstance(item.block, Refusal)

    def _fail(self, error: ApiError) -> None:
        """The error stands in both known places: flat, as documented, and under `error`, which makes SDKs raise."""
        code = error.code if error.code in _CODES else _code(error.status)
        flat = {"code": code, "message": error.message, "param": error.param}
        shown = ApiError(error.status, error.message, code=code, param=error.param)
        self._emit("error", flat | error_object(Protocol.OPENAI, shown, ""))
        response = self._envelope.failed(self._items, self._usage, code, error.message)
        self._emit("response.failed", {"response": response})
        self._is_over = True

    def _send(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        for name, fields in events:
            self._emit(name, fields)

    def _emit(self, name: str, fields: dict[str, Any]) -> None:
        data = msgspec.json.encode({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        self._out.append(encode_event(data, name.encode()))


def _code(status: int) -> str:
    if status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if status in (400, 413, 422) else "server_error"
