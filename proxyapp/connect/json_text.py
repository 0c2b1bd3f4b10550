"""Edits in JSON with comments and trailing commas that leave every other byte of the text as it is.

Read as the tools read it: comments of both kinds, commas before a closing bracket, the last of equal keys counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from proxyapp.connect.parts import UNKNOWN_FORMAT, ConnectError

MAX_DEPTH = 200
_SPACE = re.compile(r"(?:[\s\ufeff]|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALAR = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null'
)
_REST_OF_LINE = re.compile(r"[ \t]*(?://[^\n]*|(?:/\*[^\n]*?\*/[ \t]*)*)")
Path = Sequence[str]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands. `children`: of an object the members, of an array the items."""

    start: int
    end: int
    value: object
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class Child:
    """A member of an object, or an item of an array (whose key is ""). `start` is where its key or value begins."""

    start: int
    key: str
    node: Node


def parse(text: str) -> Node:
    """The whole text as a tree; an empty text is an empty object. Raises ConnectError that says where it is wrong."""
    reader = _Reader(text)
    start = reader.skip(0)
    if start == len(text):
        return Node(start, start, {})
    node = reader.value(start, 0)
    if (after := reader.skip(node.end)) != len(text):
        reader.fail(after, "something follows the end")
    return node


def put(text: str, path: Path, value: object) -> str:
    """`text` with the value at `path` set. Missing objects are made. Raises ConnectError.

    Refuses, rather than replaces, where something on the way is not an object.
    """
    return _change(text, path, value, _set)


def append(text: str, path: Path, items: Sequence[object]) -> str:
    """`text` with items added to the array at `path`, which is made if it is missing. Raises ConnectError."""
    if not items:
        return text
    if (found := look(text, path)) is None:
        return put(text, path, list(items))
    if not isinstance(found, list):
        raise ConnectError(f"{'.'.join(path)} is not a list. {UNKNOWN_FORMAT}")
    for item in items:
        text = _change(text, path, item, _add)
    return text


def look(text: str, path: Path) -> object:
    """The value at `path`, None when there is none. Raises ConnectError for a text that cannot be read."""
    found: object = parse(text).value
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _change(text: str, path: Path, value: object, apply: Callable[[str, Node, str, object], str]) -> str:
    if not text.strip("\ufeff \t\r\n"):
        return json.dumps(_nested(path, value), indent=2, ensure_ascii=False) + "\n"
    root = parse(text)
    if root.start == root.end:  # nothing but comments
        return text.rstrip() + "\n" + json.dumps(_nested(path, value), indent=2, ensure_ascii=False) + "\n"
    node = root
    for depth, key in enumerate(path):
        if not isinstance(node.value, dict):
            raise ConnectError(f"{'.'.join(path[:depth]) or 'The whole'} is not an object. {UNKNOWN_FORMAT}")
        found = [child.node for child in node.children if child.key == key]
        if not found:
            return _set(text, node, key, _nested(path[depth + 1 :], value))
        if depth == len(path) - 1:
            return apply(text, node if apply is _set else found[-1], key, value)
        node = found[-1]
    raise AssertionError("a path has at least one key")


def _nested(path: Path, value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _set(text: str, node: Node, key: str, value: object) -> str:
    """A member of the object `node`, replaced or added."""
    style = _Style(text)
    old = [child.node for child in node.children if child.key == key]
    if old:
        if old[-1].value == value and type(old[-1].value) is type(value):
            return text
        written = style.write(value, style.indent_at(old[-1].start))
        return text[: old[-1].start] + written + text[old[-1].end :]
    return _insert(text, node, f"{json.dumps(key, ensure_ascii=False)}: ", value)


def _add(text: str, node: Node, key: str, value: object) -> str:
    """An item at the end of the array `node`."""
    return _insert(text, node, "", value)


def _insert(text: str, node: Node, before: str, value: object) -> str:
    style = _Style(text)
    outer = style.indent_at(node.start)
    if not node.children:
        inside = text[node.start + 1 : node.end - 1].rstrip()
        inner = outer + style.unit
        child = before + style.write(value, inner)
        return (
            text[: node.start + 1]
            + f"{inside}{style.newline}{inner}{child}{style.newline}{outer}"
            + text[node.end - 1 :]
        )
    first, last = node.children[0], node.children[-1]
    if "\n" not in text[node.start : first.start]:
        return (
            text[: last.node.end]
            + f", {before}{json.dumps(value, ensure_ascii=False)}"
            + text[last.node.end :]
        )
    inner = style.indent_at(first.start)
    child = f"{style.newline}{inner}{before}{style.write(value, inner)}"
    comma = _SPACE.match(text, last.node.end)
    assert comma is not None
    if text[comma.end()] == ",":
        at = _end_of_line(text, comma.end() + 1)
        return text[:at] + child + "," + text[at:]
    at = _end_of_line(text, last.node.end)
    return text[: last.node.end] + "," + text[last.node.end : at] + child + text[at:]


def _end_of_line(text: str, at: int) -> int:
    """Behind the comments that belong to what ends at `at`; before the carriage return, if there is one."""
    match = _REST_OF_LINE.match(text, at)
    assert match is not None
    return match.end() - text[at : match.end()].endswith("\r")


class _Style:
    """How the text is laid out, so that additions look alike."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        found = re.search(r"\n([ \t]+)\S", text)
        self.unit = found[1] if found else "  "

    def indent_at(self, index: int) -> str:
        """The white space that the line of `index` begins with."""
        line = self.text[self.text.rfind("\n", 0, index) + 1 : index]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def write(self, value: object, indent: str) -> str:
        """The value as it stands at this indentation."""
        lines = json.dumps(value, indent=self.unit, ensure_ascii=False).split("\n")
        return (self.newline + indent).join(lines)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text

    def skip(self, at: int) -> int:
        """Behind white space and comments."""
        match = _SPACE.match(self.text, at)
        assert match is not None
        return match.end()

    def value(self, at: int, depth: int) -> Node:
        """The value that begins at `at`."""
        opening = self.text[at : at + 1]
        if opening in ("{", "["):
            if depth == MAX_DEPTH:
                self.fail(at, "it is nested too deeply")
            return self._container(at, depth, is_object=opening == "{")
        match = _SCALAR.match(self.text, at)
        if match is None:
            self.fail(at, "a value is expected")
        try:
            return Node(at, match.end(), json.loads(match[0]))
        except ValueError:
            self.fail(at, "the string is not valid")

    def _container(self, start: int, depth: int, *, is_object: bool) -> Node:
        closing = "}" if is_object else "]"
        children: list[Child] = []
        at = self.skip(start + 1)
        while self.text[at : at + 1] != closing:
            child = self._child(at, depth, is_object=is_object)
            children.append(child)
            at = self.skip(child.node.end)
            if self.text[at : at + 1] == ",":
                at = self.skip(at + 1)
            elif self.text[at : at + 1] != closing:
                self.fail(at, f"a comma or {closing} is expected")
        value: object = [child.node.value for child in children]
        if is_object:
            value = {child.key: child.node.value for child in children}
        return Node(start, at + 1, value, tuple(children))

    def _child(self, at: int, depth: int, *, is_object: bool) -> Child:
        if not is_object:
            return Child(at, "", self.value(at, depth + 1))
        key = self.value(at, depth + 1)
        if not isinstance(key.value, str):
            self.fail(at, "a name in double quotes is expected")
        colon = self.skip(key.end)
        if self.text[colon : colon + 1] != ":":
            self.fail(colon, "a colon is expected")
        return Child(at, key.value, self.value(self.skip(colon + 1), depth + 1))

    def fail(self, at: int, why: str) -> NoReturn:
        """Raise, with line and column."""
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        raise ConnectError(f"it is no valid JSON: line {line}, column {column}: {why}. Nothing was changed.")
