"""What the workers behind one port know of each other without asking anybody: who holds how many connections."""

from __future__ import annotations

import mmap
import os
import tempfile

ABSENT = -1
_BYTES = 8


class Crowd:
    """How many connections each of `count` workers holds, in memory that all of them see through `fd`."""

    def __init__(self, fd: int, count: int) -> None:
        self._counts = memoryview(mmap.mmap(fd, count * _BYTES)).cast("q")

    @classmethod
    def make(cls, count: int) -> tuple[Crowd, int]:
        """With nobody there, and the file descriptor to hand on to the workers."""
        fd = _nameless()
        os.ftruncate(fd, count * _BYTES)
        crowd = cls(fd, count)
        for number in range(1, count + 1):
            crowd.say(number, ABSENT)
        return crowd, fd

    @property
    def count(self) -> int:
        """How many workers there are meant to be."""
        return len(self._counts)

    def is_there(self, number: int) -> bool:
        """Whether worker `number` listens."""
        return self._counts[number - 1] != ABSENT

    def say(self, number: int, held: int) -> None:
        """Worker `number`, counted from 1, holds so many connections; ABSENT: it does not listen."""
        self._counts[number - 1] = held

    def fewest(self) -> int:
        """Of the workers that listen; 0 when none does."""
        return min((held for held in self._counts if held != ABSENT), default=0)


def _nameless() -> int:
    """Memory behind a file descriptor; where the system has no such thing, a file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("patchbay-workers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
