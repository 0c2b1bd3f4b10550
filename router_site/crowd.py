"""What the workers behind one port know of each other without asking anybody: who holds how many connections."""

from __future__ import annotations

import mmap
import os
import tempfile
import time

ABSENT = -1
SILENT_SECONDS = 1.0  # who has said nothing for so long hangs; the others say something four times in it
_BYTES = 8


class Crowd:
    """How many connections each of `count` workers holds, in memory that all of them see through `fd`."""

    def __init__(self, fd: int, count: int) -> None:
        memory = memoryview(mmap.mmap(fd, 2 * count * _BYTES)).cast("q")
        self._counts, self._said_at = memory[:count], memory[count:]

    @classmethod
    def make(cls, count: int) -> tuple[Crowd, int]:
        """With nobody there, and the file descriptor to hand on to the workers."""
        fd = _nameless()
        os.ftruncate(fd, 2 * count * _BYTES)
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
        self._said_at[number - 1] = time.monotonic_ns()

    def fewest(self) -> int:
        """Of the workers that listen and do not hang; 0 when none does."""
        lately = time.monotonic_ns() - int(SILENT_SECONDS * 1e9)
        said = zip(self._counts, self._said_at, strict=True)
        return min((held for held, at in said if held != ABSENT and at > lately), default=0)


def _nameless() -> int:
    """Memory behind a file descriptor; where the system has no such thing, a file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("patchbay-workers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
