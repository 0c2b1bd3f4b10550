"""Neutral blocks written as content blocks of a Messages request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from backends.wire.anthropic.blocks_in import ORIGIN
from backends.wire.anthropic.input_json import input_object
from backends.wire.anthropic.media import write_media
from backends.wire.conversation import (
    Block,
    Cache,
    Foreign,
    Lost,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from backends.wire.target import wrap_custom

_CITATIONS = frozenset(
    (
        "char_location",
        "page_location",
        "content_block_location",
        "web_search_result_location",
        "search_result_location",
    )
)
NO_RESULT = "no result was given"


def write_block(block: Block, role: str, path: str, lost: Lost) -> dict[str, Any] | None:
    """A block other than a tool call or result; None if nothing of it remains. Raises CannotCarry."""
    if isinstance(block, Text):
        return write_text(block, role)
    if isinstance(block, Refusal):
        return {"type": "text", "text": block.text} if block.text.strip() else None
    if isinstance(block, Media) and role == "user":
        return _with_cache(write_media(block, path, lost), block.cache)
    made = None
    if isinstance(block, Thinking):
        made = write_thinking(block)
    elif isinstance(block, Foreign) and block.origin == ORIGIN:
        made = dict(block.raw)
    if made is None:
        lost.add(f"$.{path}")
    return made


def write_text(text: Text, role: str = "user") -> dict[str, Any] | None:
    """A text block; None for an empty one, which this protocol refuses."""
    if not text.text.strip():
        return None
    made: dict[str, Any] = {"type": "text", "text": text.text}
    if role == "assistant" and (citations := own_citations(text)):
        made["citations"] = citations
    return _with_cache(made, text.cache)


def own_citations(text: Text) -> list[Any]:
    """Those of the text's citations that are in this protocol's form."""
    return [citation for citation in text.citations or () if is_own_citation(citation)]


def is_own_citation(citation: object) -> bool:
    """Whether a citation is in this protocol's form."""
    return isinstance(citation, Mapping) and citation.get("type") in _CITATIONS


def write_thinking(block: Thinking) -> dict[str, Any] | None:
    """A thinking block for the endpoint that signed it; None for all others, since signatures are not forged."""
    if block.origin != ORIGIN:
        return None
    if block.signature:
        return {"type": "thinking", "thinking": block.text, "signature": block.signature}
    return {"type": "redacted_thinking", "data": block.encrypted} if block.encrypted else None


def write_call(call: ToolCall, call_id: str, name: str) -> dict[str, Any]:
    """A `tool_use` block."""
    arguments: Raw = input_object(wrap_custom(call.arguments) if call.is_custom else call.arguments)
    return _with_cache({"type": "tool_use", "id": call_id, "name": name, "input": arguments}, call.cache)


def write_result(result: ToolResult | None, call_id: str, path: str, lost: Lost) -> dict[str, Any]:
    """A `tool_result` block; an error for a call that was never answered. Raises CannotCarry."""
    made: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
    if result is None:
        return made | {"content": NO_RESULT, "is_error": True}
    content: list[dict[str, Any]] = []
    for index, part in enumerate(result.content):
        block = (
            write_text(part)
            if isinstance(part, Text)
            else _with_cache(write_media(part, f"{path}.content[{index}]", lost), part.cache)
        )
        if block is not None:
            content.append(block)
    if result.is_error:
        made["is_error"] = True
        content = content or [{"type": "text", "text": "The tool failed without a message."}]
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        made["content"] = content[0]["text"]
    elif content:
        made["content"] = content
    return _with_cache(made, result.cache)


def cache_mark(cache: Cache) -> dict[str, str]:
    """`cache_control`. Lifetimes that this protocol does not know become its default."""
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl in ("5m", "1h") else {"type": "ephemeral"}


def _with_cache(made: dict[str, Any], cache: Cache | None) -> dict[str, Any]:
    if cache is not None:
        made["cache_control"] = cache_mark(cache)
    return made
