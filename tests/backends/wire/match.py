"""Compares JSON with what a case file expects of it: a subset, with a few operators for what cannot be literal.

An expected object needs only the keys it names; a list needs exactly as many elements. Operators are objects with
one key: `$json` (a string that holds this JSON), `$matches` (a regular expression somewhere in a string),
`$exactly` (no more keys than these), `$any` (one of several). `$absent` beside other keys: keys that must not be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any


def differences(expected: Any, actual: Any, path: str = "$") -> list[str]:
    """What is not as expected, one line each; nothing if all is."""
    if isinstance(expected, dict):
        operator = next(iter(expected), "")
        if len(expected) == 1 and operator in _OPERATORS:
            return _OPERATORS[operator](expected[operator], actual, path)
        return _objects(expected, actual, path)
    if isinstance(expected, list):
        return _lists(expected, actual, path)
    is_same = type(expected) is type(actual) or (
        isinstance(expected, int | float)
        and isinstance(actual, int | float)
        and not isinstance(expected, bool)
        and not isinstance(actual, bool)
    )
    return [] if is_same and expected == actual else [f"{path}: expected {expected!r}, found {actual!r}"]


def _objects(expected: dict[str, Any], actual: Any, path: str) -> list[str]:
    if not isinstance(actual, dict):
        return [f"{path}: expected an object, found {actual!r}"]
    found = [f"{path}.{key}: must be absent" for key in expected.get("$absent", ()) if key in actual]
    for key, value in expected.items():
        if key == "$absent":
            continue
        if key not in actual:
            found.append(f"{path}.{key}: missing, expected {value!r}")
        else:
            found += differences(value, actual[key], f"{path}.{key}")
    return found


def _lists(expected: list[Any], actual: Any, path: str) -> list[str]:
    if not isinstance(actual, list):
        return [f"{path}: expected a list, found {actual!r}"]
    if len(expected) != len(actual):
        return [f"{path}: expected {len(expected)} elements, found {len(actual)}: {actual!r}"]
    pairs = enumerate(zip(expected, actual, strict=True))
    return [line for at, (want, have) in pairs for line in differences(want, have, f"{path}[{at}]")]


def _json(expected: Any, actual: Any, path: str) -> list[str]:
    if not isinstance(actual, str):
        return [f"{path}: expected a string of JSON, found {actual!r}"]
    try:
        value = json.loads(actual)
    except ValueError:
        return [f"{path}: not JSON: {actual!r}"]
    return [] if value == expected else [f"{path}: expected JSON {expected!r}, found {value!r}"]


def _matches(pattern: str, actual: Any, path: str) -> list[str]:
    is_match = isinstance(actual, str) and re.search(pattern, actual, re.DOTALL) is not None
    return [] if is_match else [f"{path}: expected a string with /{pattern}/, found {actual!r}"]


def _exactly(expected: Any, actual: Any, path: str) -> list[str]:
    return [] if expected == actual else [f"{path}: expected exactly {expected!r}, found {actual!r}"]


def _any(choices: list[Any], actual: Any, path: str) -> list[str]:
    tried = [differences(choice, actual, path) for choice in choices]
    return [] if any(not lines for lines in tried) else [f"{path}: none of {choices!r}, found {actual!r}"]


_OPERATORS: dict[str, Callable[[Any, Any, str], list[str]]] = {
    "$json": _json,
    "$matches": _matches,
    "$exactly": _exactly,
    "$any": _any,
}
