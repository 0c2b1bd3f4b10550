"""The recorder: a bounded queue, one writer thread, batches.

Rule: the hot path never waits. `record()` appends to a queue in memory; the writer takes what is there at
most every 250 ms and writes it in one transaction. When the database cannot take rows, they stay in the
queue, up to its bound; beyond it the newest are counted as dropped and the log says so.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from analytics.draft_rows import Row, Value, attempt_row, record_row
from analytics.drafts import RecordDraft
from analytics.models import Attempt, RequestRecord

logger = logging.getLogger("patchbay.history")

BATCH_ROWS = 500
BATCH_SECONDS = 0.2
QUEUE_ROWS = 10_000


@dataclass
class Recorder:
    """Writes finished drafts to the history database from one thread."""

    queue_rows: int = QUEUE_ROWS
    taken: int = 0
    dropped: int = 0
    is_stuck: bool = False
    _queue: deque[RecordDraft] = field(default_factory=deque)
    _wake: threading.Event = field(default_factory=threading.Event)
    _stopping: bool = False
    _thread: threading.Thread | None = None

    def record(self, draft: RecordDraft) -> None:
        """Take a finished draft. Never waits, never raises."""
        self.taken += 1
        if len(self._queue) >= self.queue_rows:
            self.dropped += 1
            return
        self._queue.append(draft)

    @property
    def waiting(self) -> int:
        """Rows not yet in the database."""
        return len(self._queue)

    def start(self) -> None:
        """Start the writer thread."""
        self._stopping = False
        self._wake.clear()
        self._thread = threading.Thread(target=self._write_loop, name="history-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None

    def flush(self) -> bool:
        """Write one batch now. False when the database would not take it; the rows stay queued."""
        batch = [self._queue[index] for index in range(min(len(self._queue), BATCH_ROWS))]
        if not batch:
            return True
        if not _write(batch):
            return False
        for _ in batch:
            self._queue.popleft()
        return True

    def _write_loop(self) -> None:
        while not self._stopping:
            self._wake.wait(2.0 if self.is_stuck else BATCH_SECONDS)
            self._drain()
        self._drain()
        connections.close_all()

    def _drain(self) -> None:
        """Write until the queue is empty or the database refuses."""
        while self._queue:
            if not self.flush():
                if not self.is_stuck:
                    logger.error("The history database takes no rows now; they wait in memory.")
                self.is_stuck = True
                return
        self.is_stuck = False
        if self.dropped:
            logger.error("%d history rows were dropped: the queue was full.", self.dropped)
            self.dropped = 0


def _write(batch: list[RecordDraft]) -> bool:
    """One transaction for the batch; if it fails on a row, row by row, so that one cannot poison the rest."""
    try:
        _insert(batch)
    except DatabaseError as exc:
        if _is_unavailable(exc):
            return False
        return _write_one_by_one(batch)
    except (ValueError, OverflowError):
        return _write_one_by_one(batch)
    return True


def _write_one_by_one(batch: list[RecordDraft]) -> bool:
    for draft in batch:
        try:
            _insert([draft])
        except (DatabaseError, ValueError, OverflowError) as exc:
            if isinstance(exc, DatabaseError) and _is_unavailable(exc):
                return False
            logger.exception("History row %s cannot be stored and is left out.", draft.id)
    return True


def _is_unavailable(exc: DatabaseError) -> bool:
    """Locked, full, read-only, gone: worth trying again with the same rows."""
    return isinstance(exc, OperationalError | InterfaceError)


def _insert(batch: list[RecordDraft]) -> None:
    """Replays are harmless: the ids are unique and conflicts are ignored."""
    connection = connections["history"]
    attempts = [attempt_row(d.id, n, a) for d in batch for n, a in enumerate(d.attempts, start=1)]
    with transaction.atomic(using="history"), connection.cursor() as cursor:
        _insert_rows(cursor, RequestRecord, [record_row(draft) for draft in batch])
        _insert_rows(cursor, Attempt, attempts)


def _insert_rows(cursor: CursorWrapper, model: type[Model], rows: list[Row]) -> None:
    """One prepared statement for all rows: a third of what building model instances and their SQL costs."""
    if not rows:
        return
    operations = connections["history"].ops
    columns = list(rows[0])
    names = ", ".join(operations.quote_name(column) for column in columns)
    marks = ", ".join(["%s"] * len(columns))
    table = operations.quote_name(model._meta.db_table)
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    cursor.executemany(statement, [[_adapted(row[column]) for column in columns] for row in rows])


def _adapted(value: Value) -> Value:
    """A time as the database's own kind of time."""
    if isinstance(value, datetime):
        return connections["history"].ops.adapt_datetimefield_value(value)
    return value


recorder = Recorder()
