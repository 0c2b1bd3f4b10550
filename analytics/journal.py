"""The journal: what has finished and is not stored yet, in files that outlive a process killed outright.

Rules: a record's line is written by whoever hands the record over, with one write() into the system's cache and no
wait for the disk. Two files take turns: while one is written, the other waits until all it holds are stored, and is
emptied. Losing the journal costs nothing but what a kill would take: whatever fails here is counted, and traffic goes
on. The files are the spool's to take over at the next start; replaying a stored record is harmless.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import secrets
import time
from collections.abc import Sized
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import msgspec

from accounts.redact import redact
from analytics.drafts import RecordDraft

logger = logging.getLogger("patchbay.history")

PATTERN = "finished-*.jsonl"
MOST_BYTES = 64 * 1024
"""Of a line. A longer one is left out: only a decision between hundreds of accounts would be."""
SLOW_SECONDS = 0.25
REST_SECONDS = 60.0
"""So long nothing is written after a write that took SLOW_SECONDS: a disk that hangs must not hold up requests."""
AGAIN_SECONDS = 5.0  # between two tries to make the files
TELL_SECONDS = 60.0  # between two lines in the log

_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class _Page:
    """One of the two files. `is_torn`: it ends in the middle of a line, because the disk was full."""

    path: Path
    file: FileIO
    is_used: bool = False
    is_torn: bool = False

    def add(self, line: bytes) -> bool:
        """Append a line. Raises OSError; False when only a part of it fitted."""
        self.is_used = True
        data = b"\n" + line if self.is_torn else line
        self.is_torn = self.file.write(data) != len(data)
        return not self.is_torn

    def empty(self) -> None:
        """All it holds is stored."""
        self.file.truncate(0)
        self.is_used = self.is_torn = False


@dataclass
class Journal:
    """The journal of one process. `note()` is for the request path, all else for the history's writer.

    `missed`: records that are not in it.
    """

    directory: Path
    missed: int = 0
    _active: _Page | None = None
    _full: _Page | None = None
    _spare: _Page | None = None
    _stored_at: int = 0  # so many stored records, and all of the full page are among them
    _rests_until: float | None = None
    _again_at: float = 0.0
    _told: int = 0
    _tells_at: float = -math.inf
    _failure: str = field(default="", repr=False)

    def note(self, draft: RecordDraft) -> None:
        """Write a finished record down. Never raises. The record must be on its way to the writer already."""
        page = self._active
        if page is None or self._rests_until is not None:
            self.missed += 1
            return
        try:
            line = line_of(draft)
            began = time.monotonic()
            if len(line) > MOST_BYTES or not page.add(line):
                self.missed += 1
            if (ended := time.monotonic()) - began > SLOW_SECONDS:
                self._failure, self._rests_until = "its disk is slow", ended + REST_SECONDS
        except (OSError, TypeError, ValueError) as exc:
            self.missed += 1
            self._failure = getattr(exc, "strerror", "") or str(exc)

    def open(self) -> None:
        """Make the files. Without them nothing is noted; it is tried again later."""
        try:
            self._spare = self._spare or self._new_page()
            self._active = self._new_page()
        except OSError as exc:
            self._failure = exc.strerror or str(exc)
            self._again_at = time.monotonic() + AGAIN_SECONDS

    def advance(self, stored: int, queue: Sized) -> None:
        """The writer has stored so many records by now, and these wait. Empties what is no longer needed."""
        if self._active is None and time.monotonic() >= self._again_at:
            self.open()
        if self._rests_until is not None and time.monotonic() >= self._rests_until:
            self._rests_until = None
        if self._full is not None and stored >= self._stored_at:
            self._emptied(self._full)
        if self._spare is not None and self._active is not None and self._active.is_used:
            self._full, self._active, self._spare = self._active, self._spare, None
            self._stored_at = stored + len(queue)  # who wrote into the page had put the record there before
        self._tell()

    def close(self, *, all_stored: bool) -> None:
        """Remove the files, or leave them for the next start when they hold what is nowhere else."""
        pages = [page for page in (self._active, self._full, self._spare) if page is not None]
        self._active = self._full = self._spare = None
        for page in pages:
            if all_stored or not page.is_used:
                page.path.unlink(missing_ok=True)
            page.file.close()

    def _emptied(self, page: _Page) -> None:
        try:
            page.empty()
        except OSError as exc:  # it is emptied another time; until then the other one is written on
            self._failure = exc.strerror or str(exc)
            return
        self._full, self._spare = None, page

    def _tell(self) -> None:
        """Once a minute while the trouble lasts, and never from the request path."""
        now = time.monotonic()
        if self.missed > self._told and self._failure and now >= self._tells_at:
            logger.warning(
                "%d finished records are not in the history's journal (%s): a kill would lose what is not stored yet.",
                *(self.missed - self._told, self._failure),
            )
            self._failure, self._told, self._tells_at = "", self.missed, now + TELL_SECONDS

    def _new_page(self) -> _Page:
        path = self.directory / f"finished-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        return _Page(path, FileIO(locked_file(path, os.O_APPEND), "wb"))


def locked_file(path: Path, flags: int = 0) -> int:
    """A new private file with this process's lock on it, under its name only then: no start takes it for a dead one's.

    `flags`: for opening it, beside the usual. Raises OSError.
    """
    draft = path.with_name(f".{path.name}")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        draft.rename(path)
    except OSError:
        os.close(handle)
        draft.unlink(missing_ok=True)
        raise
    return handle


def line_of(draft: RecordDraft) -> bytes:
    """The record's line: its JSON, without secrets in what others said. Raises ValueError for half a surrogate pair."""
    return _encoder.encode(_clean(draft) if _has_words(draft) else draft) + b"\n"


def draft_of(line: bytes) -> RecordDraft:
    """The record of a line. Raises msgspec.ValidationError, also for words that only another version knows."""
    return _decoder.decode(line)


_decoder = msgspec.json.Decoder(RecordDraft)


def _has_words(draft: RecordDraft) -> bool:
    """Whether there is text in which an upstream's words may stand. Most requests have none."""
    if draft.error:
        return True
    for attempt in draft.attempts:
        if attempt.error:
            return True
    for choice in draft.choices:
        for candidate in choice.candidates:
            if candidate.excluded:
                return True
    return False


def _clean(draft: RecordDraft) -> RecordDraft:
    replace = msgspec.structs.replace
    attempts = [replace(attempt, error=redact(attempt.error)) for attempt in draft.attempts]
    choices = [
        replace(
            choice,
            reason=redact(choice.reason),
            candidates=tuple(replace(one, excluded=redact(one.excluded)) for one in choice.candidates),
        )
        for choice in draft.choices
    ]
    return replace(draft, error=redact(draft.error), attempts=attempts, choices=choices)
