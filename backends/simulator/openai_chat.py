"""OpenAI Chat Completions and the errors that all OpenAI endpoints share."""

from __future__ import annotations

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
from backends.simulator.events import Event, Events, Part, encode
from backends.simulator.reply import Call, Reply, Tokens
from backends.wire.kinds import Kind

_FINISH = {
    "stop": "stop",
    "length": "length",
    "stop_sequence": "stop",
    "tool": "tool_calls",
    "refusal": "stop",
    "filter": "content_filter",
    "pause": "stop",
}
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ERROR_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
DONE = Event(b"", b"[DONE]", Part.DONE)


def require(body: JsonObject, name: str) -> None:
    """Raise BadRequest in the service's words if a required field is absent."""
    if name == "model" and not isinstance(body.get("model"), str):
        raise BadRequest("you must provide a model parameter", param="model")
    if body.get(name) is None:
        raise BadRequest(
            f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )


def read(body: JsonObject) -> Ask:
    """Understand a chat request. Raises BadRequest."""
    require(body, "model")
    require(body, "messages")
    if not isinstance(body["messages"], list) or not body["messages"]:
        raise BadRequest("Invalid 'messages': empty array. Give at least one message.", param="messages")
    messages = objects(body["messages"])
    return Ask(
        kind=Kind.CHAT,
        model=body["model"],
        body=body,
        stream=body.get("stream") is True,
        last_text=_last_text(messages),
        tool_result=_last_result(messages),
        tools=() if body.get("tool_choice") == "none" else _tools(body),
        force_tool=forced(body.get("tool_choice")),
        parallel_ok=body.get("parallel_tool_calls") is not False,
        schema=_schema(mapping(body.get("response_format"))),
        max_tokens=whole(body, "max_completion_tokens", "max_tokens"),
        stops=strings(body.get("stop")),
        input_tokens=input_tokens(body["messages"], body.get("tools")),
        n=min(8, max(1, whole(body, "n") or 1)),
        include_usage=mapping(body.get("stream_options")).get("include_usage") is True,
    )


def _last_text(messages: list[JsonObject]) -> str:
    last = next((message for message in reversed(messages) if message.get("role") == "user"), {})
    return content_text(last.get("content"))


def _last_result(messages: list[JsonObject]) -> str | None:
    """The last tool result since the model spoke, whatever else was said after it."""
    for message in reversed(messages):
        if message.get("role") in ("tool", "function"):
            return content_text(message.get("content"))
        if message.get("role") == "assistant":
            break
    return None


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    tools = objects(body.get("tools"))
    functions = [(mapping(tool.get("function")), False) for tool in tools if tool.get("type") == "function"]
    customs = [(mapping(tool.get("custom")), True) for tool in tools if tool.get("type") == "custom"]
    return tuple(
        Tool(str(tool.get("name")), mapping(tool.get("parameters")), custom)
        for tool, custom in (*functions, *customs)
    )


def forced(choice: object) -> str | None:
    """`tool_choice` of both OpenAI protocols: None = free, "" = some tool, else the name of the tool."""
    if choice == "required":
        return ""
    wanted = mapping(choice)
    if wanted.get("type") == "allowed_tools":
        mode = wanted.get("mode") or mapping(wanted.get("allowed_tools")).get("mode")
        return "" if mode == "required" else None
    named = wanted.get("name") or mapping(wanted.get(str(wanted.get("type")))).get("name")
    return named if isinstance(named, str) else None


def _schema(wanted: JsonObject) -> JsonObject | None:
    if wanted.get("type") == "json_schema":
        return mapping(mapping(wanted.get("json_schema")).get("schema"))
    return {"required": ["answer"], "type": "object"} if wanted.get("type") == "json_object" else None


def usage_of(tokens: Tokens) -> JsonObject:
    """The usage object of a chat completion; prompt tokens include cached ones."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(ask: Ask, reply: Reply, ident: str, created: int, usage: JsonObject | None) -> JsonObject:
    """The whole answer as one JSON object."""
    choices = [
        {
            "index": index,
            "message": _message(reply, ident, index),
            "logprobs": None,
            "finish_reason": _FINISH[reply.finish],
        }
        for index in range(ask.n)
    ]
    head = _head("chat.completion", ask, ident, created)
    return {**head, "choices": choices, **({} if usage is None else {"usage": usage})}


def _head(kind: str, ask: Ask, ident: str, created: int) -> JsonObject:
    return {
        "id": f"chatcmpl-{ident}",
        "object": kind,
        "created": created,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def _message(reply: Reply, ident: str, choice: int) -> JsonObject:
    refused = reply.finish == "refusal"
    message: JsonObject = {
        "role": "assistant",
        "content": None if refused or reply.calls else reply.text,
        "refusal": reply.text if refused else None,
        "annotations": [],
    }
    if reply.thinking:
        message["reasoning_content"] = reply.thinking
    if reply.calls:
        message["tool_calls"] = [_tool_call(call, ident, choice, call.arguments) for call in reply.calls]
    return message


def _tool_call(call: Call, ident: str, choice: int, arguments: str) -> JsonObject:
    name = f"call_{ident}_{choice}{call.index}"
    if call.custom:
        return {"id": name, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def stream(ask: Ask, reply: Reply, ident: str, created: int, usage: JsonObject | None) -> Events:
    """The same answer as chunks. Usage comes only if the client asked for it."""
    head = _head("chat.completion.chunk", ask, ident, created)
    tail = {"usage": None} if ask.include_usage else {}
    for index in range(ask.n):
        yield _chunk(head, index, {"role": "assistant", "content": "", "refusal": None}, tail, Part.OPEN)
        if reply.thinking:
            for word in Reply(reply.thinking).pieces():
                yield _chunk(head, index, {"reasoning_content": word}, tail)
        yield from _text(head, index, reply, tail)
        for call in reply.calls:
            yield from _call(head, index, call, ident, tail)
    for index in range(ask.n):
        yield _chunk(head, index, {}, tail, Part.TERMINAL, _FINISH[reply.finish])
    if ask.include_usage and usage is not None:
        yield Event(b"", encode({**head, "choices": [], "usage": usage}), Part.CLOSING)
    yield DONE


def _chunk(
    head: JsonObject,
    index: int,
    delta: JsonObject,
    tail: JsonObject,
    part: Part = Part.CONTENT,
    finish: str | None = None,
) -> Event:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return Event(b"", encode({**head, "choices": [choice], **tail}), part)


def _text(head: JsonObject, index: int, reply: Reply, tail: JsonObject) -> Events:
    field = "refusal" if reply.finish == "refusal" else "content"
    pattern = _chunk(head, index, {field: "\x01"}, tail)
    before, _, after = pattern.data.partition(b'"\\u0001"')
    for piece in reply.pieces():
        yield Event(b"", before + encode(piece) + after, Part.CONTENT)


def _call(head: JsonObject, index: int, call: Call, ident: str, tail: JsonObject) -> Events:
    first = {"index": call.index, **_tool_call(call, ident, index, "")}
    yield _chunk(head, index, {"tool_calls": [first]}, tail)
    inner, field = ("custom", "input") if call.custom else ("function", "arguments")
    for fragment in call.fragments:
        delta = {"index": call.index, inner: {field: fragment}}
        yield _chunk(head, index, {"tool_calls": [delta]}, tail)


def error_type(status: int) -> str:
    """The service's name for an HTTP error status."""
    return _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def error(status: int, text: str, *, kind: str = "", code: str = "", param: str | None = None) -> JsonObject:
    """An error body; also the data of an error chunk."""
    problem = {
        "message": text,
        "type": kind or error_type(status),
        "param": param,
        "code": code or _ERROR_CODES.get(status),
    }
    return {"error": problem}
