"""The strings of a JSON text: what they say, in order, and where each of them stands.

Rule: nothing here rewrites JSON. A text is parsed to see what it means; the n-th string of the parsed text is the n-th
string of its bytes, so a change becomes a span of bytes and all else stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import msgspec

# A parsed text: str, list, tuple of (key, value) pairs for an object (keys may repeat), anything else for the rest.
Node = object
Pairs = tuple[tuple[str, Node], ...]
Span = tuple[int, int]

_QUOTE = re.compile(rb'"')
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|.)", re.DOTALL)
# Numbers say nothing here, and reading a very long one would cost more than its length.
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=bool, parse_float=bool, parse_constant=bool)
_EVENTS = json.JSONDecoder(object_pairs_hook=tuple)


def parse(text: bytes) -> Node:
    """What a request or an answer says, without its numbers. Raises ValueError; RecursionError if it nests too deep."""
    return _DECODER.decode(text.decode())


def parse_event(text: bytes) -> Node:
    """The same with its numbers, by which the events of a stream are told apart."""
    return _EVENTS.decode(text.decode())


def member(node: Node, key: str) -> Node:
    """The value of a key, the last one if it repeats; None where there is none, or no object."""
    found: Node = None
    if isinstance(node, tuple):
        for name, value in node:
            if name == key:
                found = value
    return found


def inner_spans(text: bytes) -> list[int]:
    """Where the quotes stand: string n lies between the offsets 2n and 2n + 1 of this list. `text` is valid JSON."""
    if b"\\" in text:
        # Fillers as long as what they replace, so that offsets stay.
        text = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    return [match.start() for match in _QUOTE.finditer(text)]


def raw_offsets(raw: bytes, offsets: Iterable[int]) -> list[int]:
    """Offsets in the UTF-8 of what a string says, as offsets in its raw spelling (`raw`, without quotes).

    `offsets` ascend and none lies inside a character. Linear in the length of `raw`.
    """
    if b"\\" not in raw:
        return list(offsets)
    found, shift = [], 0
    escapes = _ESCAPE.finditer(raw)
    escape = next(escapes, None)
    for offset in offsets:
        while escape is not None:
            grown = shift + len(escape[0]) - _width(escape[0])
            if escape.end() - grown > offset:
                break
            shift, escape = grown, next(escapes, None)
        found.append(offset + shift)
    return found


def _width(escape: bytes) -> int:
    """How many bytes the escaped character has in UTF-8."""
    if len(escape) != 6:
        return 1 if len(escape) == 2 else 4
    code = int(escape[2:], 16)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3


def quoted(value: bytes, levels: int) -> bytes:
    """UTF-8 text as it stands inside a JSON string, without the quotes; `levels` 2: inside JSON inside a string."""
    for _ in range(levels):
        value = msgspec.json.encode(value.decode())[1:-1]
    return value
