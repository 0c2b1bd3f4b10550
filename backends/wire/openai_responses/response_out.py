"""The neutral form → an answer for a client that speaks Responses: the response object, its items, the whole body.

Ids are derived from the answer's id and an item's place, so that streamed and whole answers have the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from backends.wire.conversation import (
    Block,
    Conversation,
    Foreign,
    Json,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.openai_responses.history import ORIGINAL
from backends.wire.openai_responses.sealed import seal
from backends.wire.openai_responses.tools_in import flat
from backends.wire.target import short_hash
from backends.wire.usage import Usage

# What an answer repeats of its request, and what stands there if the request did not say.
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_TIERS = frozenset(("auto", "default", "flex", "scale", "priority", "fast", "ultrafast"))
_KNOWN_PREFIX = re.compile(r"(resp|msg|chatcmpl|gen)[_-](?=.)")
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_PREFIXES = {Text: "msg", Refusal: "msg", Thinking: "rs", ToolCall: "fc", Foreign: "it"}


def build_response(reply: Reply, ask: Conversation) -> bytes:
    """The body that answers `ask`."""
    items: list[Json] = []
    called: set[str] = set()
    for block in reply.blocks:
        if is_shown(block):
            items.append(item_of(block, item_id(reply.id, block, len(items)), called))
    envelope = Envelope(ask, reply.id, reply.created or 0, reply.model)
    if reply.service_tier in _TIERS:
        envelope.base["service_tier"] = reply.service_tier
    refused = any(isinstance(block, Refusal) and block.text for block in reply.blocks)
    return msgspec.json.encode(envelope.ended(items, reply.stop, reply.usage, said_refusal=refused))


class Envelope:
    """The response object of one answer, in its states. `base` is what all of them share."""

    __slots__ = ("base",)

    def __init__(self, ask: Conversation, reply_id: str, created: int, model: str) -> None:
        head: dict[str, Any] = {
            "id": response_id(reply_id),
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model or ask.model,
            "output": [],
            "usage": None,
        }
        self.base = head | _echo(ask)

    def ended(
        self, items: list[Any], stop: Stop, usage: Usage | None, *, said_refusal: bool
    ) -> dict[str, Any]:
        """The response when it is over. A refusal in words is a complete answer, one without is a filter's."""
        reason = None
        if stop in (Stop.LENGTH, Stop.CONTEXT):
            reason = "max_output_tokens"
        elif stop is Stop.REFUSAL and not said_refusal:
            reason = "content_filter"
        return self.base | {
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "output": items,
            "usage": usage_object(usage),
        }

    def failed(self, items: list[Any], usage: Usage | None, code: str, message: str) -> dict[str, Any]:
        """The response when it broke off."""
        return self.base | {
            "status": "failed",
            "error": {"code": code, "message": message},
            "output": items,
            "usage": usage_object(usage),
        }


def _echo(ask: Conversation) -> dict[str, Any]:
    """The request's fields as the client wrote them; tools in the flat form, and encoded once for all events."""
    original = ask.extras.get(ORIGINAL)
    given = original if isinstance(original, Mapping) else {}
    echo = {name: default if (v := given.get(name)) is None else v for name, default in _ECHOED.items()}
    if isinstance(echo["tools"], list):
        echo["tools"] = msgspec.Raw(msgspec.json.encode([_echoed_tool(tool) for tool in echo["tools"]]))
    echo["tool_choice"] = flat(echo["tool_choice"])
    if echo["service_tier"] not in _TIERS:
        echo["service_tier"] = None
    return echo


def _echoed_tool(tool: Any) -> Any:
    """A function always names its parameters and whether it is strict, also where the request left them out."""
    tool = flat(tool)
    if isinstance(tool, dict) and tool.get("type") == "function":
        return {"parameters": None, "strict": False} | tool
    return tool


def response_id(reply_id: str) -> str:
    """The answer's id as this protocol writes it."""
    return f"resp_{_core(reply_id)}"


def item_id(reply_id: str, block: Block, index: int) -> str:
    """The id of the item at this place of the answer."""
    custom = isinstance(block, ToolCall) and block.is_custom
    return f"{'ctc' if custom else _PREFIXES.get(type(block), 'it')}_{_core(reply_id)}_{index}"


def _core(reply_id: str) -> str:
    core = _KNOWN_PREFIX.sub("", reply_id, count=1) if _KNOWN_PREFIX.match(reply_id) else reply_id
    if 0 < len(core) <= 48 and not _NOT_IN_IDS.search(core):
        return core
    return short_hash(reply_id, 32)


def is_shown(block: Block) -> bool:
    """Whether the block becomes an item: empty ones and another protocol's own do not."""
    if isinstance(block, Text | Refusal):
        return bool(block.text)
    if isinstance(block, Thinking):
        return bool(block.text or block.signature or block.encrypted)
    return isinstance(block, ToolCall) or (isinstance(block, Foreign) and block.origin == "responses")


def item_of(block: Block, known: str, called: set[str]) -> Json:
    """The complete item of a block that `is_shown`; `called` holds the call ids of this answer."""
    if isinstance(block, Text | Refusal):
        return message_item(known, [part_of(block, block.text)])
    if isinstance(block, Thinking):
        return reasoning_item(known, block.text, seal(block))
    if isinstance(block, ToolCall):
        return call_item(block, known, call_id(block, known, called), block.arguments)
    if isinstance(block, Foreign):
        return foreign_item(block, known)
    raise TypeError(f"A {type(block).__name__} is no output.")


def message_item(known: str, parts: list[Json], status: str = "completed") -> Json:
    """An assistant's message."""
    return {"id": known, "type": "message", "role": "assistant", "status": status, "content": parts}


def part_of(block: Text | Refusal, text: str) -> Json:
    """A message's content part."""
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning_item(known: str, text: str, encrypted: str | None, status: str = "completed") -> Json:
    """Reasoning, shown as a summary."""
    item: dict[str, Any] = {"id": known, "type": "reasoning", "status": status}
    item["summary"] = [{"type": "summary_text", "text": text}] if text else []
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    return item


def call_item(call: ToolCall, known: str, called: str, arguments: str, status: str = "completed") -> Json:
    """A call of a function, or of a custom tool."""
    item: dict[str, Any] = {"id": known, "call_id": called, "name": call.name}
    if call.namespace:
        item["namespace"] = call.namespace
    if call.is_custom:
        return item | {"type": "custom_tool_call", "status": status, "input": arguments}
    return item | {"type": "function_call", "status": status, "arguments": arguments or "{}"}


def call_id(call: ToolCall, known: str, called: set[str]) -> str:
    """The id by which the client answers; made from the item's where the backend gave none, or one twice."""
    chosen = call.id if call.id and call.id not in called else f"call_{known}"
    called.add(chosen)
    return chosen


def foreign_item(block: Foreign, known: str) -> Json:
    """A hosted call as it came; every item has an id."""
    return block.raw if isinstance(block.raw.get("id"), str) else {**block.raw, "id": known}


def usage_object(usage: Usage | None) -> Json | None:
    """Tokens in this protocol's words: the input includes what the cache held and got."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input_tokens + usage.output,
    }
