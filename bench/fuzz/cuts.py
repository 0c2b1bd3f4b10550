"""One input as the packets it may come in."""

from __future__ import annotations


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """(pieces, whole): the first four bytes say how long the first pieces are, the rest is what is cut."""
    sizes, whole = data[:4], data[4:]
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size % 32])
        at += size % 32
    return [*pieces, whole[at:]], whole
