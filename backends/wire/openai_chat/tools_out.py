"""Tools, the choice among them, and calls of them, for a Chat Completions backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from backends.wire.conversation import (
    CannotCarry,
    Conversation,
    HostedTool,
    Lost,
    Tool,
    ToolCall,
)
from backends.wire.openai_chat.fields import Obj
from backends.wire.openai_chat.schema import SUBSETS, is_strict, parameters
from backends.wire.target import CUSTOM_SCHEMA, Names, Target, safe_call_id, wrap_custom

# Google documents this value for calls whose signature is not at hand.
_NO_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}


def put_tools(body: Obj, talk: Conversation, target: Target, names: Names, lost: Lost) -> None:
    """Fill in `tools`, `tool_choice` and `parallel_tool_calls`. Raises CannotCarry for a hosted tool."""
    kept = _own_tools(talk, target, lost)
    for _, tool in kept:
        names.upstream(tool.name, tool.namespace, limit=target.name_limit, is_custom=tool.is_custom)
    choice = talk.tool_choice
    is_filter = choice is not None and bool(choice.names) and choice.mode in ("auto", "any")
    if is_filter and choice is not None and not target.quirks.allowed_tools:
        kept = [(index, tool) for index, tool in kept if tool.name in choice.names] or kept
    written = [_write_tool(tool, f"$.tools[{index}]", target, names, lost) for index, tool in kept]
    if not written:
        written = list(_from_history(talk, target, names))
        if written:
            body.update(tools=written, tool_choice="none")
        return
    body["tools"] = written
    if choice is not None:
        body["tool_choice"] = _write_choice(talk, target, names)
    if talk.parallel_tools is not None:
        _put_parallel(body, talk.parallel_tools, target, lost)


def _put_parallel(body: Obj, is_parallel: bool, target: Target, lost: Lost) -> None:
    if target.takes_parallel:
        body["parallel_tool_calls"] = is_parallel
    elif not is_parallel:
        lost.add("$.parallel_tool_calls")


def _own_tools(talk: Conversation, target: Target, lost: Lost) -> list[tuple[int, Tool]]:
    """The tools that the client runs. Codex names a web search in each request; only that one may go missing."""
    kept: list[tuple[int, Tool]] = []
    for index, tool in enumerate(talk.tools):
        if isinstance(tool, Tool):
            kept.append((index, tool))
        elif _is_default_search(tool):
            lost.add(f"$.tools[{index}]")
        else:
            raise CannotCarry(
                f"tools[{index}]",
                f"The tool `{tool.name}` is run by its provider, and the backend of this route does not offer it. "
                "Remove the tool, or use a model of a backend that has it.",
            )
    return kept


def _is_default_search(tool: HostedTool) -> bool:
    kind = tool.raw.get("type")
    return tool.origin == "responses" and isinstance(kind, str) and kind.startswith("web_search")


def _write_tool(tool: Tool, path: str, target: Target, names: Names, lost: Lost) -> Obj:
    name = names.upstream(tool.name, tool.namespace, limit=target.name_limit, is_custom=tool.is_custom)
    described = {"description": tool.description} if tool.description else {}
    if tool.is_custom:
        return _write_custom(tool, name, described, path, target, lost)
    quirks = target.quirks
    subset = target.preset if target.preset in SUBSETS else ""
    schema = parameters(tool.schema, subset=subset, keep_schema_uri=not quirks.picky_schema)
    function: Obj = {"name": name, **described, "parameters": schema}
    if tool.strict is not None:
        fits = not tool.strict or not quirks.strict_schemas or is_strict(schema)
        if quirks.strict and fits:
            function["strict"] = tool.strict
        else:
            lost.add(f"{path}.strict")
    return {"type": "function", "function": function}


def _write_custom(tool: Tool, name: str, described: Obj, path: str, target: Target, lost: Lost) -> Obj:
    """Natively, or as a function with one string; its grammar is then told in words."""
    grammar = dict(tool.grammar) if tool.grammar else None
    if target.quirks.custom_tools:
        custom: Obj = {"name": name, **described}
        if grammar:
            form = {key: grammar[key] for key in ("definition", "syntax") if key in grammar}
            custom["format"] = {"type": "grammar", "grammar": form}
        return {"type": "custom", "custom": custom}
    if grammar:
        lost.add(f"{path}.format")
        rule = (
            f"`input` must match this {grammar.get('syntax', '')} grammar:\n{grammar.get('definition', '')}"
        )
        described = {"description": "\n\n".join([*described.values(), rule])}
    return {"type": "function", "function": {"name": name, **described, "parameters": CUSTOM_SCHEMA}}


def _from_history(talk: Conversation, target: Target, names: Names) -> Iterable[Obj]:
    """Definitions for the calls of a history without `tools`: some servers refuse such a history."""
    seen: set[str] = set()
    for turn in talk.turns:
        for block in turn.blocks:
            if isinstance(block, ToolCall):
                name = call_name(block, target, names)
                if name not in seen:
                    seen.add(name)
                    yield {"type": "function", "function": {"name": name, "parameters": parameters(None)}}


def _write_choice(talk: Conversation, target: Target, names: Names) -> Any:
    choice = talk.tool_choice
    assert choice is not None  # the caller asked
    if choice.mode == "one" and choice.names:
        return _named(choice.names[0], talk, target, names)
    if choice.mode == "none":
        return "none"
    mode = "auto" if choice.mode == "auto" else "required"
    if choice.names and target.quirks.allowed_tools:
        tools = [_named(name, talk, target, names) for name in choice.names]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    return mode


def _named(name: str, talk: Conversation, target: Target, names: Names) -> Obj:
    """A reference to one tool by the client's name."""
    tool = next((tool for tool in talk.tools if isinstance(tool, Tool) and tool.name == name), None)
    space, is_custom = (tool.namespace, tool.is_custom) if tool else (None, False)
    sent = names.upstream(name, space, limit=target.name_limit, is_custom=is_custom)
    kind = "custom" if is_custom and target.quirks.custom_tools else "function"
    return {"type": kind, kind: {"name": sent}}


def call_name(call: ToolCall, target: Target, names: Names) -> str:
    """The upstream's name for the tool of a call."""
    return names.upstream(call.name, call.namespace, limit=target.name_limit, is_custom=call.is_custom)


def write_call(call: ToolCall, target: Target, names: Names) -> Obj:
    """A call of an earlier turn. The arguments are the model's own text."""
    call_id, name = safe_call_id(call.id, target.quirks.call_ids), call_name(call, target, names)
    if call.is_custom and target.quirks.custom_tools:
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": call.arguments}}
    arguments = wrap_custom(call.arguments) if call.is_custom else _arguments(call.arguments)
    made: Obj = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    if target.quirks.thought_signatures:
        extra = (call.extra or {}).get("extra_content")
        if extra:
            made["extra_content"] = extra
        elif "gemini-2" not in target.model:
            made["extra_content"] = _NO_SIGNATURE
    return made


def _arguments(text: str) -> str:
    """As they are; servers that parse them refuse what is no JSON, and would refuse it on each later turn."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return wrap_custom(text) if text.strip() else "{}"
    return text
