"""Globs of `*` (any text) and `?` (one character); everything else is literal, brackets too. Pure, in linear time.

A regular expression with several `.*` in it may take the time of a polynomial; here each literal part is looked for
once, from where the one before it ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

WILDCARDS = re.compile(r"[*?]")
MOST_ANSWERS = 4096


def glob_matches(glob: str, name: str) -> bool:
    """Whether `name` (lower case) matches; the glob may be in any case."""
    return _remembered(glob).matches(name)


def is_exact(glob: str) -> bool:
    """Whether it can match one name only."""
    return WILDCARDS.search(glob) is None


def literal_prefix(glob: str) -> str:
    """What every name begins with that matches."""
    return WILDCARDS.split(glob, maxsplit=1)[0]


class GlobIndex:
    """Many globs, in order, and the first that matches a name.

    They are found by what they begin with, so that a name meets only those that it may match. Globs that begin with
    a wildcard stand by themselves and are met by every name; that is why the answers are kept for a while.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self._by_prefix: dict[str, list[tuple[int, Glob]]] = {}
        for number, glob in enumerate(globs):
            self._by_prefix.setdefault(literal_prefix(glob), []).append((number, take_apart(glob)))
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})
        self._answers: dict[str, int | None] = {}

    def first(self, name: str) -> int | None:
        """The place in the order of the first glob that matches (lower case), or None."""
        if name in self._answers:
            return self._answers[name]
        if len(self._answers) >= MOST_ANSWERS:
            self._answers.clear()
        found = self._answers[name] = self._search(name)
        return found

    def _search(self, name: str) -> int | None:
        best: int | None = None
        for length in self._lengths:
            if length > len(name):
                break
            for number, glob in self._by_prefix.get(name[:length], ()):
                if best is not None and number >= best:
                    break
                if glob.matches(name):
                    best = number
                    break
        return best


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob in lower case, taken apart at its stars. `tail` is None where there is no star."""

    head: str
    middle: tuple[str, ...]
    tail: str | None
    has_marks: bool  # whether a `?` is in its head or its tail

    def matches(self, name: str) -> bool:
        """Whether the whole name fits."""
        if self.tail is None:
            return len(name) == len(self.head) and _fits(self.head, name, 0)
        if not self.has_marks and not (name.endswith(self.tail) and name.startswith(self.head)):
            return False
        at, end = len(self.head), len(name) - len(self.tail)
        if end < at or not _fits(self.head, name, 0) or not _fits(self.tail, name, end):
            return False
        for part in self.middle:
            at = _find(part, name, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


def take_apart(glob: str) -> Glob:
    """The glob, ready to match."""
    parts = glob.lower().split("*")
    if len(parts) == 1:
        return Glob(parts[0], (), None, "?" in parts[0])
    has_marks = "?" in parts[0] or "?" in parts[-1]
    return Glob(parts[0], tuple(part for part in parts[1:-1] if part), parts[-1], has_marks)


_remembered = lru_cache(maxsize=16_384)(take_apart)


def _fits(part: str, name: str, at: int) -> bool:
    """Whether a part without stars stands at this place."""
    if "?" not in part:
        return name.startswith(part, at)
    return len(name) - at >= len(part) and _of(part).match(name, at) is not None


def _find(part: str, name: str, at: int, end: int) -> int:
    """The first place of a part without stars between `at` and `end`; -1 for none."""
    if "?" not in part:
        return name.find(part, at, end)
    found = _of(part).search(name, at, end)
    return found.start() if found else -1


@lru_cache(maxsize=4096)
def _of(part: str) -> re.Pattern[str]:
    return re.compile("".join("." if char == "?" else re.escape(char) for char in part), re.DOTALL)
