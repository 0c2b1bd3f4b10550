"""The recorder: a bounded queue, one writer thread, batches; with every record the sums that are kept beside them.

Rule: the hot path never waits. `record()` appends to a queue in memory; the writer takes what is there at
most every 250 ms and writes it in one transaction. When the database cannot take rows, they stay in the
queue, up to its bound; beyond it the newest are counted as dropped and the log says so.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from accounts.snapshot import keeper
from analytics.draft_rows import Row, attempt_row, record_row
from analytics.drafts import RecordDraft
from analytics.models import Attempt, RequestRecord
from analytics.rollup_store import Facets, adapted, add, add_facets, behind, guard, rebuild_day
from analytics.rollups import aggregate
from backends.prices import NO_PRICES, PriceBook

logger = logging.getLogger("patchbay.history")

BATCH_ROWS = 500
BATCH_SECONDS = 0.2
QUEUE_ROWS = 10_000
UNDEFINED_TABLE = "42P01"  # PostgreSQL's word for it; SQLite's is an OperationalError as well


@dataclass
class Recorder:
    """Writes finished drafts to the history database from one thread. `prices`: the operator's, as they are now.

    `on_written` gets each batch after it was stored, in that thread.
    """

    prices: Callable[[], PriceBook] = lambda: NO_PRICES
    on_written: Callable[[list[RecordDraft]], None] | None = None
    queue_rows: int = QUEUE_ROWS
    taken: int = 0
    dropped: int = 0
    is_stuck: bool = False
    _facets: Facets = field(default_factory=Facets)
    _behind: Iterator[date] | None = None
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
        self._behind = behind()
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
        if not self._write(batch):
            return False
        for _ in batch:
            self._queue.popleft()
        if self.on_written is not None:
            self.on_written(batch)
        return True

    def _write_loop(self) -> None:
        while not self._stopping:
            if self._catch_up():
                self._drain()
            self._wake.wait(2.0 if self.is_stuck else BATCH_SECONDS)
        if self._catch_up():
            self._drain()
        connections.close_all()

    def _catch_up(self) -> bool:
        """Add a day of records that a version without sums has written, if there is one; before anything else is added.

        False when the database is not to be had, so that nothing is added before it was looked at.
        """
        if self._behind is None:
            return True
        try:
            day = next(self._behind, None)
            if day is not None:
                rebuild_day(day)
        except Exception as exc:  # whatever is wrong with old rows, new ones must be written
            if isinstance(exc, DatabaseError) and _is_unavailable(exc):
                self._behind = behind()
                self._note_stuck()
                return False
            logger.exception("Older records are left out of the sums.")
            day = None
        if day is None:
            self._behind = None
        return True

    def _drain(self) -> None:
        """Write until the queue is empty or the database refuses."""
        while self._queue:
            if not self.flush():
                self._note_stuck()
                return
        self.is_stuck = False
        if self.dropped:
            logger.error("%d history rows were dropped: the queue was full.", self.dropped)
            self.dropped = 0

    def _note_stuck(self) -> None:
        if not self.is_stuck:
            logger.error("The history database takes no rows now; they wait in memory.")
        self.is_stuck = True

    def _write(self, batch: list[RecordDraft]) -> bool:
        """One transaction for the batch; if it fails on a row, row by row, so that one cannot poison the rest."""
        try:
            self._insert(batch)
        except DatabaseError as exc:
            if _is_unavailable(exc):
                return False
            return self._write_one_by_one(batch)
        except (ValueError, OverflowError):
            return self._write_one_by_one(batch)
        return True

    def _write_one_by_one(self, batch: list[RecordDraft]) -> bool:
        for draft in batch:
            try:
                self._insert([draft])
            except (DatabaseError, ValueError, OverflowError) as exc:
                if isinstance(exc, DatabaseError) and _is_unavailable(exc):
                    return False
                logger.exception("History row %s cannot be stored and is left out.", draft.id)
        return True

    def _insert(self, batch: list[RecordDraft]) -> None:
        """Replays are harmless: the ids are unique, and only what is new is added to the sums."""
        prices = self.prices()
        rows = {draft.id: record_row(draft, prices) for draft in batch}
        attempts = [attempt_row(d.id, n, a) for d in batch for n, a in enumerate(d.attempts, start=1)]
        with transaction.atomic(using="history"), connections["history"].cursor() as cursor:
            guard(cursor)
            for known in (
                RequestRecord.objects.filter(pk__in=list(rows)).order_by().values_list("pk", flat=True)
            ):
                del rows[known]
            new = aggregate(rows.values())
            insert_rows(cursor, RequestRecord, list(rows.values()))
            insert_rows(cursor, Attempt, attempts)
            add(cursor, new)
            facets = self._facets.due(new)
            add_facets(cursor, facets)
        self._facets.done(facets)


def _is_unavailable(exc: DatabaseError) -> bool:
    """Locked, full, read-only, gone, not migrated: worth trying again with the same rows."""
    is_table_missing = getattr(exc.__cause__, "sqlstate", None) == UNDEFINED_TABLE
    return is_table_missing or isinstance(exc, OperationalError | InterfaceError)


def insert_rows(cursor: CursorWrapper, model: type[Model], rows: list[Row]) -> None:
    """One prepared statement for all rows: a third of what building model instances and their SQL costs."""
    if not rows:
        return
    operations = connections["history"].ops
    columns = list(rows[0])
    names = ", ".join(operations.quote_name(column) for column in columns)
    marks = ", ".join(["%s"] * len(columns))
    table = operations.quote_name(model._meta.db_table)
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    values = ([row[column] for column in columns] for row in rows)
    cursor.executemany(statement, [[adapted(v) if type(v) is datetime else v for v in row] for row in values])


recorder = Recorder(prices=lambda: keeper.current.prices)
