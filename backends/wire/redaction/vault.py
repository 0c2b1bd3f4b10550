"""Placeholders, and the values that they stand for while one request lasts.

A placeholder is `PB_EMAIL_k3v7q2m5xa`: a mark, the type, ten characters of a keyed hash of the value. It is an ASCII
identifier on purpose. Models copy identifiers letter by letter, into prose, code, shell commands, file names and JSON;
no JSON encoder, shell or Markdown escapes it; its length is fixed by its type, so nothing has to mark its end. Brackets
such as those of ⟦EMAIL_1⟧ are none of that: JSON encoders may spell them as escapes, and tokenisers cut them to bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from hashlib import blake2b
from itertools import product

MARK = b"PB_"
LABEL = re.compile(r"[A-Z][A-Z0-9]{1,15}")
SHAPE = re.compile(rb"PB_[A-Z][A-Z0-9]{1,15}_[a-z2-7]{10}")
_DIGEST_BYTES = 7  # ten characters of base 32 hold 50 bits of them
_PAIRS = [a + b for a, b in product([b"%c" % char for char in b"abcdefghijklmnopqrstuvwxyz234567"], repeat=2)]

Coder = Callable[[bytes], bytes]


def keyed_coder(key: bytes) -> Coder:
    """Text to ten characters a-z and 2-7: 50 bits of BLAKE2b under a key of any length, in base 32 (RFC 4648)."""
    begun = blake2b(key=blake2b(key, digest_size=32).digest(), digest_size=_DIGEST_BYTES)

    def code(text: bytes) -> bytes:
        hashed = begun.copy()
        hashed.update(text)
        bits = int.from_bytes(hashed.digest(), "big") >> 6
        return b"".join([_PAIRS[bits >> shift & 1023] for shift in (40, 30, 20, 10, 0)])

    return code


class Vault:
    """Placeholder → value, in memory, for one request and its answer. Nothing of it is ever written anywhere.

    `key`: this installation's secret, any length; without it nobody can test guesses against a placeholder. The same
    key and value make the same placeholder, in every turn and request, so that prompt caches keep what they have.
    `coder` makes of the key what makes the ten characters. `answers_json`: the request wants its answer's text to be
    JSON, so values are escaped for that in it.
    """

    __slots__ = ("_code", "_known", "_of_value", "_values", "answers_json")

    def __init__(self, key: bytes, coder: Callable[[bytes], Coder] = keyed_coder) -> None:
        self._code = coder(key)
        self._values: dict[bytes, bytes] = {}
        self._of_value: dict[tuple[str, bytes], bytes] = {}
        self._known: list[bytes] | None = None
        self.answers_json = False

    @property
    def is_empty(self) -> bool:
        """Nothing was replaced, so there is nothing to restore."""
        return not self._values

    def __repr__(self) -> str:
        return f"<Vault of {len(self._values)} values>"

    def placeholder(self, label: str, value: bytes) -> bytes:
        """What stands for the value (UTF-8). Two values never share one: the later one gets another hash."""
        found = self._of_value.get((label, value))
        if found is None:
            found = self._fresh(label, value)
            self._of_value[label, value] = found
            self._values[found] = value
            self._known = None
        return found

    def value(self, placeholder: bytes) -> bytes | None:
        """What a placeholder stands for; None if it is none of this request's."""
        return self._values.get(placeholder)

    def conceal(self, text: str) -> str:
        """The text with placeholders for the values again: of an answer that is restored already, for a log."""
        for placeholder, value in sorted(self._values.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(value.decode("utf-8", "surrogatepass"), placeholder.decode())
        return text

    def open_end(self, text: bytes) -> bytes:
        """The end of `text` with which one of the placeholders may begin, but not yet end; b"" if there is none."""
        if self._known is None:
            self._known = sorted(self._values)
        at = text.find(b"P", max(0, len(text) - _LONGEST + 1))
        while at >= 0:
            end = text[at:]
            place = bisect_left(self._known, end)
            if place < len(self._known) and self._known[place].startswith(end) and self._known[place] != end:
                return end
            at = text.find(b"P", at + 1)
        return b""

    def _fresh(self, label: str, value: bytes) -> bytes:
        attempt = 0
        while True:
            code = self._code(b"%s\0%d\0%s" % (label.encode(), attempt, value))
            found = b"%s%s_%s" % (MARK, label.encode(), code)
            if found not in self._values:
                return found
            attempt += 1


_LONGEST = len(MARK) + 16 + 1 + 10
