"""Records that the history database did not take, in files under `spool/` until it does.

Rules: one file for each process, locked by it, so that a start finds what a dead process left and leaves the others'
alone; a line is written whole or taken back; replaying a line twice is harmless, since records have unique ids. What is
written outlives the process at once and a power cut as soon as the system has written its cache, like the database.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.db.models import Model

from analytics.draft_rows import Row, attempt_row, record_row
from analytics.drafts import RecordDraft
from analytics.journal import PATTERN as JOURNALS
from analytics.journal import draft_of, locked_file
from analytics.models import Attempt, RequestRecord
from backends.prices import NO_PRICES, PriceBook

logger = logging.getLogger("patchbay.history")

PATTERN = "history-*.jsonl"
MOST_BYTES = 64 * 2**20
"""What one process keeps at most."""
_BATCH_LINES = 500
Stored = tuple[Row, list[Row]]
"""A record's columns, and those of its attempts."""
Store = Callable[[Sequence[Stored]], bool]


@dataclass
class _File:
    """A file that this process holds the lock of. `done`: bytes that are in the database already."""

    path: Path
    handle: int
    size: int
    lines: int = 0
    done: int = 0

    def append(self, data: bytes, lines: int) -> None:
        """All of it or nothing. Raises OSError."""
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self.handle, data[written:], self.size + written)
        except OSError:
            os.ftruncate(self.handle, self.size)
            raise
        self.size += len(data)
        self.lines += lines

    def batches(self) -> Iterator[tuple[list[bytes], int]]:
        """The lines that are left, some at a time, each time with the place where they end."""
        with self.path.open("rb") as file:
            file.seek(self.done)
            while lines := list(islice(file, _BATCH_LINES)):
                yield lines, file.tell()

    def remove(self) -> None:
        """Everything in it is stored."""
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


@dataclass
class Spool:
    """The files of one process. For one thread; `waiting` may be read from any."""

    directory: Path
    most_bytes: int = MOST_BYTES
    _files: list[_File] = field(default_factory=list)
    _own: _File | None = None

    @property
    def waiting(self) -> int:
        """Records in the files."""
        return sum(file.lines for file in self._files)

    def add(self, rows: Sequence[Stored]) -> bool:
        """Append records. False when the disk refuses or the bound is reached: then none of them is in the file."""
        lines = [line for row in rows if (line := _line_of(row))]
        data = b"".join(lines)
        if sum(file.size for file in self._files) + len(data) > self.most_bytes:
            return False
        try:
            self._own = self._own or self._create()
            self._own.append(data, len(lines))
        except OSError as exc:
            logger.warning(
                "The history's spool cannot be written (%s); records wait in memory.", exc.strerror
            )
            return False
        return True

    def adopt(self) -> None:
        """Take over what processes left that are no more: their spools, and their journals."""
        held = {file.path for file in self._files}
        for path in sorted([*self.directory.glob(PATTERN), *self.directory.glob(JOURNALS)]):
            if path not in held and (file := _take_over(path)) is not None:
                self._files.append(file)

    def replay(self, store: Store, prices: PriceBook = NO_PRICES) -> bool:
        """Give all records to `store`, oldest file first, and remove what is done. False as soon as it refuses.

        `prices`: the operator's, for records that are only in a journal.
        """
        for file in list(self._files):
            if not _replayed(file, store, prices):
                return False
            self._files.remove(file)
            if file is self._own:
                self._own = None
            file.remove()
        return True

    def close(self) -> None:
        """Let go of the files; what is in them is for the next start."""
        for file in self._files:
            os.close(file.handle)
        self._files.clear()
        self._own = None

    def _create(self) -> _File:
        path = self.directory / f"history-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._files.append(made := _File(path, locked_file(path), 0))
        return made


def _take_over(path: Path) -> _File | None:
    """None when its process lives, or somebody else was faster."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), path.stat()):
            raise FileNotFoundError(path)
        with path.open("rb") as file:
            lines = sum(1 for _ in file)
    except OSError:
        os.close(handle)
        return None
    return _File(path, handle, os.fstat(handle).st_size, lines)


def stored_row(draft: RecordDraft, prices: PriceBook) -> Stored:
    """What is kept of a finished request."""
    attempts = [attempt_row(draft.id, n, a) for n, a in enumerate(draft.attempts, start=1)]
    return record_row(draft, prices), attempts


def _replayed(file: _File, store: Store, prices: PriceBook) -> bool:
    lost = 0
    for lines, end in file.batches():
        rows = [row for line in lines if (row := _row_of(line, prices)) is not None]
        if rows and not store(rows):
            return False
        lost += len(lines) - len(rows)
        file.lines -= len(lines)
        file.done = end
    if lost:
        logger.warning("%d lines of the history's spool could not be read and are left out.", lost)
    return True


def _line_of(rows: Stored) -> bytes:
    try:
        return msgspec.json.encode(rows) + b"\n"
    except (TypeError, ValueError):
        logger.exception("History row %s cannot be spooled and is left out.", rows[0]["id"])
        return b""


def _row_of(line: bytes, prices: PriceBook) -> Stored | None:
    """None for a line that was cut short, or is no record. A journal's lines are objects, a spool's arrays."""
    try:
        if line.startswith(b"{"):
            return stored_row(draft_of(line), prices)
        record, attempts = msgspec.json.decode(line, type=tuple[dict[str, Any], list[dict[str, Any]]])
        if not record["id"]:
            return None
        return _columns(RequestRecord, record), [_columns(Attempt, attempt) for attempt in attempts]
    except (msgspec.MsgspecError, ValidationError, KeyError, TypeError, ValueError, ArithmeticError):
        return None


def _columns(model: type[Model], told: dict[str, Any]) -> Row:
    """In this version's columns: one that is new has its default, one that is gone is left out."""
    columns: Row = {}
    for column in model._meta.concrete_fields:
        if column.attname in told:
            columns[column.attname] = column.to_python(told[column.attname])
        elif not column.primary_key:
            columns[column.attname] = column.get_default()
    return columns
