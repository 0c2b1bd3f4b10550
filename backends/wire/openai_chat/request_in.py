"""A client's POST /v1/chat/completions, read."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from backends.wire.conversation import (
    Conversation,
    HostedTool,
    OutputFormat,
    Reasoning,
    Sampling,
    Tool,
    ToolChoice,
)
from backends.wire.openai_chat.fields import (
    Obj,
    as_object,
    flag,
    items,
    mapping,
    need_text,
    number,
    text,
    whole,
    wrong,
)
from backends.wire.openai_chat.messages_in import read_messages
from backends.wire.splice import BadBody

_READ_NAMES = """
    model messages max_tokens max_completion_tokens temperature top_p top_k seed frequency_penalty
    presence_penalty stop tools functions tool_choice function_call parallel_tool_calls
    response_format reasoning_effort reasoning thinking verbosity user safety_identifier
    prompt_cache_key store service_tier stream stream_options web_search_options
"""
_READ = frozenset(_READ_NAMES.split())
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_FIELD = re.compile(r"[A-Za-z0-9_]{1,64}")
_MOST_EXTRAS = 64


def parse_request(body: bytes) -> Conversation:
    """The request in the neutral form. Raises BadBody that names the field at fault."""
    obj = _decode(body)
    history = read_messages(_messages(obj))
    legacy = not obj.get("tools") and bool(items(obj, "functions"))
    talk = Conversation(need_text(obj, "model"), history.turns, history.system)
    talk.tools = _tools(obj)
    talk.tool_choice = _tool_choice(obj)
    talk.legacy_functions = legacy
    talk.parallel_tools = False if legacy else flag(obj, "parallel_tool_calls")
    limit = whole(obj, "max_completion_tokens")
    older = whole(obj, "max_tokens")
    talk.max_tokens = older if limit is None else limit
    talk.stop = _stop(obj.get("stop"))
    talk.sampling = _sampling(obj)
    talk.reasoning = _reasoning(obj)
    talk.output = _output(obj)
    talk.verbosity = text(obj, "verbosity")
    talk.stream = bool(flag(obj, "stream"))
    options = mapping(obj, "stream_options") or {}
    talk.include_usage = talk.stream and bool(flag(options, "include_usage", "stream_options"))
    older_user = text(obj, "user")
    talk.user = text(obj, "safety_identifier") or older_user
    talk.session = text(obj, "prompt_cache_key")
    talk.store = flag(obj, "store")
    talk.service_tier = text(obj, "service_tier")
    talk.extras = _extras(obj)
    return talk


def _decode(body: bytes) -> Obj:
    try:
        obj = msgspec.json.decode(body)
    except (ValueError, RecursionError) as exc:
        raise BadBody(f"The body is not valid JSON: {exc}. Send one JSON object.") from None
    if not isinstance(obj, dict):
        raise BadBody("The body is not a JSON object. Send an object with the request's fields.")
    return obj


def _messages(obj: Obj) -> list[Any]:
    if obj.get("messages") is None:
        raise BadBody("The field `messages` is missing. Add it.", "messages")
    return items(obj, "messages")


def _extras(obj: Obj) -> dict[str, Any]:
    """What is left. `n` 1 is what everybody does. A field with an odd name is not a field of anybody."""
    whole(obj, "n")
    left = {
        f"$.{name}": value
        for name, value in obj.items()
        if name not in _READ and value is not None and _FIELD.fullmatch(name)
    }
    if left.get("$.n") == 1:
        del left["$.n"]
    return dict(list(left.items())[:_MOST_EXTRAS])


def _stop(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        wrong("stop", "a string or a list of strings")
    return value


def _sampling(obj: Obj) -> Sampling:
    return Sampling(
        temperature=number(obj, "temperature"),
        top_p=number(obj, "top_p"),
        top_k=whole(obj, "top_k"),
        seed=whole(obj, "seed"),
        frequency_penalty=number(obj, "frequency_penalty"),
        presence_penalty=number(obj, "presence_penalty"),
    )


def _reasoning(obj: Obj) -> Reasoning:
    """OpenAI's `reasoning_effort`; OpenRouter's `reasoning` and DeepSeek's `thinking` say it in more words."""
    thinking, reasoning = mapping(obj, "thinking") or {}, mapping(obj, "reasoning") or {}
    effort = text(obj, "reasoning_effort") or text(reasoning, "effort", "reasoning")
    if effort is not None and effort not in _EFFORTS:
        words = f"one of {', '.join(_EFFORTS)}"
        wrong("reasoning_effort" if obj.get("reasoning_effort") else "reasoning.effort", words)
    budget = whole(reasoning, "max_tokens", "reasoning")
    is_off = thinking.get("type") == "disabled" or flag(reasoning, "enabled", "reasoning") is False
    if effort == "none" or is_off:
        return Reasoning("off", "none")
    if effort or budget or thinking.get("type") == "enabled" or reasoning.get("enabled"):
        return Reasoning("on", effort, budget)
    return Reasoning()


def _output(obj: Obj) -> OutputFormat | None:
    given = mapping(obj, "response_format")
    if given is None:
        return None
    kind, path = text(given, "type", "response_format"), "response_format.json_schema"
    if kind == "json_object":
        return OutputFormat("json")
    if kind == "json_schema":
        inner = mapping(given, "json_schema", "response_format")
        if inner is None:
            raise BadBody(f"The field `{path}` is missing. Add it.", path)
        return OutputFormat(
            "schema",
            mapping(inner, "schema", path),
            text(inner, "name", path),
            text(inner, "description", path),
            flag(inner, "strict", path),
        )
    if kind != "text":
        wrong("response_format.type", "text, json_object or json_schema")
    return None


def _tools(obj: Obj) -> list[Tool | HostedTool]:
    tools = [_tool(value, f"tools[{index}]") for index, value in enumerate(items(obj, "tools"))]
    for index, value in enumerate([] if tools else items(obj, "functions")):
        tools.append(_function(as_object(value, f"functions[{index}]"), f"functions[{index}]"))
    search = mapping(obj, "web_search_options")
    if search is not None:
        tools.append(HostedTool("chat", "web_search_options", search))
    return tools


def _tool(value: Any, path: str) -> Tool | HostedTool:
    """Nested as in this protocol, or flat as in the Responses API: some clients send that form here."""
    tool = as_object(value, path)
    kind = text(tool, "type", path) or "function"
    if kind not in ("function", "custom"):
        return HostedTool("chat", text(tool, "name", path) or kind, tool)
    inner = mapping(tool, kind, path)
    place = path if inner is None else f"{path}.{kind}"
    inner = tool if inner is None else inner
    if kind == "function":
        return _function(inner, place)
    grammar = mapping(inner, "format", place)
    return Tool(
        need_text(inner, "name", place),
        text(inner, "description", place),
        is_custom=True,
        grammar=_grammar(grammar) if grammar and grammar.get("type") == "grammar" else None,
    )


def _grammar(form: Obj) -> Obj:
    """The grammar in the flat form: type, syntax, definition."""
    inner = form.get("grammar")
    return {"type": "grammar", **inner} if isinstance(inner, dict) else form


def _function(function: Obj, path: str) -> Tool:
    return Tool(
        need_text(function, "name", path),
        text(function, "description", path),
        mapping(function, "parameters", path),
        flag(function, "strict", path),
    )


def _tool_choice(obj: Obj) -> ToolChoice | None:
    value, path = obj.get("tool_choice"), "tool_choice"
    if value is None:
        value, path = obj.get("function_call"), "function_call"
        if isinstance(value, dict):
            return ToolChoice("one", (need_text(value, "name", path),))
    if value is None:
        return None
    if isinstance(value, dict):
        return _chosen(value, path)
    return ToolChoice(_mode(value, path))


def _mode(value: Any, path: str) -> Any:
    modes = {"none": "none", "auto": "auto", "required": "any", "any": "any"}
    if not isinstance(value, str) or value not in modes:
        wrong(path, "none, auto, required or an object")
    return modes[value]


def _chosen(choice: Obj, path: str) -> ToolChoice:
    kind = text(choice, "type", path)
    if kind in ("function", "custom"):
        return ToolChoice("one", (_name(choice, kind, path),))
    if kind != "allowed_tools":
        wrong(f"{path}.type", "function, custom or allowed_tools")
    inner = mapping(choice, kind, path) or choice
    listed = [as_object(tool, f"{path}.tools[{n}]") for n, tool in enumerate(items(inner, "tools", path))]
    names = tuple(
        _name(tool, text(tool, "type", path) or "function", f"{path}.tools[{n}]")
        for n, tool in enumerate(listed)
    )
    return ToolChoice(_mode(inner.get("mode", "auto"), f"{path}.mode"), names)


def _name(tool: Obj, kind: str, path: str) -> str:
    inner = mapping(tool, kind, path)
    return need_text(tool, "name", path) if inner is None else need_text(inner, "name", f"{path}.{kind}")
