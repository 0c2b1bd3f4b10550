"""A request that is being changed: its objects, the edits so far, and a word on each."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from backends.wire.spans import Edit, Member, cuts
from backends.wire.splice import json_string, splice
from backends.wire.templates.layout import entries_of, members_of, skip_space, text_at
from backends.wire.templates.spec import Json

NOTE = "template"
_NULL = b"null"


def encoded(value: Json) -> bytes:
    """A value as JSON: the same bytes for the same value."""
    return msgspec.json.encode(value)


def _is_same(spelled: bytes, value: bytes) -> bool:
    """Whether a value, however it is spelled, is this one, as `encoded` spells it."""
    if spelled == value or spelled[:1] not in (b"{", b"[", b'"'):
        return spelled == value
    try:
        return encoded(msgspec.json.decode(spelled)) == value
    except (ValueError, RecursionError):
        return False


class ObjectDraft:
    """One object of a body, some of whose members are put, or taken out. Commas are its business."""

    __slots__ = ("_body", "_gone", "_members", "_new", "_start", "_values")

    def __init__(self, body: bytes, start: int, end: int) -> None:
        self._body, self._start = body, start
        self._members = members_of(body, start, end)
        self._values: dict[int, bytes] = {}
        self._gone: set[int] = set()
        self._new: dict[str, bytes] = {}

    def all_of(self, name: str) -> list[Member]:
        """The members of this name that say anything: not null, and not taken out. Mostly one or none."""
        return [
            member
            for index, member in enumerate(self._members)
            if member.name == name and index not in self._gone and self._spelled(member) != _NULL
        ]

    def put(self, name: str, value: bytes) -> bool:
        """Give a member this value, wherever it stands, or add it; whether that changed anything.

        What was taken out before stays out.
        """
        found = [index for index, member in enumerate(self._members) if member.name == name]
        if not found:
            changed = self._new.get(name) != value
            self._new[name] = value
            return changed
        others = [index for index in found if not _is_same(self._spelled(self._members[index]), value)]
        self._values.update(dict.fromkeys(others, value))
        return not self._gone.issuperset(others)

    def drop(self, *names: str) -> list[str]:
        """Take members out; the names of those that were there."""
        gone = [index for index, member in enumerate(self._members) if member.name in names]
        self._gone.update(gone)
        return list(dict.fromkeys(self._members[index].name for index in gone))

    def edits(self) -> list[Edit]:
        """Everything that changes here, as edits of the body."""
        edits = [*cuts(self._members, self._gone)]
        for index, value in self._values.items():
            if index not in self._gone:
                edits.append((self._members[index].at, self._members[index].end, value))
        if self._new:
            at = skip_space(self._body, self._start) + 1
            comma = b"," if len(self._gone) < len(self._members) else b""
            new = b",".join([json_string(name) + b":" + value for name, value in self._new.items()])
            edits.append((at, at, new + comma))
        return edits

    def _spelled(self, member: Member) -> bytes:
        return self._body[member.at : member.end]


class Draft:
    """One request body. Every change is an edit of a span; what no edit touches keeps its bytes.

    `note` names a change by its path, as the mutations of a request are listed: `$.system=template`.
    """

    __slots__ = ("_edits", "_inner", "_parts", "body", "mutations", "top")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.mutations: list[str] = []
        self.top = ObjectDraft(body, 0, len(body))
        self._inner: dict[int, ObjectDraft] = {}
        self._parts: dict[str, dict[str, bytes]] = {}
        self._edits: list[Edit] = []

    def all_of(self, name: str) -> list[Member]:
        """The top-level members of this name that say anything."""
        return self.top.all_of(name)

    def inside(self, member: Member) -> ObjectDraft | None:
        """The object that is a member's value; None if it is something else."""
        if self.body[member.at : member.at + 1] != b"{":
            return None
        if member.at not in self._inner:
            self._inner[member.at] = ObjectDraft(self.body, member.at, member.end)
        return self._inner[member.at]

    def add_part(self, name: str, part: str, value: bytes) -> bool:
        """Put a part into a top-level object that the body does not have; whether that changes anything."""
        parts = self._parts.setdefault(name, {})
        parts[part] = value
        members = b",".join([json_string(key) + b":" + value for key, value in parts.items()])
        return self.top.put(name, b"{" + members + b"}")

    def value(self, member: Member) -> bytes:
        """A member's value as it is spelled."""
        return self.body[member.at : member.end]

    def text(self, member: Member) -> str | None:
        """A member's value if it is a string."""
        return text_at(self.body, member.at, member.end)

    def note(self, path: str) -> None:
        """List a change, once."""
        mutation = f"{path}={NOTE}"
        if mutation not in self.mutations:
            self.mutations.append(mutation)

    def edit(self, start: int, end: int, value: bytes) -> None:
        """Replace a span of the body. Spans may not overlap, nor lie in a member that is put or taken out."""
        self._edits.append((start, end, value))

    def finished(self) -> bytes:
        """The body with every change; the same object if there is none."""
        objects = (self.top, *self._inner.values())
        edits = [*self._edits, *(edit for part in objects for edit in part.edits())]
        return splice(self.body, edits) if edits else self.body


def list_edits(
    body: bytes, start: int, end: int, *, first: Iterable[bytes] = (), last: Iterable[bytes] = ()
) -> list[Edit]:
    """Edits that put entries before the first and behind the last of the list at `start`..`end`."""
    spans = entries_of(body, start, end)
    before, behind = list(first), list(last)
    if not spans:
        return [(start, end, b"[" + b",".join([*before, *behind]) + b"]")]
    edits: list[Edit] = []
    if before:
        edits.append((spans[0][0], spans[0][0], b",".join(before) + b","))
    if behind:
        edits.append((spans[-1][1], spans[-1][1], b"," + b",".join(behind)))
    return edits
