"""Cutting a body into pieces, so that what stands in it again and again is stored once. Pure.

Rule: the pieces joined are the body, byte for byte, whatever the body is. Where it is cut decides only how much is
shared: at the messages of a conversation, and around each large field (the system prompt, the tools).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

CONVERSATIONS = frozenset({"messages", "input", "contents"})
LARGE_FIELD = 256  # bytes; a smaller field is not worth a piece of its own
SMALL_ENTRY = 64  # a smaller entry stays with the next
RUN = 32
LIST_MARK = "+"
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRIES = msgspec.json.Decoder(list[msgspec.Raw])


def digest_of(piece: bytes) -> str:
    """What a piece is stored under: BLAKE2b, 128 bits, in hexadecimal."""
    return hashlib.blake2b(piece, digest_size=16).hexdigest()


def cut(body: bytes) -> list[bytes]:
    """The pieces of a request's body, in order; none is empty. What is not a JSON object is one piece."""
    try:
        fields = _FIELDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [body] if body else []
    marks = [0, *_marks(body, fields), len(body)]
    return [body[start:end] for start, end in pairwise(marks) if end > start]


def _marks(body: bytes, fields: dict[str, msgspec.Raw]) -> Iterator[int]:
    """Where to cut, in order. Values are looked for behind one another, so a place can be early but never late."""
    at = 0
    for name, raw in fields.items():
        value = bytes(raw)
        is_list = name in CONVERSATIONS and value.startswith(b"[")
        if (len(value) < LARGE_FIELD and not is_list) or (start := body.find(value, at)) < 0:
            continue
        at = start + len(value)
        yield start
        if is_list:
            yield from _entry_marks(body, value, start)
        yield at


def _entry_marks(body: bytes, value: bytes, at: int) -> Iterator[int]:
    """Behind each entry: the comma belongs to the entry that follows, so an entry stays the same when one is added.

    Only objects are messages; numbers and texts to embed are not worth it, nor is a handful of bytes.
    """
    last = at
    for raw in _ENTRIES.decode(value):
        entry = bytes(raw)
        if not entry.startswith(b"{"):
            return
        at = body.find(entry, at) + len(entry)
        if at - last >= SMALL_ENTRY:
            yield at
            last = at


def listed(digests: Sequence[str]) -> tuple[list[str], dict[str, bytes]]:
    """The lines that name these pieces in order, and the lists that stand behind some of the lines.

    Every RUN pieces from the beginning become one list, itself stored as a piece: a long conversation shares those
    lists with its earlier turns instead of naming every message again.
    """
    lines: list[str] = []
    lists: dict[str, bytes] = {}
    whole = len(digests) // RUN * RUN
    for start in range(0, whole, RUN):
        content = "\n".join(digests[start : start + RUN]).encode()
        digest = digest_of(content)
        lists[digest] = content
        lines.append(LIST_MARK + digest)
    return [*lines, *digests[whole:]], lists
