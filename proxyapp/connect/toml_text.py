"""Edits in TOML that leave every other byte of the text as it is.

What is new goes to the top (keys of no table) or to the end (tables), where TOML always allows it; what is there
already is changed in place. The result is read again by another parser, and an edit that would say something else
than was meant is refused.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from proxyapp.connect.parts import UNKNOWN_FORMAT, UNSAFE_TO_EDIT, ConnectError

Table = dict[str, Any]
_HEAD = re.compile(r"(?:#[^\n]*\n)*(?=\r?\n|\Z)")


def put(text: str, top: Mapping[str, str], table: Sequence[str], values: Mapping[str, object]) -> str:
    """`text` with the keys of `top` set outside of any table, and `values` in the table of this path.

    A value that is a mapping is merged into what is there. Raises ConnectError.
    """
    before = _load(text)
    expected = copy.deepcopy(before)
    expected.update(top)
    _merge(_table_of(expected, table), values)
    if expected == before:
        return text
    new = {key: value for key, value in top.items() if key not in before}
    changed = _change(text, {key: value for key, value in top.items() if key in before})
    write = _append if _look(before, table) is None else _change
    changed = _prepend(write(changed, values, table), new)
    if _says(changed, expected):
        return changed
    raise ConnectError(UNSAFE_TO_EDIT)


def _load(text: str) -> Table:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConnectError(f"it is no valid TOML: {exc}. Nothing was changed.") from exc


def _says(text: str, expected: Table) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False


def _look(found: object, path: Sequence[str]) -> object:
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _table_of(document: Table, path: Sequence[str]) -> Table:
    for depth, key in enumerate(path):
        document = document.setdefault(key, {})
        if not isinstance(document, dict):
            raise ConnectError(f"{'.'.join(path[: depth + 1])} is no table. {UNKNOWN_FORMAT}")
    return document


def _merge(table: Table, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        old = table.get(key)
        table[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value


def _change(text: str, values: Mapping[str, object], path: Sequence[str] = ()) -> str:
    """Values set in a table that is there."""
    if not values:
        return text
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for key in path:
            table = table[key]
        for key, value in values.items():
            if isinstance(value, Mapping) and key in table:
                table[key].update({name: one for name, one in value.items() if table[key].get(name) != one})
            elif table.get(key) != value:
                table[key] = _item(value)
        return tomlkit.dumps(document)
    except (TOMLKitError, KeyError, TypeError, AttributeError):
        return text  # which does not say what it should: the caller refuses


def _item(value: object) -> Any:
    if not isinstance(value, Mapping):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    table.update(value)
    return table


def _append(text: str, values: Mapping[str, object], path: Sequence[str]) -> str:
    lines = [f"[{'.'.join(path)}]", *_lines(values)]
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    return text + gap + "\n".join(lines) + "\n"


def _prepend(text: str, values: Mapping[str, object]) -> str:
    """At the top, behind a heading comment that stands apart."""
    if not values:
        return text
    head = _HEAD.match(text)
    at = head.end() if head else 0
    gap = "" if text[at : at + 1] in ("\n", "\r") or not text else "\n" if text[at:].startswith("[") else ""
    return text[:at] + "\n".join(_lines(values)) + "\n" + gap + text[at:]


def _lines(values: Mapping[str, object]) -> list[str]:
    return [f"{key} = {_item(value).as_string()}" for key, value in values.items()]
