"""A conversation as the body of POST /v1/chat/completions, for OpenAI or a server that is compatible with it."""

from __future__ import annotations

import msgspec

from backends.wire.conversation import Conversation, Lost, OutputFormat, Text, ToolCall
from backends.wire.openai_chat.effort import put_reasoning
from backends.wire.openai_chat.fields import Obj
from backends.wire.openai_chat.messages_out import MessageWriter
from backends.wire.openai_chat.schema import SUBSETS, is_strict, parameters
from backends.wire.openai_chat.tools_out import put_tools
from backends.wire.target import Built, Names, Target, safe_tool_name, short_hash

_MOST_STOPS = 4
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_OWN_EXTRAS = ("n", "logit_bias", "logprobs", "top_logprobs", "prediction", "modalities", "audio")
_LIMITS = {"user": 64, "safety_identifier": 128}


def build_request(talk: Conversation, target: Target, lost: Lost) -> Built:
    """The body for this target. Raises CannotCarry; what is dropped is added to `lost`."""
    names = Names()
    body: Obj = {"model": target.model}
    tools: Obj = {}
    put_tools(tools, talk, target, names, lost)
    writer = MessageWriter(target, names, lost, has_tools=bool(tools.get("tools")))
    messages = writer.write(talk)
    body["messages"] = messages
    body.update(tools)
    _put_limit(body, talk, target, lost)
    put_reasoning(body, talk.reasoning, target, lost)
    _put_sampling(body, talk, target, lost)
    _put_output(body, messages, talk.output, target, lost)
    _put_identity(body, talk, target, lost)
    _put_rest(body, talk, target, lost)
    return Built(msgspec.json.encode(body), names)


def _put_limit(body: Obj, talk: Conversation, target: Target, lost: Lost) -> None:
    """Zero (only warm the cache) has no counterpart: the shortest answer comes nearest."""
    limit = talk.max_tokens
    if limit is None:
        return
    most = target.max_output
    if limit < 1 or (most is not None and limit > most):
        lost.add("$.max_tokens")
        limit = 1 if limit < 1 or most is None else most
    body[target.max_tokens_field] = limit


def _put_sampling(body: Obj, talk: Conversation, target: Target, lost: Lost) -> None:
    """OpenAI's thinking models refuse all of it, unless they are told not to think."""
    sampling, quirks = talk.sampling, target.quirks
    refuses = target.is_reasoner and not quirks.sampled_thinking and body.get("reasoning_effort") != "none"
    wanted = {
        "temperature": (sampling.temperature, "temperature", not refuses),
        "top_p": (sampling.top_p, "top_p", not refuses),
        "top_k": (sampling.top_k, "top_k", quirks.top_k),
        "seed": (sampling.seed, quirks.seed, bool(quirks.seed)),
        "frequency_penalty": (
            sampling.frequency_penalty,
            "frequency_penalty",
            quirks.penalties and not refuses,
        ),
        "presence_penalty": (sampling.presence_penalty, "presence_penalty", quirks.penalties and not refuses),
    }
    for name, (value, field, is_taken) in wanted.items():
        if value is not None and is_taken:
            body[field] = value
        elif value is not None and not _is_default(name, value):
            lost.add(f"$.{name}")
    words = [word for word in talk.stop if word]
    if refuses:
        if words:
            lost.add("$.stop")
    elif words:
        body["stop"] = words[:_MOST_STOPS]
        for index in range(_MOST_STOPS, len(words)):
            lost.add(f"$.stop[{index}]")


def _is_default(name: str, value: float) -> bool:
    return value == (1 if name in ("temperature", "top_p") else 0) and name not in ("seed", "top_k")


def _put_output(
    body: Obj, messages: list[Obj], output: OutputFormat | None, target: Target, lost: Lost
) -> None:
    if output is None:
        return
    if output.kind == "json" or output.schema is None:
        body["response_format"] = {"type": "json_object"}
        return
    if not target.quirks.schema_output:
        lost.add("$.response_format")
        body["response_format"] = {"type": "json_object"}
        _tell_schema(messages, output)
        return
    subset = target.preset if target.preset in SUBSETS else ""
    schema = parameters(output.schema, subset=subset) if subset else output.schema
    strict = True if output.strict is None else output.strict
    if strict and target.quirks.strict_schemas and not is_strict(schema):
        strict = False
        lost.add("$.response_format.json_schema.strict")
    described = {"description": output.description} if output.description else {}
    name = safe_tool_name(output.name or "output", 64)
    inner = {"name": name, **described, "schema": schema, "strict": strict}
    body["response_format"] = {"type": "json_schema", "json_schema": inner}


def _tell_schema(messages: list[Obj], output: OutputFormat) -> None:
    """For a server that only knows "some JSON": the schema in words, so that the model can follow it."""
    schema = msgspec.json.encode(output.schema).decode()
    words = f"Answer with one JSON object that matches this JSON Schema, and nothing else:\n{schema}"
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        first["content"] = f"{first['content']}\n{words}"
    else:
        messages.insert(0, {"role": "system", "content": words})


def _put_identity(body: Obj, talk: Conversation, target: Target, lost: Lost) -> None:
    quirks = target.quirks
    if talk.user and quirks.user_field:
        body[quirks.user_field] = _fitted(talk.user, _LIMITS[quirks.user_field])
    elif talk.user:
        lost.add("$.user")
    if talk.session and quirks.cache_key:
        body["prompt_cache_key"] = _fitted(talk.session, 64)
    if talk.service_tier is not None and talk.service_tier != "auto":
        if target.preset == "openai" and talk.service_tier in _TIERS:
            body["service_tier"] = talk.service_tier
        else:
            lost.add("$.service_tier")


def _fitted(value: str, limit: int) -> str:
    return value if len(value) <= limit else short_hash(value)


def _put_rest(body: Obj, talk: Conversation, target: Target, lost: Lost) -> None:
    if talk.verbosity is not None:
        if target.quirks.verbosity:
            body["verbosity"] = talk.verbosity
        else:
            lost.add("$.verbosity")
    for path, value in talk.extras.items():
        name = path.removeprefix("$.")
        if name in _OWN_EXTRAS and (name != "top_logprobs" or "$.logprobs" in talk.extras):
            body[name] = value
        else:
            lost.add(path)
    if any(getattr(tool, "cache", None) for tool in talk.tools) or _has_lost_marks(talk):
        lost.add("$.cache_control")
    if talk.stream:
        body["stream"] = True
        if target.quirks.stream_options:
            body["stream_options"] = {"include_usage": True}


def _has_lost_marks(talk: Conversation) -> bool:
    """Cache breakpoints where this protocol has no place for one: on calls."""
    return any(
        not isinstance(block, Text) and isinstance(block, ToolCall) and block.cache
        for turn in talk.turns
        for block in turn.blocks
    )
