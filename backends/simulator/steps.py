"""An answer as a sequence of steps on the socket, and the transformations that spoil or frame it.

Rule: steps are made lazily, so an endless answer costs no memory and stops with its connection.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple


class End(Enum):
    """What happens to the connection when the answer stops here."""

    CLOSE = "close"  # the answer is complete
    FIN = "fin"  # it is not
    RST = "rst"
    HANG = "hang"


class Step(NamedTuple):
    """Wait, then send. `events` counts the server-sent events that are complete with this step."""

    data: bytes
    wait: float = 0.0
    events: int = 0
    end: End | None = None


Steps = Iterator[Step]
_BOMB_BLOCK = bytes(1 << 20)


def chunked(steps: Steps, *, broken: bool = False) -> Steps:
    """Chunked transfer coding; an early end gets no last chunk. `broken` spoils the second size."""
    sent = 0
    for step in steps:
        data = step.data
        if data:
            sent += 1
            length = b"zz" if broken and sent == 2 else b"%x" % len(data)
            data = b"%b\r\n%b\r\n" % (length, data)
        yield step._replace(data=data)
        if step.end:
            return
    yield Step(b"zz\r\n" if broken and sent < 2 else b"0\r\n\r\n")


def sliced(steps: Steps, count: int, pause: float) -> Steps:
    """At most `count` bytes at a time, `pause` seconds apart."""
    for step in steps:
        data = step.data
        for at in range(0, len(data) - count, count):
            yield Step(data[at : at + count], pause if at else max(pause, step.wait))
        rest = (len(data) - 1) // count * count if data else 0
        yield step._replace(data=data[rest:], wait=max(pause, step.wait) if data else step.wait)


def limited(steps: Steps, count: int, end: End) -> Steps:
    """Only the first `count` bytes, then `end`."""
    left = count
    for step in steps:
        if len(step.data) >= left:
            yield Step(step.data[:left], step.wait, 0, end)
            return
        left -= len(step.data)
        yield step


def gzipped(steps: Steps, *, broken: bool = False) -> Steps:
    """gzip content coding, flushed after each step. `broken` spoils the data behind the gzip header."""
    packer = zlib.compressobj(wbits=31)
    for step in steps:
        data = packer.compress(step.data) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield step._replace(data=_spoiled(data) if broken else data)
        if step.end:
            return
    yield Step(packer.flush())


def _spoiled(data: bytes) -> bytes:
    return data[:10] + bytes(255 - byte for byte in data[10:])


def bomb(size: int) -> Steps:
    """gzip data that unpacks to at least `size` zero bytes."""
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(-(-size // len(_BOMB_BLOCK))):
        yield Step(packer.compress(_BOMB_BLOCK))
    yield Step(packer.flush())


def delayed(steps: Steps, wait: float) -> Steps:
    """Wait before the first step."""
    for step in steps:
        yield step._replace(wait=step.wait + wait)
        break
    yield from steps


def ended(steps: Steps, end: End) -> Steps:
    """`end` where the answer would have ended well."""
    for step in steps:
        yield step
        if step.end:
            return
    yield Step(b"", end=end)
