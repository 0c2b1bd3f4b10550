"""A client's tools and its choice among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backends.wire.conversation import CannotCarry, HostedTool, Json, Tool, ToolChoice
from backends.wire.openai_responses.fields import (
    as_object,
    need_name,
    opt_flag,
    opt_list,
    opt_object,
    opt_text,
    wrong,
)


def flat(tool: Any) -> Any:
    """A tool or choice in the flat form of this protocol; some clients nest it as in chat completions."""
    if not isinstance(tool, dict):
        return tool
    kind = tool.get("type")
    inner = tool.get(kind) if kind in ("function", "custom", "allowed_tools") else None
    if not isinstance(inner, dict):
        return tool
    form = inner.get("format")
    grammar = form.get("grammar") if isinstance(form, dict) else None
    if isinstance(grammar, dict):
        inner = {**inner, "format": {**grammar, "type": "grammar"}}
    return {**inner, "type": kind}


def read_tools(tools: Iterable[tuple[Any, str]]) -> list[Tool | HostedTool]:
    """All tools with their paths; a namespace's tools stand one by one."""
    found: list[Tool | HostedTool] = []
    for value, path in tools:
        tool = flat(as_object(value, path))
        kind = opt_text(tool, "type", path)
        if kind == "namespace":
            found.extend(_namespace(tool, path))
        elif kind in ("function", "custom") or (kind is None and "name" in tool):
            found.append(_tool(tool, path))
        elif kind is None:
            raise wrong(f"{path}.type", "a string")
        else:
            found.append(HostedTool("responses", _name_of(tool, kind), tool))
    return found


def _namespace(group: Json, path: str) -> Iterable[Tool]:
    name = need_name(group, "name", path)
    described = opt_text(group, "description", path)
    for index, value in enumerate(opt_list(group, "tools", path)):
        where = f"{path}.tools[{index}]"
        tool = _tool(flat(as_object(value, where)), where)
        tool.namespace, tool.description = name, tool.description or described
        yield tool


def _tool(tool: Json, path: str) -> Tool:
    name, description = need_name(tool, "name", path), opt_text(tool, "description", path)
    if tool.get("type") == "custom":
        form = opt_object(tool, "format", path)
        return Tool(
            name, description, is_custom=True, grammar=form if form.get("type") == "grammar" else None
        )
    schema = opt_object(tool, "parameters", path)
    return Tool(name, description, schema or None, opt_flag(tool, "strict", path))


def _name_of(tool: Json, kind: str) -> str:
    name = tool.get("name") or tool.get("server_label")
    return name if isinstance(name, str) else kind


def read_choice(value: Any) -> ToolChoice | None:
    """`tool_choice`. Raises CannotCarry where it forces a tool that the provider runs."""
    path = "tool_choice"
    if value is None:
        return None
    if isinstance(value, str):
        return _by_mode(value, (), path)
    choice = flat(as_object(value, path))
    kind = opt_text(choice, "type", path)
    if kind in ("function", "custom"):
        return ToolChoice("one", (need_name(choice, "name", path),))
    if kind == "allowed_tools":
        tools = (flat(as_object(tool, f"{path}.tools")) for tool in opt_list(choice, "tools", path))
        names = tuple(need_name(tool, "name", f"{path}.tools") for tool in tools if "name" in tool)
        return _by_mode(choice.get("mode", "auto"), names, f"{path}.mode")
    raise CannotCarry(
        path,
        f"The field `tool_choice` asks for the hosted tool `{kind}`, which this backend cannot run. "
        "Choose a function, `auto`, or a backend that speaks the Responses API.",
    )


def _by_mode(mode: Any, names: tuple[str, ...], path: str) -> ToolChoice:
    if mode == "none":
        return ToolChoice("none", names)
    if mode == "auto":
        return ToolChoice("auto", names)
    if mode == "required":
        return ToolChoice("any", names)
    raise wrong(path, "none, auto, required or an object")
