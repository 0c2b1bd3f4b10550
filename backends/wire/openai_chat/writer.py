"""Events as the chunks that a chat client reads.

Rule: id and name of a call are said once, for clients append what they are told twice; indexes of calls have no gaps.
"""

from __future__ import annotations

import msgspec

from backends.wire.conversation import (
    Alive,
    Began,
    Closed,
    Conversation,
    Ended,
    Event,
    Failed,
    Opened,
    Piece,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import error_body
from backends.wire.kinds import Protocol
from backends.wire.openai_chat.response import finish_reason, own_id, usage_object

_DONE = b"data: [DONE]\n\n"
_PING = b": keep-alive\n\n"
_FIELDS = {Text: b'{"content":', Thinking: b'{"reasoning_content":', Refusal: b'{"refusal":'}


class StreamWriter:
    """Writes one stream. `ask`: the client's request; `created` in seconds since the epoch."""

    __slots__ = (
        "_ask",
        "_calls",
        "_created",
        "_field",
        "_id",
        "_is_over",
        "_open_call",
        "_said",
        "_start",
        "_tail",
    )

    def __init__(self, ask: Conversation, reply_id: str, created: int) -> None:
        self._ask = ask
        self._id, self._created = own_id(reply_id), created
        self._calls = 0
        self._field: bytes | None = None  # the field that the open block's pieces go to
        self._open_call: ToolCall | None = None
        self._said = False  # whether the open call has got any arguments
        self._is_over = False
        self._tail = b',"usage":null}\n\n' if ask.include_usage else b"}\n\n"
        self._start = self._head(ask.model)

    def _head(self, model: str) -> bytes:
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
        }
        return b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":['

    def ping(self) -> bytes:
        """A comment: clients skip it."""
        return b"" if self._is_over else _PING

    def write(self, event: Event) -> bytes:
        """The bytes for one event; nothing after the end."""
        if self._is_over:
            return b""
        if isinstance(event, Piece):
            return self._piece(event)
        if isinstance(event, Opened):
            return self._open(event)
        if isinstance(event, Closed):
            return self._close()
        if isinstance(event, Began):
            self._start = self._head(event.model or self._ask.model)
            return self._chunk(b'{"role":"assistant","content":""}')
        if isinstance(event, Alive):
            return _PING
        return self._end(event) if isinstance(event, Ended) else self._fail(event)

    def _chunk(self, delta: bytes, finish: bytes = b"null") -> bytes:
        choice = b'{"index":0,"delta":' + delta + b',"logprobs":null,"finish_reason":' + finish + b"}]"
        return self._start + choice + self._tail

    def _open(self, event: Opened) -> bytes:
        block = event.block
        self._field = _FIELDS.get(type(block))
        self._open_call, self._said = None, False
        if isinstance(block, ToolCall):
            return self._open_tool(block)
        words = getattr(block, "text", "")
        return self._chunk(self._field + msgspec.json.encode(words) + b"}") if self._field and words else b""

    def _open_tool(self, call: ToolCall) -> bytes:
        self._open_call = call
        self._calls += 1
        if self._ask.legacy_functions:
            function = {"name": call.name, "arguments": call.arguments}
            return self._chunk(msgspec.json.encode({"function_call": function})) if self._calls == 1 else b""
        self._said = bool(call.arguments)
        kind, words = ("custom", "input") if call.is_custom else ("function", "arguments")
        made = {
            "index": self._calls - 1,
            "id": call.id,
            "type": kind,
            kind: {"name": call.name, words: call.arguments},
        }
        if call.extra and call.extra.get("extra_content"):
            made["extra_content"] = call.extra["extra_content"]
        return self._chunk(msgspec.json.encode({"tool_calls": [made]}))

    def _piece(self, piece: Piece) -> bytes:
        if not piece.text:
            return b""
        if self._open_call is not None:
            return self._arguments(self._open_call, msgspec.json.encode(piece.text))
        if self._field is None:
            return b""
        return self._chunk(self._field + msgspec.json.encode(piece.text) + b"}")

    def _arguments(self, call: ToolCall, text: bytes) -> bytes:
        self._said = True
        if self._ask.legacy_functions:
            return self._chunk(b'{"function_call":{"arguments":' + text + b"}}") if self._calls == 1 else b""
        words = b'"custom":{"input":' if call.is_custom else b'"function":{"arguments":'
        return self._chunk(b'{"tool_calls":[{"index":%d,' % (self._calls - 1) + words + text + b"}}]}")

    def _close(self) -> bytes:
        call, self._open_call, self._field = self._open_call, None, None
        if call is None or self._said or call.is_custom:
            return b""
        return self._arguments(call, b'"{}"')

    def _end(self, event: Ended) -> bytes:
        self._is_over = True
        reason = msgspec.json.encode(finish_reason(event.stop, self._ask))
        last = self._chunk(b"{}", reason)
        if self._ask.include_usage and event.usage is not None:
            last += self._start + b'],"usage":' + msgspec.json.encode(usage_object(event.usage)) + b"}\n\n"
        return last + _DONE

    def _fail(self, event: Failed) -> bytes:
        """No `[DONE]`: the answer is not complete."""
        self._is_over = True
        return b"data: " + error_body(Protocol.OPENAI, event.error, "") + b"\n\n"
