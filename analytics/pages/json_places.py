"""Where in a JSON text a value stands, so that a difference between two bodies can be shown byte by byte. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from json.decoder import JSONDecoder

Step = str | int
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DECODER = JSONDecoder()


def path_text(path: Sequence[Step]) -> str:
    """`messages[3].content[0].text`; names that need it are quoted: `["x-y"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            escaped = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{escaped}"]'
    return text


def place_of(text: str, path: Sequence[Step]) -> tuple[int, int] | None:
    """(start, end) of the value at `path` in a JSON text, in characters; None when it is not there.

    Of a name that an object has twice the last counts, as for every reader. Raises ValueError where it meets what is
    no JSON.
    """
    start = _skip(text, 0)
    for step in path:
        found = _entry(text, start, step) if isinstance(step, int) else _member(text, start, step)
        if found is None:
            return None
        start = found
    return start, _end(text, start)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it matches nothing as well
    return match.end()


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _member(text: str, at: int, name: str) -> int | None:
    """Where the value of this name begins in the object at `at`."""
    if text[at : at + 1] != "{":
        return None
    found, at = None, _skip(text, at + 1)
    while text[at : at + 1] == '"':
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # past the colon
        if key == name:
            found = at
        at = _skip(text, _end(text, at))
        if text[at : at + 1] != ",":
            break
        at = _skip(text, at + 1)
    return found


def _entry(text: str, at: int, index: int) -> int | None:
    """Where this entry of the list at `at` begins."""
    if text[at : at + 1] != "[":
        return None
    at = _skip(text, at + 1)
    while text[at : at + 1] not in ("]", ""):
        if index == 0:
            return at
        at = _skip(text, _end(text, at))
        if text[at : at + 1] != ",":
            return None
        at, index = _skip(text, at + 1), index - 1
    return None
