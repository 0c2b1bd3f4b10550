"""Anthropic Messages: requests into `Ask`, a `Reply` into a message or its stream of events, errors."""

from __future__ import annotations

import msgspec

from backends.simulator.asking import (
    Ask,
    BadRequest,
    JsonObject,
    Tool,
    content_text,
    input_tokens,
    mapping,
    objects,
    strings,
    whole,
)
from backends.simulator.events import Events, Part, encode, named
from backends.simulator.reply import Call, Reply, Tokens
from backends.wire.kinds import Kind

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool": "tool_use",
    "refusal": "refusal",
    "filter": "refusal",
    "pause": "pause_turn",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read(body: JsonObject, kind: Kind) -> Ask:
    """Understand a messages or count_tokens request. Raises BadRequest."""
    required = ["model", "messages"] + (["max_tokens"] if kind is Kind.MESSAGES else [])
    for name in required:
        if body.get(name) is None:
            raise BadRequest(f"{name}: Field required")
    if not isinstance(body["model"], str):
        raise BadRequest("model: Input should be a valid string")
    if not isinstance(body["messages"], list) or not body["messages"]:
        raise BadRequest("messages: at least one message is required")
    if kind is Kind.MESSAGES and whole(body, "max_tokens") is None:
        raise BadRequest("max_tokens: Input should be a valid integer")
    choice = mapping(body.get("tool_choice"))
    text, result = _last_turn(objects(body["messages"]))
    return Ask(
        kind=kind,
        model=body["model"],
        body=body,
        stream=body.get("stream") is True,
        last_text=text,
        tool_result=result,
        tools=() if choice.get("type") == "none" else _tools(body),
        force_tool=choice.get("name", "") if choice.get("type") in ("any", "tool") else None,
        parallel_ok=not choice.get("disable_parallel_tool_use"),
        schema=_schema(body),
        max_tokens=whole(body, "max_tokens"),
        stops=strings(body.get("stop_sequences")),
        input_tokens=input_tokens(body.get("system"), body["messages"], body.get("tools")),
    )


def _last_turn(messages: list[JsonObject]) -> tuple[str, str | None]:
    """The last user text, and the tool result if the last user message brings one."""
    last = next((message for message in reversed(messages) if message.get("role") == "user"), {})
    content = last.get("content")
    for block in objects(content):
        if block.get("type") == "tool_result":
            return content_text(content), content_text(block.get("content"))
    return content_text(content), None


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    return tuple(
        Tool(str(tool.get("name")), mapping(tool.get("input_schema")))
        for tool in objects(body.get("tools"))
        if tool.get("type") in (None, "custom")
    )


def _schema(body: JsonObject) -> JsonObject | None:
    wanted = mapping(mapping(body.get("output_config")).get("format") or body.get("output_format"))
    return mapping(wanted.get("schema")) if wanted.get("type") == "json_schema" else None


def usage_of(tokens: Tokens) -> JsonObject:
    """The usage object of a message."""
    return {
        "input_tokens": tokens.fresh,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        "service_tier": "standard",
    }


def message(ask: Ask, reply: Reply, ident: str, usage: JsonObject | None) -> JsonObject:
    """The whole answer as one JSON object."""
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": _blocks(reply, ident),
        **_stop(reply),
        **({} if usage is None else {"usage": usage}),
    }


def _stop(reply: Reply) -> JsonObject:
    details = {"type": "refusal", "category": None, "explanation": "The simulator was told to refuse."}
    reason = _STOP_REASONS[reply.finish]
    return {
        "stop_reason": reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": details if reason == "refusal" else None,
    }


def _tool_use(call: Call, ident: str, arguments: object) -> JsonObject:
    return {"type": "tool_use", "id": f"toolu_{ident}_{call.index}", "name": call.name, "input": arguments}


def _blocks(reply: Reply, ident: str) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    if reply.thinking:
        blocks.append({"type": "thinking", "thinking": reply.thinking, "signature": reply.signature})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    blocks += [_tool_use(call, ident, decode_arguments(call)) for call in reply.calls]
    return blocks


def decode_arguments(call: Call) -> object:
    """The call's arguments as a JSON value."""
    return msgspec.json.decode(call.arguments)


def stream(ask: Ask, reply: Reply, ident: str, usage: JsonObject | None) -> Events:
    """The same answer as events."""
    opened = {**message(ask, Reply(""), ident, None), "stop_reason": None, "content": []}
    if usage is not None:
        opened["usage"] = {**usage, "output_tokens": min(1, usage["output_tokens"])}
        opened["usage"].pop("output_tokens_details", None)
    yield named("message_start", {"message": opened}, Part.OPEN)
    index = 0
    if reply.thinking:
        yield from _thinking(index, reply)
        index += 1
    if reply.text or reply.filler:
        yield from _text(index, reply)
        index += 1
    for call in reply.calls:
        yield from _call(index, call, ident)
        index += 1
    final = {} if usage is None else {"usage": usage}
    yield named("message_delta", {"delta": _stop(reply), **final}, Part.CLOSING)
    yield named("message_stop", {}, Part.TERMINAL)


def _thinking(index: int, reply: Reply) -> Events:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    yield named("content_block_start", {"index": index, "content_block": block})
    for word in Reply(reply.thinking).pieces():
        delta = {"type": "thinking_delta", "thinking": word}
        yield named("content_block_delta", {"index": index, "delta": delta})
    signed = {"type": "signature_delta", "signature": reply.signature}
    yield named("content_block_delta", {"index": index, "delta": signed})
    yield named("content_block_stop", {"index": index})


def _text(index: int, reply: Reply) -> Events:
    yield named("content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}})
    yield named("ping", {}, Part.OPEN)
    head = b'{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":' % index
    pattern = named("content_block_delta", {})
    for piece in reply.pieces():
        yield pattern._replace(data=head + encode(piece) + b"}}")
    yield named("content_block_stop", {"index": index})


def _call(index: int, call: Call, ident: str) -> Events:
    yield named("content_block_start", {"index": index, "content_block": _tool_use(call, ident, {})})
    for fragment in ("", *call.fragments):
        delta = {"type": "input_json_delta", "partial_json": fragment}
        yield named("content_block_delta", {"index": index, "delta": delta})
    yield named("content_block_stop", {"index": index})


def error_type(status: int) -> str:
    """The service's name for an HTTP error status."""
    usual = "invalid_request_error" if status < 500 else "api_error"
    return _ERROR_TYPES.get(status, usual)


def error(status: int, text: str, request_id: str, *, kind: str = "", code: str = "") -> JsonObject:
    """An error body; also the data of an error event."""
    details = {"details": {"error_code": code}} if code else {}
    problem = {"type": kind or error_type(status), "message": text, **details}
    return {"type": "error", "error": problem, "request_id": request_id}
