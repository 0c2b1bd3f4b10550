"""Where the names of a client's own tools stand in requests, answers and events, for each kind of request.

Rule: a name is changed only where the protocol says that it names a tool which the client runs. Tools that the provider
runs have fixed names; the same letters in a text or in a tool's input are content. Sources: the types of the official
SDKs (anthropic: ToolUnion, ToolUseBlock, ToolReferenceBlock, BetaToolAdditionBlock; openai: ChatCompletionToolUnion,
ResponseFunctionToolCall, ResponseCustomToolCall, ToolChoiceAllowed).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from backends.wire.kinds import Kind
from backends.wire.spans import Member
from backends.wire.splice import json_string
from backends.wire.templates.layout import entries_of, members_of, text_at

# Letters, digits, `_`, `-`, `.` and `:`, spelled as escapes.
_ESCAPED = re.compile(rb"\\u00(?:2[dDeE]|3[0-9aA]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])")


class Leaf:
    """The string here is a tool's name."""


@dataclass(frozen=True, slots=True)
class Each:
    """The same for every entry of a list."""

    of: Node


@dataclass(frozen=True, slots=True)
class Shape:
    """An object: what its members are, if `key` has one of the values `among` (None: absent) and `without` has none."""

    fields: Mapping[str, Node]
    key: str = ""
    among: frozenset[str | None] = frozenset()
    without: str = ""


# Of several shapes each that fits counts.
Node = Leaf | Each | tuple[Shape, ...]


class Site(NamedTuple):
    """A name to be changed: where it stands with its quotes, what it becomes as a JSON string, its path."""

    start: int
    end: int
    spelled: bytes
    path: str


def sites(body: bytes, node: Node, wanted: Mapping[str, str]) -> list[Site]:
    """The places where one of the `wanted` names stands, in order. Raises ValueError or RecursionError for no JSON."""
    marks = _marks(body, wanted) if wanted else []
    if marks is not None and not marks:
        return []
    walk = _Walk(body, wanted, marks)
    walk.go(node, 0, len(body), "$")
    return walk.found


def request_node(kind: Kind) -> Node:
    """Where names stand in a request."""
    return _REQUESTS[kind]


def answer_node(kind: Kind) -> Node:
    """Where names stand in a whole answer and in the data of an event."""
    return _ANSWERS[kind]


def may_hold(data: bytes, names: Mapping[str, str]) -> bool:
    """Whether one of the names may stand in these bytes: quick, and never wrong when it says no."""
    return _spelled(tuple(names)).search(data) is not None or _may_hide(data)


def _marks(body: bytes, wanted: Mapping[str, str]) -> list[int] | None:
    """Where something is spelled like one of the names; None if escapes may hide some."""
    if _may_hide(body):
        return None
    return [match.start() for match in _spelled(tuple(wanted)).finditer(body)]


def _may_hide(data: bytes) -> bool:
    return b"\\" in data and _ESCAPED.search(data) is not None


@lru_cache(256)
def _spelled(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """Any of the names with its quotes."""
    return re.compile(b'"(?:' + b"|".join([re.escape(name.encode()) for name in names]) + b')(?=")')


class _Walk:
    __slots__ = ("_body", "_marks", "_wanted", "found")

    def __init__(self, body: bytes, wanted: Mapping[str, str], marks: list[int] | None) -> None:
        self.found: list[Site] = []
        self._body, self._wanted, self._marks = body, wanted, marks

    def go(self, node: Node, start: int, end: int, path: str) -> None:
        """Look at one value in which a name may stand."""
        if isinstance(node, Leaf):
            self._take(start, end, path)
        elif isinstance(node, Each):
            for index, (first, last) in enumerate(entries_of(self._body, start, end)):
                if self._is_marked(first, last):
                    self.go(node.of, first, last, f"{path}[{index}]")
        else:
            self._object(node, members_of(self._body, start, end), path)

    def _object(self, shapes: Sequence[Shape], members: list[Member], path: str) -> None:
        for member in members:
            for shape in shapes:
                node = shape.fields.get(member.name)
                if node is not None and self._is_marked(member.at, member.end) and self._fits(shape, members):
                    self.go(node, member.at, member.end, f"{path}.{member.name}")

    def _fits(self, shape: Shape, members: list[Member]) -> bool:
        if shape.without and self._text(members, shape.without) is not None:
            return False
        return not shape.key or self._text(members, shape.key) in shape.among

    def _text(self, members: list[Member], name: str) -> str | None:
        """The string that a member is, the last one of the name."""
        found = None
        for member in members:
            if member.name == name:
                found = member
        return text_at(self._body, found.at, found.end) if found else None

    def _is_marked(self, start: int, end: int) -> bool:
        if self._marks is None:
            return True
        at = bisect_left(self._marks, start)
        return at < len(self._marks) and self._marks[at] < end

    def _take(self, start: int, end: int, path: str) -> None:
        name = text_at(self._body, start, end)
        if name is not None and name in self._wanted:
            self.found.append(Site(start, end, json_string(self._wanted[name]), path))


_NAME = Leaf()
_NAMED: Mapping[str, Node] = {"name": _NAME}


def _typed(fields: Mapping[str, Node], *types: str | None, without: str = "") -> Shape:
    return Shape(fields, "type", frozenset(types), without)


# --- Anthropic ---------------------------------------------------------------------------------------------------

_CLAUDE_TOOL = _typed(_NAMED, None, "custom")
_REFERENCES = Each((_typed({"tool_name": _NAME}, "tool_reference"),))
_CHANGED = (
    _typed(_NAMED, "tool_reference"),
    _typed({"definition": (_CLAUDE_TOOL,)}, "tool_definition"),
)
_CHANGE = _typed({"tool": _CHANGED}, "tool_addition", "tool_removal")
_BLOCK = (
    _typed(_NAMED, "tool_use"),
    _typed({"content": _REFERENCES}, "tool_result"),
    _typed({"content": (Shape({"tool_references": _REFERENCES}),)}, "tool_search_tool_result"),
    _CHANGE,
    _typed({"tool_changes": Each((_CHANGE,))}, "compaction"),
)
_BLOCKS: Mapping[str, Node] = {"content": Each(_BLOCK)}
_EDIT = (Shape({"exclude_tools": Each(_NAME), "clear_tool_inputs": Each(_NAME)}),)
_MESSAGES = (
    Shape(
        {
            "tools": Each((_CLAUDE_TOOL,)),
            "tool_choice": (_typed(_NAMED, "tool"),),
            "messages": Each((Shape(_BLOCKS),)),
            "context_management": (Shape({"edits": Each(_EDIT)}),),
        }
    ),
)
_MESSAGES_ANSWER = (Shape({**_BLOCKS, "content_block": _BLOCK, "message": (Shape(_BLOCKS),)}),)

# --- Chat Completions --------------------------------------------------------------------------------------------

_INNER = (Shape(_NAMED),)
_CALL: Mapping[str, Node] = {"function": _INNER, "custom": _INNER}
_CALLS = Shape({"tool_calls": Each((Shape(_CALL),)), "function_call": _INNER})
_ALLOWED = (Shape({"tools": Each((Shape(_CALL),))}),)
_CHAT = (
    Shape(
        {
            "tools": Each((Shape(_CALL),)),
            "functions": Each(_INNER),
            "tool_choice": (Shape({**_CALL, "allowed_tools": _ALLOWED}),),
            "function_call": _INNER,
            "messages": Each((_CALLS, Shape(_NAMED, "role", frozenset({"tool", "function"})))),
        }
    ),
)
_CHAT_ANSWER = (Shape({"choices": Each((Shape({"message": (_CALLS,), "delta": (_CALLS,)}),))}),)

# --- Responses ---------------------------------------------------------------------------------------------------

_FLAT = _typed(_NAMED, "function", "custom")
_ITEM = (
    _typed(_NAMED, "function_call", "custom_tool_call", without="namespace"),
    _typed({"tools": Each((_FLAT,))}, "tool_search_output", "additional_tools"),
)
_SAID: Mapping[str, Node] = {
    "tools": Each((_FLAT,)),
    "tool_choice": (_FLAT, _typed({"tools": Each((_FLAT,))}, "allowed_tools")),
}
_RESPONSES = (Shape({**_SAID, "input": Each(_ITEM)}),)
_WHOLE: Mapping[str, Node] = {**_SAID, "output": Each(_ITEM)}
_RESPONSES_ANSWER = (
    Shape({**_WHOLE, "response": (Shape(_WHOLE),), "item": _ITEM}),
    _typed(_NAMED, "response.function_call_arguments.done"),
)

_REQUESTS: dict[Kind, Node] = {
    Kind.MESSAGES: _MESSAGES,
    Kind.COUNT_TOKENS: _MESSAGES,
    Kind.CHAT: _CHAT,
    Kind.RESPONSES: _RESPONSES,
}
_ANSWERS: dict[Kind, Node] = {
    Kind.MESSAGES: _MESSAGES_ANSWER,
    Kind.CHAT: _CHAT_ANSWER,
    Kind.RESPONSES: _RESPONSES_ANSWER,
}
