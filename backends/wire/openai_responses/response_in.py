"""A backend's whole answer → the neutral form, and what an output item is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backends.wire.conversation import (
    Block,
    Foreign,
    Json,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Unreadable,
)
from backends.wire.errors import read_error
from backends.wire.kinds import Kind
from backends.wire.target import Names, unwrap_custom
from backends.wire.usage import Usage, usage_from


def parse_response(body: bytes, names: Names) -> Reply:
    """The answer in `body`. Raises Unreadable, also for an answer that reports an error."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise Unreadable("The backend's answer is not JSON. Check its base URL.") from None
    if not isinstance(found, dict):
        raise Unreadable("The backend's answer is not a JSON object. Check its base URL.")
    if found.get("error") or found.get("status") == "failed":
        raise Unreadable(f"The backend reports an error: {read_error(found).message}")
    if not isinstance(found.get("output"), list):
        raise Unreadable("The backend's answer has no `output` list. Check that it speaks the Responses API.")
    blocks = [block for item in found["output"] for block in blocks_of(item, names)]
    created = found.get("created_at")
    return Reply(
        id=text_of(found, "id"),
        model=text_of(found, "model"),
        blocks=blocks,
        stop=stop_of(found, blocks),
        usage=usage_of(found),
        created=int(created) if isinstance(created, int | float) and 0 <= created < 2**53 else None,
        service_tier=text_of(found, "service_tier") or None,
    )


def text_of(obj: Json, name: str) -> str:
    """A string of the answer; an empty one if there is none."""
    value = obj.get(name)
    return value if isinstance(value, str) else ""


def usage_of(response: Json) -> Usage | None:
    """The tokens that the answer reports."""
    usage = response.get("usage")
    return usage_from(Kind.RESPONSES, usage) if isinstance(usage, Mapping) else None


def stop_of(response: Json, blocks: Sequence[Block]) -> Stop:
    """Why it ended: a limit as the backend says, all else by what was said."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return Stop.REFUSAL if reason == "content_filter" else Stop.LENGTH
    if any(isinstance(block, ToolCall) for block in blocks):
        return Stop.TOOLS
    return Stop.REFUSAL if any(isinstance(block, Refusal) for block in blocks) else Stop.END


def blocks_of(item: Any, names: Names) -> list[Block]:
    """The blocks of one output item; none for what is no item, or an empty one."""
    if not isinstance(item, Mapping):
        return []
    kind = text_of(item, "type")
    if kind == "message":
        parts = (part_block(part) for part in parts_of(item, "content"))
        return [part for part in parts if part is not None and part.text]
    if kind == "reasoning":
        thinking = thinking_of(item)
        return [thinking] if thinking.text or thinking.encrypted else []
    if kind in CALLS:
        call = call_of(item, names)
        call.arguments = arguments_of(item, names)
        return [call]
    return [Foreign("responses", kind, item)] if kind else []


def parts_of(item: Json, name: str) -> list[Mapping[str, Any]]:
    """The objects in one of an item's lists."""
    parts = item.get(name)
    return [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []


def part_block(part: Json) -> Text | Refusal | None:
    """A content part of a message."""
    if part.get("type") == "refusal":
        return Refusal(text_of(part, "refusal"))
    return Text(text_of(part, "text")) if part.get("type") in ("output_text", "text") else None


def thinking_of(item: Json) -> Thinking:
    """A reasoning item: its summary, or the raw text where a server shows that instead."""
    summary = paragraphs(item, "summary")
    return Thinking(
        summary or paragraphs(item, "content"),
        "responses",
        encrypted=text_of(item, "encrypted_content") or None,
        id=text_of(item, "id") or None,
        is_summary=bool(summary),
    )


def paragraphs(item: Json, name: str) -> str:
    """The texts of a reasoning item's `summary` or `content` as one; empty ones leave no gap."""
    return "\n\n".join(text for part in parts_of(item, name) if (text := text_of(part, "text")))


CALLS: Mapping[str, str] = {
    "function_call": "arguments",
    "custom_tool_call": "input",
}  # and their text's field


def call_of(item: Json, names: Names) -> ToolCall:
    """A call with the client's own name for the tool, still without arguments."""
    known = names.client(text_of(item, "name"))
    is_custom = known.is_custom or item.get("type") == "custom_tool_call"
    return ToolCall(
        id=text_of(item, "call_id") or text_of(item, "id"),
        name=known.name,
        arguments="",
        is_custom=is_custom,
        namespace=known.namespace or text_of(item, "namespace") or None,
        item_id=text_of(item, "id") or None,
    )


def is_wrapped(item: Json, names: Names) -> bool:
    """Whether a function stands in for a custom tool: its text is inside the arguments."""
    return item.get("type") == "function_call" and names.client(text_of(item, "name")).is_custom


def arguments_of(item: Json, names: Names) -> str:
    """The call's arguments as the model wrote them."""
    kind = text_of(item, "type")
    given = item.get(CALLS[kind])
    text = given if isinstance(given, str) else "" if given is None else msgspec.json.encode(given).decode()
    if is_wrapped(item, names):
        return unwrap_custom(text)
    return text if kind == "custom_tool_call" else text or "{}"
