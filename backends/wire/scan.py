"""Where a top-level key of a JSON object stands, byte-exactly, and how deep the JSON nests.

Rule: the input is known to be well-formed JSON (splice.py has it parsed first), so quotes pair up and no raw
control character stands in a string. No loop here runs once per byte: each step works on a whole piece at C
speed.
"""

from __future__ import annotations

import re
from array import array
from functools import lru_cache
from itertools import accumulate, islice

_PIECE = 64 * 1024  # bounds the memory of one step and fits a CPU cache
_MOST_CANDIDATES = 10_000
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_COLON = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|[^,}\s]+', re.DOTALL)


class TooDeep(ValueError):
    """The JSON nests deeper than allowed."""


class TooMany(ValueError):
    """The key occurs so often, at any depth, that looking at each place would cost too much."""


def top_level_values(body: bytes, key: bytes, max_depth: int) -> list[tuple[int, int]]:
    """The byte spans of the values of `key` in the top-level object, one per occurrence, in order.

    A span is exact when the value is a scalar; for an object or a list it only tells that the key is there.
    Raises TooDeep, and TooMany for a body that repeats the key more than 10,000 times.
    """
    walk = _Walk(body, max_depth)
    spans = []
    for start, end in _candidates(body, key):
        walk.advance(start)
        if walk.depth != 1 or walk.in_string:
            continue
        colon = _COLON.match(body, end)
        value = _VALUE.match(body, colon.end()) if colon else None
        if value:
            spans.append(value.span())
    # With fewer brackets, in strings or not, it cannot be too deep.
    if body.count(b"{") + body.count(b"[") > max_depth:
        walk.advance(len(body))
    return spans


class _Walk:
    """A position in the body that moves forward, and what is known there."""

    __slots__ = ("_at", "_body", "_max_depth", "depth", "in_string")

    def __init__(self, body: bytes, max_depth: int) -> None:
        self._body = body
        self._max_depth = max_depth
        self._at = 0
        self.depth = 0
        self.in_string = False

    def advance(self, to: int) -> None:
        """Move to offset `to`, which must not stand between a backslash and what it escapes."""
        while self._at < to:
            end = min(self._at + _PIECE, to)
            piece = self._body[self._at : end]
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
                # Its last backslash escapes the next byte, which therefore belongs to this piece.
                end += 1
                piece = self._body[self._at : end]
            self._take(piece)
            self._at = end

    def _take(self, piece: bytes) -> None:
        if b"\\" in piece:
            # Fillers as long as what they replace: bytes.replace then works in place, at twice the speed.
            piece = piece.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        parts = piece.split(b'"')
        steps = b"".join(parts[self.in_string :: 2]).translate(_STEPS, _NOT_BRACKETS)
        if len(parts) % 2 == 0:
            self.in_string = not self.in_string
        opened = steps.count(1)
        if self.depth + opened > self._max_depth:
            self._check_depth(steps)
        self.depth += opened - (len(steps) - opened)

    def _check_depth(self, steps: bytes) -> None:
        # Empty pairs gone, the peak is lower by one at most. That settles long lists of small objects
        # cheaply.
        if self.depth + steps.replace(b"\x01\xff", b"").count(1) < self._max_depth:
            return
        # Signed bytes: +1 opens, -1 closes. The running sum is the depth.
        if max(accumulate(array("b", steps), initial=self.depth)) > self._max_depth:
            raise TooDeep


def _candidates(body: bytes, key: bytes) -> list[tuple[int, int]]:
    """Spans of everything that is spelled like the key, quotes included, plain or with escapes."""
    plain = b'"' + key + b'"'
    found: list[tuple[int, int]] = []
    at = body.find(plain)
    while at >= 0:
        found.append((at, at + len(plain)))
        if len(found) > _MOST_CANDIDATES:
            raise TooMany
        at = body.find(plain, at + len(plain))
    if any(escape in body for escape in _escapes(key)):
        found += [match.span() for match in islice(_escaped(key).finditer(body), _MOST_CANDIDATES + 1)]
        if len(found) > _MOST_CANDIDATES:
            raise TooMany
        found.sort()
    # A quote after a backslash belongs to a string's text, so no token begins there.
    return [span for span in found if body[span[0] - 1] != 0x5C]


@lru_cache(maxsize=8)
def _escapes(key: bytes) -> list[bytes]:
    """The beginnings of all escapes that may spell a letter of the key: `\\u006` for all of "model"."""
    return sorted({b"\\u00%x" % (letter >> 4) for letter in key})


def _escaped(key: bytes) -> re.Pattern[bytes]:
    """The key with each letter plain or escaped, at least one of them escaped."""
    letters = b"".join(b"(?:%c|\\\\u(?i:%04x))" % (letter, letter) for letter in key)
    return re.compile(b'"(?!' + key + b'")' + letters + b'"')
