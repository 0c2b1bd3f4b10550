"""Where the parts of a JSON text stand, at the speed of a parser that builds nothing.

Rule: the decoder tells how long each value is, so the offsets follow from walking over the text in the same order.
Where walk and decoder disagree (a name that stands twice), the slower scanner of `backends.wire.spans` decides.
"""

from __future__ import annotations

import re

import msgspec

from backends.wire.spans import Member, members_at

Span = tuple[int, int]
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_SPACE = re.compile(rb"[ \t\n\r]*")
_KEY = re.compile(rb'[ \t\n\r,]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_COMMA = re.compile(rb"[ \t\n\r,]*")


def members_of(body: bytes, start: int, end: int) -> list[Member]:
    """The members of the object at `start`..`end`, in order; none if something else stands there.

    Raises ValueError or RecursionError for what is no JSON.
    """
    at = skip_space(body, start)
    if body[at : at + 1] != b"{":
        return []
    found = _walked(body, at, _decoded(body, start, end))
    return list(members_at(body.decode("latin-1"), at)) if found is None else found


def entries_of(body: bytes, start: int, end: int) -> list[Span]:
    """The entries of the list at `start`..`end`; none if something else stands there. Raises as `members_of`."""
    at = skip_space(body, start)
    if body[at : at + 1] != b"[":
        return []
    spans, behind = [], at + 1
    comma = _COMMA.match
    for raw in _LIST.decode(body[start:end]):
        match = comma(body, behind)
        at = match.end() if match else behind
        behind = at + len(raw)
        spans.append((at, behind))
    return spans


def text_at(body: bytes, start: int, end: int) -> str | None:
    """The string at `start`..`end`; None if something else stands there."""
    spelled = body[start:end]
    if spelled[:1] != b'"':
        return None
    if b"\\" not in spelled:
        return spelled[1:-1].decode()
    try:
        return msgspec.json.decode(spelled, type=str)
    except ValueError:
        return None


def skip_space(body: bytes, at: int) -> int:
    """The first offset from `at` on at which no white space stands."""
    match = _SPACE.match(body, at)
    return match.end() if match else at


def _decoded(body: bytes, start: int, end: int) -> dict[str, msgspec.Raw] | None:
    try:
        return _OBJECT.decode(body[start:end])
    except msgspec.DecodeError:
        return None


def _walked(body: bytes, at: int, found: dict[str, msgspec.Raw] | None) -> list[Member] | None:
    """The members with their places; None if a name stands twice, or cannot be read."""
    if found is None:
        return None
    members, behind, match_key = [], at + 1, _KEY.match
    for name, raw in found.items():
        key = match_key(body, behind)
        if key is None or not _is_spelled(key[1], name):
            return None
        at = key.end()
        behind = at + len(raw)
        if body[at:behind] != bytes(raw):
            return None
        members.append(Member(name, key.start(1), at, behind))
    at = skip_space(body, behind)
    return members if body[at : at + 1] == b"}" else None


def _is_spelled(spelled: bytes, name: str) -> bool:
    return spelled[1:-1] == name.encode() or (b"\\" in spelled and msgspec.json.decode(spelled) == name)
