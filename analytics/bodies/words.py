"""The text of a body, as people would search for it: what stands in its JSON strings. Pure.

Names of fields are no text, and neither are images and other long runs without a space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

MAX_CHARS = 200_000
_LONGEST_RUN = 400
_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?', re.DOTALL)
_DELTA = re.compile(
    r'"(?:text|thinking|partial_json|content|reasoning_content|arguments|delta|refusal)"\s*:\s*'
    r'"([^"\\]*(?:\\.[^"\\]*)*)"'
)
_NAMED = re.compile(r'"(?:name|message|refusal)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_RUNS = re.compile(rf"\S{{{_LONGEST_RUN},}}")


def words_of(pieces: Iterable[bytes], *, is_stream: bool = False) -> str:
    """Their text, at most MAX_CHARS characters of it."""
    found: list[str] = []
    left = MAX_CHARS
    for piece in pieces:
        text = _RUNS.sub(" ", _stream_text(piece) if is_stream else _json_text(piece)).replace("\x00", " ")
        if text := text[:left]:
            found.append(text)
            left -= len(text) + 1
        if left <= 0:
            break
    return "\n".join(found)


def _json_text(piece: bytes) -> str:
    text = piece.decode("utf-8", "replace")
    if '"' not in text:
        return text
    return "\n".join(_plain(spelled) for spelled, colon in _STRING.findall(text) if spelled and not colon)


def _stream_text(piece: bytes) -> str:
    """The parts of a streamed answer put together again: a word may be spread over several events."""
    return "".join(_parts(piece.decode("utf-8", "replace").split("\n")))


def _parts(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("data:"):
            continue
        if "delta" in line:
            yield from map(_plain, _DELTA.findall(line))
        else:
            yield from (f"\n{_plain(name)}\n" for name in _NAMED.findall(line))


def _plain(spelled: str) -> str:
    """A JSON string's text, as well as it can be told."""
    if "\\" not in spelled:
        return spelled
    try:
        text: str = json.loads(f'"{spelled}"', strict=False)
    except ValueError:  # cut in the middle of an escape
        return spelled
    return text.encode("utf-8", "replace").decode()
