"""Requests of each kind for the tests of templates, and one word to apply a template to them."""

from __future__ import annotations

import json
from typing import Any

from backends.wire.kinds import Kind
from backends.wire.target import Target
from backends.wire.templates import Applied, apply, parse_spec

TALKING = (Kind.MESSAGES, Kind.COUNT_TOKENS, Kind.CHAT, Kind.RESPONSES)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
LOOKUP = {"name": "lookup", "description": "Looks up.", "parameters": SCHEMA}
PLAIN = Target("some-model")


def encode(body: Any) -> bytes:
    """As a client in a hurry spells it: odd spaces, no escapes."""
    return json.dumps(body, separators=(" ,", " : "), ensure_ascii=False).encode()


def applied(
    spec: dict[str, Any],
    kind: Kind,
    body: Any,
    *,
    target: Target = PLAIN,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> Applied:
    data = body if isinstance(body, bytes) else encode(body)
    return apply(parse_spec(spec), kind, data, headers or [], target)


def sent(spec: dict[str, Any], kind: Kind, body: Any, **more: Any) -> Any:
    """The body that the backend gets."""
    return json.loads(applied(spec, kind, body, **more).body)


def tool(kind: Kind, name: str) -> dict[str, Any]:
    """A client's tool."""
    if kind is Kind.CHAT:
        return {"type": "function", "function": {"name": name, "description": name, "parameters": SCHEMA}}
    if kind is Kind.RESPONSES:
        return {"type": "function", "name": name, "parameters": SCHEMA, "strict": True}
    return {"name": name, "description": name, "input_schema": SCHEMA}


def name_of(kind: Kind, given: dict[str, Any]) -> str:
    return str(given["function"]["name"] if kind is Kind.CHAT else given["name"])


def talk(kind: Kind, *tools: str, called: str = "") -> dict[str, Any]:
    """A request with these tools; one of them was called before, with its own name in its input and in the texts."""
    body: dict[str, Any] = {"model": "m", "tools": [tool(kind, name) for name in tools]}
    if not tools:
        del body["tools"]
    said = f'say "{called}", é'
    inputs = {"name": called, "type": "tool_use"}
    if kind is Kind.CHAT:
        call = {"id": "1", "type": "function", "function": {"name": called, "arguments": json.dumps(inputs)}}
        turns: list[Any] = [{"role": "assistant", "content": None, "tool_calls": [call]}]
        turns.append({"role": "tool", "tool_call_id": "1", "content": said})
        body["messages"] = [{"role": "user", "content": said}, *(turns if called else [])]
    elif kind is Kind.RESPONSES:
        call = {"type": "function_call", "call_id": "1", "name": called, "arguments": json.dumps(inputs)}
        turns = [call, {"type": "function_call_output", "call_id": "1", "output": said}]
        body["input"] = [{"role": "user", "content": said}, *(turns if called else [])]
    else:
        block = {"type": "tool_use", "id": "1", "name": called, "input": inputs}
        turns = [
            {"role": "assistant", "content": [{"type": "text", "text": said}, block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": said}]},
        ]
        body["messages"] = [{"role": "user", "content": said}, *(turns if called else [])]
    return body


def call_of(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """The call in such a request."""
    if kind is Kind.CHAT:
        found: dict[str, Any] = body["messages"][1]["tool_calls"][0]["function"]
    elif kind is Kind.RESPONSES:
        found = body["input"][1]
    else:
        found = body["messages"][1]["content"][1]
    return found
