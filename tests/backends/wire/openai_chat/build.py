"""Short ways to say what the tests of this package feed in."""

from __future__ import annotations

import json
from typing import Any

from backends.wire.conversation import Alive, Conversation, Event, Lost
from backends.wire.openai_chat import StreamReader, build_request, parse_request
from backends.wire.target import Built, Names, Target


def ask(*messages: dict[str, Any], **fields: Any) -> Conversation:
    """What a client's request with these messages is, parsed."""
    given = list(messages) or [{"role": "user", "content": "hi"}]
    return parse_request(json.dumps({"model": "m", "messages": given, **fields}).encode())


def built(
    talk: Conversation, preset: str = "", model: str = "x", **target: Any
) -> tuple[dict[str, Any], Lost, Built]:
    """The body for that target, decoded; what was lost; and the rest."""
    lost = Lost()
    made = build_request(talk, Target(model, preset, **target), lost)
    return json.loads(made.body), lost, made


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "chatcmpl-1", "created": 5, "model": "m", "choices": choices, **fields}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def tool_delta(index: int | None = None, **fields: Any) -> dict[str, Any]:
    """A delta with one tool call; `name` and `arguments` go into its function."""
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    made = {**({} if index is None else {"index": index}), **fields, "function": function}
    return {"tool_calls": [made]}


def read(*pieces: bytes, names: Names | None = None) -> list[Event]:
    """All events of a stream, but for signs of life."""
    reader = StreamReader(names or Names())
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [event for event in events + reader.close() if not isinstance(event, Alive)]
