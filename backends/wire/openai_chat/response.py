"""A whole Chat Completions answer: a backend's, read, and one for a client, written."""

from __future__ import annotations

from typing import Any

import msgspec

from backends.wire.assemble import Assembly
from backends.wire.conversation import (
    Conversation,
    Failed,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Unreadable,
)
from backends.wire.openai_chat.reader import Answer
from backends.wire.target import Names
from backends.wire.usage import Usage

_FINISH = {
    Stop.END: "stop",
    Stop.SEQUENCE: "stop",
    Stop.PAUSE: "stop",
    Stop.LENGTH: "length",
    Stop.CONTEXT: "length",
    Stop.TOOLS: "tool_calls",
    Stop.REFUSAL: "content_filter",
}


def parse_response(body: bytes, names: Names) -> Reply:
    """The answer in the neutral form. Raises Unreadable if it is none, or an error in the place of one."""
    try:
        obj = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise Unreadable("The upstream's answer is not JSON. Check the backend's base URL.") from None
    if not isinstance(obj, dict):
        raise Unreadable("The upstream's answer is not a JSON object. Check the backend's base URL.")
    answer = Answer(names)
    events = answer.take(obj, "message")
    if not answer.is_over:
        choices = obj.get("choices")
        if not isinstance(choices, list) or not any(isinstance(choice, dict) for choice in choices):
            raise Unreadable(
                "The upstream's answer has no choices. Check that the backend speaks chat completions."
            )
        events += answer.end()
    assembly = Assembly()
    for event in events:
        if isinstance(event, Failed):
            raise Unreadable(event.error.message)
        assembly.take(event)
    reply = assembly.reply
    tier = obj.get("service_tier")
    reply.service_tier = tier if isinstance(tier, str) else None
    return reply


def build_response(reply: Reply, ask: Conversation) -> bytes:
    """The body for a chat client."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    texts = [block.text for block in reply.blocks if isinstance(block, Text)]
    thoughts = [block.text for block in reply.blocks if isinstance(block, Thinking) and block.text]
    refusals = [block.text for block in reply.blocks if isinstance(block, Refusal)]
    calls = [block for block in reply.blocks if isinstance(block, ToolCall)]
    if texts or not (calls or refusals):
        message["content"] = "".join(texts)
    if refusals:
        message["refusal"] = "".join(refusals)
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls and ask.legacy_functions:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}
    elif calls:
        message["tool_calls"] = [write_call(call) for call in calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(reply.stop, ask),
    }
    body: dict[str, Any] = {
        "id": own_id(reply.id),
        "object": "chat.completion",
        "created": reply.created or 0,
        "model": reply.model or ask.model,
        "choices": [choice],
    }
    if reply.usage is not None:
        body["usage"] = usage_object(reply.usage)
    return msgspec.json.encode(body)


def own_id(reply_id: str) -> str:
    """An id as this protocol's clients know them."""
    return reply_id if reply_id.startswith("chatcmpl-") else f"chatcmpl-{reply_id}"


def write_call(call: ToolCall) -> dict[str, Any]:
    """A tool call in a client's answer."""
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    extra = call.extra.get("extra_content") if call.extra else None
    made: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
    return {**made, "extra_content": extra} if extra else made


def finish_reason(stop: Stop, ask: Conversation) -> str:
    """The protocol's word for it."""
    return "function_call" if stop is Stop.TOOLS and ask.legacy_functions else _FINISH[stop]


def usage_object(usage: Usage) -> dict[str, Any]:
    """Token counts as this protocol sums them: the prompt includes the cache, the completion the reasoning."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output,
        "total_tokens": usage.input_tokens + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
