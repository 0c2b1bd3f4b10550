"""A whole answer: a Messages upstream's read into a Reply, a Reply written for a Messages client.

Rule: what is written equals what the SDK assembles from the stream that `StreamWriter` makes of the same reply.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from backends.wire.anthropic.blocks_in import ORIGIN, encode_id, read_blocks
from backends.wire.anthropic.blocks_out import own_citations, write_thinking
from backends.wire.anthropic.input_json import input_object
from backends.wire.anthropic.shapes import NO_RAW, StopDetails
from backends.wire.conversation import (
    Block,
    Conversation,
    Foreign,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Unreadable,
)
from backends.wire.kinds import Kind
from backends.wire.shapes import BadBody
from backends.wire.target import Names, unwrap_custom, wrap_custom
from backends.wire.usage import Usage, usage_from

_STOPS = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.SEQUENCE,
    "tool_use": Stop.TOOLS,
    "pause_turn": Stop.PAUSE,
    "refusal": Stop.REFUSAL,
    "model_context_window_exceeded": Stop.CONTEXT,
    "compaction": Stop.LENGTH,
}
_REASONS = {
    Stop.END: "end_turn",
    Stop.LENGTH: "max_tokens",
    Stop.SEQUENCE: "stop_sequence",
    Stop.TOOLS: "tool_use",
    Stop.PAUSE: "pause_turn",
    Stop.REFUSAL: "refusal",
    Stop.CONTEXT: "model_context_window_exceeded",
}
_CATEGORIES = frozenset(("cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"))
_TIERS = {"standard": "default"}
MOST_EXPLANATION = 4000  # characters of a refusal's text that are repeated in `stop_details`


class _Answer(Struct, gc=False):
    content: list[Raw]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Raw = NO_RAW


_ANSWER = Decoder(_Answer)
_USAGE = Decoder(dict[str, Any])


def parse_response(body: bytes, names: Names) -> Reply:
    """The reply in a 2xx body. Raises Unreadable."""
    try:
        answer = _ANSWER.decode(body)
        blocks = read_blocks(_calls_with_input(answer.content), "content", {})
    except BadBody as exc:
        raise Unreadable(f"The backend's answer is not a message: {exc.message}") from None
    except (ValueError, RecursionError) as exc:
        raise Unreadable(
            f"The backend's answer is not a message: {exc}. Check the backend's protocol."
        ) from None
    counts = load_counts(answer.usage)
    blocks = [to_client(block, names) for block in blocks]
    stop = derive_stop(answer.stop_reason, has_calls=any(isinstance(block, ToolCall) for block in blocks))
    if refusal := read_refusal(stop, answer.stop_details):
        blocks.append(refusal)
    return Reply(
        answer.id,
        answer.model,
        blocks,
        stop,
        answer.stop_sequence,
        usage_from(Kind.MESSAGES, counts, bytes(answer.usage)) if counts else None,
        service_tier=_tier(counts),
    )


def _calls_with_input(content: list[Raw]) -> list[Raw]:
    """Some servers leave out the input of a call without arguments, or send null."""
    return [_with_input(raw) if b'"tool_use"' in bytes(raw) else raw for raw in content]


_BLOCK = Decoder(dict[str, Raw])


def _with_input(raw: Raw) -> Raw:
    fields = _BLOCK.decode(raw)
    if bytes(fields.get("type", NO_RAW)) != b'"tool_use"' or bytes(fields.get("input", NO_RAW)) != b"null":
        return raw
    return Raw(msgspec.json.encode(fields | {"input": Raw(b"{}")}))


def load_counts(usage: Raw) -> dict[str, Any]:
    """A usage object; an empty one for anything else."""
    try:
        return _USAGE.decode(usage)
    except (ValueError, RecursionError):
        return {}


def to_client(block: Block, names: Names) -> Block:
    """A block with a tool's name, and a custom tool's text, as the client knows them."""
    if isinstance(block, ToolCall):
        own = names.client(block.name)
        block.name, block.namespace, block.is_custom = own.name, own.namespace, own.is_custom
        if block.is_custom:
            block.arguments = unwrap_custom(block.arguments)
    return block


def derive_stop(reason: str | None, *, has_calls: bool) -> Stop:
    """Why the reply ended. Calls that were emitted count for more than the provider's word."""
    return settle(_STOPS.get(reason or "", Stop.END), has_calls=has_calls)


def settle(stop: Stop, *, has_calls: bool) -> Stop:
    """A regular end is a call for tools if, and only if, a tool was called."""
    if stop in (Stop.END, Stop.TOOLS):
        return Stop.TOOLS if has_calls else Stop.END
    return stop


def read_refusal(stop: Stop, details: StopDetails | None) -> Refusal | None:
    """What the provider says about a refusal, if anything."""
    if stop is not Stop.REFUSAL or details is None or not (details.explanation or details.category):
        return None
    return Refusal(details.explanation or "", details.category)


def _tier(counts: dict[str, Any]) -> str | None:
    tier = counts.get("service_tier")
    return _TIERS.get(tier, tier) if isinstance(tier, str) else None


# --- written -------------------------------------------------------------------------------------------------


def build_response(reply: Reply, ask: Conversation) -> bytes:
    """The message for the client that asked."""
    content: list[dict[str, Any]] = []
    for block in reply.blocks:
        if made := write_reply_block(block, ask, reply.id, len(content)):
            content.append(made)
    refusals = [block for block in reply.blocks if isinstance(block, Refusal)]
    has_calls = any(block["type"] == "tool_use" for block in content)
    return msgspec.json.encode(
        message_head(reply.id, reply.model or ask.model)
        | {
            "content": content,
            **stop_fields(
                reply.stop,
                reply.stop_sequence,
                has_calls=has_calls,
                refusal="".join(block.text for block in refusals) if refusals else None,
                category=next((block.category for block in refusals if block.category), None),
            ),
            "usage": write_usage(reply.usage),
        }
    )


def message_head(reply_id: str, model: str) -> dict[str, Any]:
    """A message that has only begun."""
    return {
        "id": reply_id if reply_id.startswith("msg_") else f"msg_{reply_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }


def write_reply_block(block: Block, ask: Conversation, reply_id: str, index: int) -> dict[str, Any] | None:
    """A content block of an answer; None for one that would be empty or that this client cannot use."""
    if isinstance(block, Text):
        if not block.text:
            return None
        citations = own_citations(block)
        return {"type": "text", "text": block.text} | ({"citations": citations} if citations else {})
    if isinstance(block, Refusal):
        return {"type": "text", "text": block.text} if block.text else None
    if isinstance(block, Thinking):
        return write_thinking(block) or _shown_thinking(block, ask)
    if isinstance(block, ToolCall):
        arguments = wrap_custom(block.arguments) if block.is_custom else block.arguments
        return call_head(block, reply_id, index) | {"input": input_object(arguments)}
    if isinstance(block, Foreign) and block.origin == ORIGIN:
        return dict(block.raw)
    return None


def _shown_thinking(block: Thinking, ask: Conversation) -> dict[str, Any] | None:
    """Another model's thinking, for people to read. Its signature is empty: nothing here could sign it."""
    if not block.text or hides_thinking(ask):
        return None
    return {"type": "thinking", "thinking": block.text, "signature": ""}


def hides_thinking(ask: Conversation) -> bool:
    """Whether the client does not want to see what another model thought."""
    return ask.reasoning.mode == "off" or ask.reasoning.summary == "omitted"


def call_head(call: ToolCall, reply_id: str, index: int) -> dict[str, Any]:
    """A `tool_use` block without its input."""
    call_id = encode_id(call.id) if call.id else f"toolu_{encode_id(reply_id)}_{index}"
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": Raw(b"{}")}


def stop_fields(
    stop: Stop, sequence: str | None, *, has_calls: bool, refusal: str | None, category: str | None
) -> dict[str, Any]:
    """`stop_reason`, `stop_sequence`, `stop_details`. `refusal`: the text of a refusal block, if there was one."""
    stop = settle(stop, has_calls=has_calls)
    if refusal is not None and stop is Stop.END:
        stop = Stop.REFUSAL
    details = None
    if stop is Stop.REFUSAL:
        details = {
            "type": "refusal",
            "category": category if category in _CATEGORIES else None,
            "explanation": (refusal or "")[:MOST_EXPLANATION] or None,
        }
    return {
        "stop_reason": _REASONS[stop],
        "stop_sequence": sequence if stop is Stop.SEQUENCE else None,
        "stop_details": details,
    }


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """The usage of a finished answer. The two cache lifetimes are told apart only where they differ from 5m."""
    made = start_usage(usage)
    made["output_tokens_details"] = {"thinking_tokens": usage.reasoning if usage else 0}
    return made


def start_usage(usage: Usage | None) -> dict[str, Any]:
    """The usage as a stream's first event has it."""
    made: dict[str, Any] = {
        "input_tokens": usage.fresh_input if usage else 0,
        "cache_creation_input_tokens": usage.cache_write if usage else 0,
        "cache_read_input_tokens": usage.cache_read if usage else 0,
        "output_tokens": usage.output if usage else 0,
    }
    if usage and usage.cache_write_1h:
        made["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    return made
