"""Where the members of a JSON object stand, byte by byte, and how to take some of them out.

Rule: the body is known to be well-formed JSON in UTF-8. It is looked at as Latin-1, in which every byte is one
character, so that Python's own scanner tells the offsets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Edit = tuple[int, int, bytes]
Path = tuple[str, ...]
EACH = "[]"
"""In a path: every entry of a list."""
_SPACE = re.compile(r"[ \t\n\r]*")
# Numbers become floats, which no number of digits can break.
_DECODER = json.JSONDecoder(parse_int=float, strict=False)


class Member(NamedTuple):
    """One `"name": value` of an object. `start`: its first quote; `at` to `end`: the value."""

    name: str
    start: int
    at: int
    end: int


@dataclass(frozen=True, slots=True)
class Removals:
    """Edits that take things out of a body, and the paths at which there was something."""

    edits: list[Edit]
    found: set[Path]


def removals(body: bytes, paths: Iterable[Path]) -> Removals:
    """Take out what stands at these paths: `("tools", EACH, "strict")`. All at once, since neighbours share commas."""
    removed = Removals([], set())
    _remove(removed, body.decode("latin-1"), 0, [((), path) for path in paths])
    return removed


def renaming(body: bytes, old: str, new: str) -> list[Edit]:
    """Edits that give a top-level member another name. None if it is not there, or if the other one is as well."""
    members = list(members_at(body.decode("latin-1"), 0))
    if any(member.name == new for member in members):
        return []
    quoted = json.dumps(new).encode()
    return [(member.start, _name_end(body, member), quoted) for member in members if member.name == old]


def value_at(body: bytes, path: Sequence[str]) -> bytes | None:
    """The value under these names, one inside the other, as it is spelled; None where there is none."""
    text, at, end = body.decode("latin-1"), 0, len(body)
    for name in path:
        found = [member for member in members_at(text, at) if member.name == name]
        if not found:
            return None
        at, end = found[-1].at, found[-1].end
    return body[at:end]


def _remove(removed: Removals, text: str, at: int, wanted: list[tuple[Path, Path]]) -> None:
    """Within the value at `at`. `wanted`: of each path what lies behind, and what is still ahead."""
    if inner := [((*behind, EACH), ahead[1:]) for behind, ahead in wanted if ahead[0] == EACH]:
        for start in _entries(text, at):
            _remove(removed, text, start, inner)
    members = list(members_at(text, at))
    gone = {}
    for index, member in enumerate(members):
        named = [((*behind, member.name), ahead[1:]) for behind, ahead in wanted if ahead[0] == member.name]
        if whole := [behind for behind, ahead in named if not ahead]:
            gone[index] = whole[0]
        elif named:
            _remove(removed, text, member.at, named)
    removed.edits.extend(cuts(members, gone))
    removed.found.update(gone.values())


def cuts(members: Sequence[Member], gone: Collection[int]) -> Iterator[Edit]:
    """Edits that take these members of an object out, by number.

    A run of neighbours goes with one comma: the one behind it, at the end the one before.
    """
    index = 0
    while index < len(members):
        first = index
        while index < len(members) and index in gone:
            index += 1
        if index > first:
            last = members[index - 1]
            if index < len(members):
                yield (members[first].start, members[index].start, b"")
            else:
                yield (members[first - 1].end if first else members[0].start, last.end, b"")
        index += 1


def members_at(text: str, at: int) -> Iterator[Member]:
    """The members of the object that begins at `at` of a body decoded as Latin-1; none if something else begins there.

    Raises ValueError for what is no JSON.
    """
    at = _skip(text, at)
    if text[at : at + 1] != "{":
        return
    at = _skip(text, at + 1)
    while text[at : at + 1] == '"':
        name, after = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, after) + 1)
        end = _DECODER.raw_decode(text, value)[1]
        yield Member(name if name.isascii() else _as_text(text[at:after]), at, value, end)
        at = _skip(text, end)
        if text[at : at + 1] != ",":
            return
        at = _skip(text, at + 1)


def _as_text(spelled: str) -> str:
    """A name that is not all ASCII, as the text that its bytes stand for."""
    name: str = json.loads(spelled.encode("latin-1"))
    return name


def _entries(text: str, at: int) -> Iterator[int]:
    """Where the entries of the list begin that begins at `at`; none if something else does."""
    at = _skip(text, at)
    if text[at : at + 1] != "[":
        return
    at = _skip(text, at + 1)
    while text[at : at + 1] not in ("]", ""):
        yield at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        if text[at : at + 1] != ",":
            return
        at = _skip(text, at + 1)


def _name_end(body: bytes, member: Member) -> int:
    return _DECODER.raw_decode(body.decode("latin-1"), member.start)[1]


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
