"""What a request asks for, the same for all protocols: `Ask`, and the helpers that read it out of JSON.

Rule: fields nobody knows are accepted, as the real services' tools depend on it; what is required and absent
raises `BadRequest`, worded as the service does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from backends.wire.kinds import Kind

JsonObject = dict[str, Any]
"""A decoded JSON object. Its values are whatever the client sent."""


class BadRequest(Exception):
    """The request is refused with this status; `param` names the field (OpenAI shows it)."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call. `custom`: takes free text instead of JSON."""

    name: str
    schema: JsonObject
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for an answer. `force_tool`: None = free, "" = any tool, else the tool's name."""

    kind: Kind
    model: str
    body: JsonObject
    stream: bool = False
    last_text: str = ""
    tool_result: str | None = None
    tools: tuple[Tool, ...] = ()
    force_tool: str | None = None
    parallel_ok: bool = True
    schema: JsonObject | None = None
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    input_tokens: int = 0
    n: int = 1
    include_usage: bool = False
    inputs: tuple[str, ...] = field(default=())


_OPAQUE = frozenset(
    {"data", "image_url", "file_data", "signature", "encrypted_content", "type", "role", "id"}
)


def characters(value: object) -> int:
    """How many characters of text stand in a JSON value, opaque payloads (images, signatures) left out."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(characters(item) for name, item in value.items() if name not in _OPAQUE)
    if isinstance(value, list):
        return sum(map(characters, value))
    return 0


def tokens(count: int) -> int:
    """The simulator's tokenizer: one token per four characters, rounded up."""
    return -(-count // 4)


def input_tokens(*values: object) -> int:
    """Tokens of the given request fields, at least one."""
    return max(1, tokens(sum(map(characters, values))))


def objects(value: object) -> list[JsonObject]:
    """The JSON objects of a list; [] for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def content_text(content: object, kinds: Iterable[str] = ("text", "input_text", "output_text")) -> str:
    """The text of a message content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    known = tuple(kinds)
    parts = [part.get("text") for part in objects(content) if part.get("type") in known]
    return "\n".join(part for part in parts if isinstance(part, str))


def whole(body: JsonObject, *names: str) -> int | None:
    """The first of these fields that holds a whole number."""
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def strings(value: object) -> tuple[str, ...]:
    """A string or list of strings, as a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def mapping(value: object) -> JsonObject:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
