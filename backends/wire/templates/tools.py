"""Tools that a template adds, puts in the place of the client's, or renames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from backends.wire.kinds import Kind
from backends.wire.templates.draft import Draft, encoded, list_edits
from backends.wire.templates.layout import entries_of
from backends.wire.templates.names import ToolNames
from backends.wire.templates.sites import Site, request_node, sites
from backends.wire.templates.spec import Json, NewTool, Template


class NameClash(ValueError):
    """Two tools of a request would have the same name. `field`: where the client wrote its tools."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = "tools"


class _Known(NamedTuple):
    """The name of a tool that the client offers. `is_own`: the client runs it, so its name may change."""

    name: str
    is_own: bool


class _Inner(msgspec.Struct, gc=False):
    name: str | None = None


class _Head(msgspec.Struct, gc=False):
    """What tells a tool's name, in any of the protocols."""

    type: str | None = None
    name: str | None = None
    function: _Inner | None = None
    custom: _Inner | None = None


_HEADS = msgspec.json.Decoder(list[_Head])
_OWN_TYPES = {
    Kind.MESSAGES: (None, "custom"),
    Kind.COUNT_TOKENS: (None, "custom"),
    Kind.RESPONSES: ("function", "custom"),
}
_WITHOUT_TOOLS = ("tool_choice", "parallel_tool_calls", "functions", "function_call")
_FREE_CHOICES = ("auto", "any", "none", "required")


def put_tools(draft: Draft, template: Template, kind: Kind) -> ToolNames | None:
    """Apply the template's rules for tools; the names to restore in the answer. Raises NameClash."""
    if not (template.tools or template.replace_tools or template.rename_tools):
        return None
    known = [] if template.replace_tools else _known(draft, kind)
    gone = _replace(draft, template, kind) if template.replace_tools else ()
    names = _rename(draft, template, kind, known, gone) if template.rename_tools else None
    if not template.replace_tools:
        _add(draft, template, kind, known)
    return names


# --- adding and replacing --------------------------------------------------------------------------------------------


def _add(draft: Draft, template: Template, kind: Kind, known: Iterable[_Known]) -> None:
    """Behind the client's own tools. A tool that the client has itself stays the client's."""
    taken = {template.rename_tools.get(tool.name, tool.name) if tool.is_own else tool.name for tool in known}
    new = [encoded(_written(tool, kind)) for tool in template.tools if tool.name not in taken]
    if not new:
        return
    found = draft.all_of("tools")
    if not found:
        draft.top.put("tools", b"[" + b",".join(new) + b"]")
    count = 0
    for member in found:
        count = len(entries_of(draft.body, member.at, member.end))
        for edit in list_edits(draft.body, member.at, member.end, last=new):
            draft.edit(*edit)
    for at in range(len(new)):
        draft.note(f"$.tools[{count + at}]")


def _replace(draft: Draft, template: Template, kind: Kind) -> tuple[str, ...]:
    """The template's tools in place of all others; the names of the fields that are not the client's any more."""
    dropped: list[str] = []
    if template.tools:
        tools = b"[" + b",".join([encoded(_written(tool, kind)) for tool in template.tools]) + b"]"
        if draft.top.put("tools", tools):
            draft.note("$.tools")
        dropped += draft.top.drop("functions", "function_call")
        if not all(_is_free(draft.value(member)) for member in draft.all_of("tool_choice")):
            dropped += draft.top.drop("tool_choice")
    else:
        dropped += draft.top.drop("tools", *_WITHOUT_TOOLS)
    for name in dropped:
        draft.note(f"$.{name}")
    return ("tools", *dropped)


def _is_free(choice: bytes) -> bool:
    """Whether a tool_choice names no tool."""
    value = msgspec.json.decode(choice)
    return isinstance(value, str) or (isinstance(value, dict) and value.get("type") in _FREE_CHOICES)


def _written(tool: NewTool, kind: Kind) -> dict[str, Json]:
    """A tool in the protocol's own words."""
    described = {"description": tool.description} if tool.description else {}
    schema = dict(tool.parameters)
    if kind in (Kind.MESSAGES, Kind.COUNT_TOKENS):
        return {"name": tool.name, **described, "input_schema": schema}
    function = {"name": tool.name, **described, "parameters": schema}
    if kind is Kind.CHAT:
        return {"type": "function", "function": function}
    return {"type": "function", **function, "strict": False}  # silence would mean yes here


# --- renaming --------------------------------------------------------------------------------------------------------


def _rename(
    draft: Draft, template: Template, kind: Kind, known: list[_Known], gone: tuple[str, ...]
) -> ToolNames | None:
    wanted = _wanted(template.rename_tools, known)
    beginnings = tuple(f"$.{name}{mark}" for name in gone for mark in ".[")
    found = [
        site
        for site in sites(draft.body, request_node(kind), wanted)
        if not (beginnings and site.path.startswith(beginnings))
    ]
    for site in found:
        draft.edit(*site[:3])
        draft.note(_told(site))
    used = {site.spelled for site in found}
    client = {new: old for old, new in wanted.items() if encoded(new) in used}
    return ToolNames(kind, client) if client else None


def _wanted(renames: Mapping[str, str], known: list[_Known]) -> dict[str, str]:
    """The renames that concern this request. Raises NameClash where one leads to another tool's name."""
    own = {tool.name for tool in known if tool.is_own}
    staying = {tool.name for tool in known if not tool.is_own or tool.name not in renames}
    wanted = {}
    for old, new in renames.items():
        if new not in staying:
            wanted[old] = new
        elif old in own:
            raise NameClash(
                f"The route's template renames the tool `{old}` to `{new}`, and the request has a tool `{new}` already."
                " Rename or remove one of them, or change the template's rename_tools."
            )
    return wanted


def _told(site: Site) -> str:
    """Where a name was changed: each tool by itself, the turns of a conversation all at once."""
    field, _, rest = site.path.partition("[")
    if field in ("$.tools", "$.functions"):
        return site.path
    parts = (part.partition("]") for part in rest.split("["))
    return field + "".join(f"[]{after}" for _, _, after in parts) if rest else field


def _known(draft: Draft, kind: Kind) -> list[_Known]:
    """The names of the client's tools. What cannot be read is the backend's to judge, and has no name here."""
    found = []
    for member in draft.all_of("tools"):
        try:
            heads = _HEADS.decode(draft.value(member))
        except ValueError:
            continue
        found += [tool for head in heads if (tool := _known_tool(head, kind)) is not None]
    return found


def _known_tool(head: _Head, kind: Kind) -> _Known | None:
    if kind is Kind.CHAT:
        inner = head.function or head.custom
        return _Known(inner.name, True) if inner and inner.name else None
    if not head.name:
        return None
    is_own = head.type in _OWN_TYPES[kind]
    if not is_own and kind is Kind.RESPONSES:
        return None  # a namespace, or a tool that the provider runs
    return _Known(head.name, is_own)
