"""OpenAI Responses: requests into `Ask`, a `Reply` into a response object or its stream of events."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable

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
from backends.simulator.events import Event, Events, Part, named
from backends.simulator.openai_chat import forced, require
from backends.simulator.reply import Call, Reply, Tokens
from backends.wire.kinds import Kind

_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")
Say = Callable[..., Event]


def read(body: JsonObject) -> Ask:
    """Understand a responses request. Raises BadRequest."""
    require(body, "model")
    given = body.get("input")
    if given is None and body.get("previous_response_id") is None and body.get("prompt") is None:
        raise BadRequest("One of 'input', 'previous_response_id' or 'prompt' must be given.", param="input")
    items = objects(given)
    return Ask(
        kind=Kind.RESPONSES,
        model=body["model"],
        body=body,
        stream=body.get("stream") is True,
        last_text=given if isinstance(given, str) else _last_text(items),
        tool_result=_last_result(items),
        tools=() if body.get("tool_choice") == "none" else _tools(body),
        force_tool=forced(body.get("tool_choice")),
        parallel_ok=body.get("parallel_tool_calls") is not False,
        schema=_schema(mapping(mapping(body.get("text")).get("format"))),
        max_tokens=whole(body, "max_output_tokens"),
        input_tokens=input_tokens(body.get("instructions"), given, body.get("tools")),
    )


def _last_text(items: list[JsonObject]) -> str:
    last = next((item for item in reversed(items) if item.get("role") == "user"), {})
    return content_text(last.get("content"))


def _last_result(items: list[JsonObject]) -> str | None:
    """The last tool result since the model spoke, whatever else was said after it."""
    for item in reversed(items):
        if item.get("type") in _RESULTS:
            return content_text(item.get("output"))
        if item.get("role") == "assistant" or item.get("type") in _CALLS:
            break
    return None


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    return tuple(
        Tool(str(tool.get("name")), mapping(tool.get("parameters")), tool["type"] == "custom")
        for tool in objects(body.get("tools"))
        if tool.get("type") in ("function", "custom")
    )


def _schema(wanted: JsonObject) -> JsonObject | None:
    if wanted.get("type") == "json_schema":
        return mapping(wanted.get("schema"))
    return {"required": ["answer"], "type": "object"} if wanted.get("type") == "json_object" else None


def usage_of(tokens: Tokens) -> JsonObject:
    """The usage object of a response; input tokens include cached ones."""
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def response(ask: Ask, reply: Reply, ident: str, created: int, usage: JsonObject | None) -> JsonObject:
    """The whole answer as one JSON object."""
    done: JsonObject = {"output": [_item(ask, reply, part, ident) for part in _parts(reply)], "usage": usage}
    reasons = {"length": "max_output_tokens", "filter": "content_filter"}
    if reason := reasons.get(reply.finish):
        done |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    if usage is None:
        del done["usage"]
    return {**_head(ask, ident, created, "completed"), **done}


def failed(ask: Ask, ident: str, code: str, message: str) -> JsonObject:
    """The response object of a `response.failed` event."""
    return {**_head(ask, ident, 0, "failed"), "error": {"code": code, "message": message}}


def _head(ask: Ask, ident: str, created: int, status: str) -> JsonObject:
    body = ask.body
    reasoning = mapping(body.get("reasoning"))
    return {
        "id": f"resp_{ident}",
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "metadata": body.get("metadata") or {},
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": body.get("store") is not False,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": None,
        "user": body.get("user"),
    }


def _parts(reply: Reply) -> list[str | Call]:
    """What the output holds, in order: `reasoning`, `message`, tool calls."""
    says = reply.text or reply.filler or not reply.calls
    return [*(["reasoning"] if reply.thinking else []), *(["message"] if says else []), *reply.calls]


def _item(ask: Ask, reply: Reply, part: str | Call, ident: str) -> JsonObject:
    """One finished output item."""
    if isinstance(part, Call):
        return {**_call_head(part, ident), "status": "completed", _argument_field(part): part.arguments}
    if part == "reasoning":
        summary = [{"type": "summary_text", "text": reply.thinking}]
        return {"id": f"rs_{ident}", "type": "reasoning", "summary": summary, **_sealed(ask, reply)}
    content = [_content(reply, reply.text)]
    status = "incomplete" if reply.finish in ("length", "filter") else "completed"
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _call_head(call: Call, ident: str) -> JsonObject:
    prefix, kind = ("ctc", "custom_tool_call") if call.custom else ("fc", "function_call")
    number = f"{ident}_{call.index}"
    return {"id": f"{prefix}_{number}", "type": kind, "call_id": f"call_{number}", "name": call.name}


def _argument_field(call: Call) -> str:
    return "input" if call.custom else "arguments"


def _sealed(ask: Ask, reply: Reply) -> JsonObject:
    """Encrypted reasoning, if the client asked for it (clients that store nothing replay it)."""
    if "reasoning.encrypted_content" not in strings(ask.body.get("include")):
        return {}
    return {"encrypted_content": base64.b64encode(reply.signature.encode()).decode()}


def _content(reply: Reply, text: str) -> JsonObject:
    if reply.finish == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def stream(ask: Ask, reply: Reply, ident: str, created: int, usage: JsonObject | None) -> Events:
    """The same answer as events, numbered from 0."""
    numbers = itertools.count()

    def say(kind: str, fields: JsonObject, part: Part = Part.CONTENT) -> Event:
        return named(kind, {"sequence_number": next(numbers), **fields}, part)

    opened = _head(ask, ident, created, "in_progress")
    yield say("response.created", {"response": opened}, Part.OPEN)
    yield say("response.in_progress", {"response": opened}, Part.OPEN)
    for index, part in enumerate(_parts(reply)):
        item = _item(ask, reply, part, ident)
        if isinstance(part, Call):
            yield from _call(say, index, part, item)
        elif part == "reasoning":
            yield from _reasoning(say, index, reply, item)
        else:
            yield from _message(say, index, reply, item)
        yield say("response.output_item.done", {"output_index": index, "item": item})
    whole_answer = response(ask, reply, ident, created, usage)
    yield say(f"response.{whole_answer['status']}", {"response": whole_answer}, Part.TERMINAL)


def _call(say: Say, index: int, call: Call, item: JsonObject) -> Events:
    field = _argument_field(call)
    yield say(
        "response.output_item.added",
        {"output_index": index, "item": {**item, "status": "in_progress", field: ""}},
    )
    where = {"item_id": item["id"], "output_index": index}
    stem = "response.custom_tool_call_input" if call.custom else "response.function_call_arguments"
    for fragment in call.fragments:
        yield say(f"{stem}.delta", {**where, "delta": fragment})
    named_too = {} if call.custom else {"name": call.name}
    yield say(f"{stem}.done", {**where, **named_too, field: call.arguments})


def _reasoning(say: Say, index: int, reply: Reply, item: JsonObject) -> Events:
    yield say("response.output_item.added", {"output_index": index, "item": {**item, "summary": []}})
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    stem = "response.reasoning_summary"
    yield say(f"{stem}_part.added", {**where, "part": {"type": "summary_text", "text": ""}})
    for word in Reply(reply.thinking).pieces():
        yield say(f"{stem}_text.delta", {**where, "delta": word})
    yield say(f"{stem}_text.done", {**where, "text": reply.thinking})
    yield say(f"{stem}_part.done", {**where, "part": item["summary"][0]})


def _message(say: Say, index: int, reply: Reply, item: JsonObject) -> Events:
    started = {**item, "status": "in_progress", "content": []}
    yield say("response.output_item.added", {"output_index": index, "item": started})
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield say("response.content_part.added", {**where, "part": _content(reply, "")})
    refused = reply.finish == "refusal"
    stem, field = ("response.refusal", "refusal") if refused else ("response.output_text", "text")
    extra: JsonObject = {} if refused else {"logprobs": []}
    for piece in reply.pieces():
        yield say(f"{stem}.delta", {**where, "delta": piece, **extra})
    yield say(f"{stem}.done", {**where, field: reply.text, **extra})
    yield say("response.content_part.done", {**where, "part": item["content"][0]})
