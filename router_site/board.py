"""The notes that the workers behind one port leave each other, in the memory that `crowd` counts them in.

Rule: a note outlives the worker that wrote it, and its successor in the same place finds it. Whoever is killed in the
middle of writing has spoiled one of two copies; who reads takes the newest that is whole.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib

from router_site.crowd import Crowd

MOST_BYTES = 4 * 2**20
"""Of a note with its head. Memory is only used for what is written."""
_HEAD = struct.Struct("<QII")  # the note's number, its length, its checksum
_TRIES = 3  # both copies are spoiled only for who reads while two notes are written


class Board:
    """The notes of all workers of a crowd; `number`, counted from 1, is whose this process is."""

    def __init__(self, fd: int, crowd: Crowd, number: int) -> None:
        self._fd, self._crowd, self._number = fd, crowd, number
        self._written = self._newest(number)[0]

    def post(self, note: bytes) -> None:
        """Replace this worker's note. Raises OSError, also for one that is too long; the one before stands then."""
        number = self._written + 1
        data = _HEAD.pack(number, len(note), zlib.crc32(note, number & 0xFFFFFFFF)) + note
        if len(data) > MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if os.pwrite(self._fd, data, _place(self._number, number)) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._written = number

    def own(self) -> bytes:
        """What this worker, or the one before it in its place, wrote last; empty at first."""
        return self._newest(self._number)[1]

    def others(self) -> list[tuple[bytes, bool]]:
        """The other workers' notes, and whether who wrote it still listens."""
        numbers = (number for number in range(1, self._crowd.count + 1) if number != self._number)
        found = ((self._newest(number)[1], self._crowd.is_there(number)) for number in numbers)
        return [(note, is_there) for note, is_there in found if note]

    def _newest(self, worker: int) -> tuple[int, bytes]:
        for _ in range(_TRIES):
            found = max(self._copy(_place(worker, half)) for half in (0, 1))
            if found[0]:
                return found
        return 0, b""

    def _copy(self, place: int) -> tuple[int, bytes]:
        """Its number and the note; zero when nothing whole is there."""
        head = os.pread(self._fd, _HEAD.size, place)
        if len(head) < _HEAD.size:
            return 0, b""
        number, length, checksum = _HEAD.unpack(head)
        note = os.pread(self._fd, min(length, MOST_BYTES), place + _HEAD.size)
        is_whole = len(note) == length and zlib.crc32(note, number & 0xFFFFFFFF) == checksum
        return (number, note) if is_whole else (0, b"")


def _place(worker: int, note: int) -> int:
    """Notes take turns between two places, behind the first part of the memory, which is the crowd's."""
    return (2 * worker - 1 + note % 2) * MOST_BYTES
