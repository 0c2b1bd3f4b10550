"""Kept bodies as people read them: JSON in lines, and what an answer says, put together from its stream. Pure."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from backends.wire import anthropic, openai_chat, openai_responses
from backends.wire.assemble import Assembly
from backends.wire.conversation import (
    Block,
    Ended,
    Failed,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Unreadable,
)
from backends.wire.kinds import Kind
from backends.wire.target import Names

_PACKAGES: dict[Kind, Any] = {
    Kind.MESSAGES: anthropic,
    Kind.CHAT: openai_chat,
    Kind.RESPONSES: openai_responses,
}
MOST_CHARS = 200_000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer. `what`: text, thinking, a call of a tool, refusal, error."""

    what: str
    text: str


def shown(content: bytes) -> str:
    """A body as text: JSON indented, anything else as it is; cut where nobody reads on."""
    text = content.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    return (
        text
        if len(text) <= MOST_CHARS
        else f"{text[:MOST_CHARS]}\n… {len(text) - MOST_CHARS:,} more characters"
    )


def request_json(content: bytes) -> dict[str, Any] | None:
    """A request's body, if it is a whole JSON object."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def answer_parts(kind: Kind, content: bytes, *, is_stream: bool) -> list[Part]:
    """What the model said, in the client's own protocol; empty for what says nothing that people read."""
    package = _PACKAGES.get(kind)
    if package is None or not content:
        return []
    try:
        reply, error = (
            _streamed(package, content) if is_stream else (package.parse_response(content, Names()), "")
        )
    except (Unreadable, ValueError, RecursionError):
        return []
    parts = [part for block in reply.blocks if (part := _part(block)) is not None]
    return [*parts, Part("error", error)] if error else parts


def _streamed(package: Any, content: bytes) -> tuple[Reply, str]:
    """A stream that was cut tells as much as came of it."""
    reader, assembly, error = package.StreamReader(Names()), Assembly(), ""
    for event in [*reader.feed(content), *reader.close()]:
        assembly.take(event)
        if isinstance(event, Failed):
            error = event.error.message
    if not assembly.ended:
        assembly.take(Ended(Stop.END))
    return assembly.reply, error


def _part(block: Block) -> Part | None:
    match block:
        case Text(text=text) if text:
            return Part("text", text)
        case Thinking(text=text) if text:
            return Part("thinking", text)
        case Refusal(text=text):
            return Part("refusal", text)
        case ToolCall(name=name, arguments=arguments):
            return Part(f"call of {name}", shown(arguments.encode("utf-8", "replace")))
        case _:
            return None
