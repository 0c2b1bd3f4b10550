"""The recorder: a bounded queue, one writer thread, batches; with every record the sums that are kept beside them.

Rule: the hot path never waits. `record()` appends to a queue in memory; the writer takes what is there at
most every 250 ms and writes it in one transaction. When the database cannot take rows, they go to the spool
(`analytics/spool.py`) and from there to the database as soon as it takes rows again, in this process or the next.
What the spool cannot take either stays in the queue, up to its bound; beyond it the newest are counted as dropped.
What is in the queue is in the journal as well (`analytics/journal.py`), for the start after a kill.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from operator import itemgetter

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

from accounts.snapshot import keeper
from analytics.draft_rows import Row
from analytics.drafts import RecordDraft
from analytics.journal import Journal
from analytics.models import Attempt, RequestRecord
from analytics.refusal import is_busy, is_unavailable
from analytics.rollup_store import Facets, add, add_facets, behind, guard, rebuild_day
from analytics.rollups import aggregate
from analytics.spool import Spool, Stored, stored_row
from backends.prices import NO_PRICES, PriceBook

logger = logging.getLogger("patchbay.history")

BATCH_ROWS = 500
BATCH_SECONDS = 0.2
WAKE_ROWS = 256  # so many are worth a transaction at once; small ones write the same pages again and again
QUEUE_ROWS = 10_000
BUSY_MS = 250  # how long the writer waits for a lock before it spools
AGAIN_SECONDS = 1.0  # between two tries at a database that refuses
PATIENCE_SECONDS = 5.0  # a lock that is held no longer is nobody's trouble


@dataclass
class Recorder:
    """Writes finished drafts to the history database from one thread. `prices`: the operator's, as they are now.

    `on_written` gets each batch after it was stored, in that thread.
    """

    prices: Callable[[], PriceBook] = lambda: NO_PRICES
    on_written: Callable[[list[RecordDraft]], None] | None = None
    queue_rows: int = QUEUE_ROWS
    spool: Spool | None = None
    journal: Journal | None = None
    taken: int = 0
    dropped: int = 0
    is_stuck: bool = False
    _facets: Facets = field(default_factory=Facets)
    _behind: Iterator[date] | None = None
    _queue: deque[RecordDraft] = field(default_factory=deque)
    _stored: int = 0  # drafts that were let go
    _wake: threading.Event = field(default_factory=threading.Event)
    _stopping: bool = False
    _thread: threading.Thread | None = None
    _refused_at: float | None = None  # the first refusal in a row, on the monotonic clock
    _again_at: float = 0.0
    _refusal: DatabaseError | None = None

    def record(self, draft: RecordDraft) -> None:
        """Take a finished draft. Never waits, never raises."""
        self.taken += 1
        if self.is_full:
            self.dropped += 1
            return
        self._queue.append(draft)
        if self.journal is not None:
            self.journal.note(draft)
        if len(self._queue) == WAKE_ROWS:
            self._wake.set()

    @property
    def is_full(self) -> bool:
        """Whether the next record is dropped."""
        return len(self._queue) >= self.queue_rows

    @property
    def waiting(self) -> int:
        """Rows not yet in the database."""
        return len(self._queue) + (self.spool.waiting if self.spool else 0)

    def start(self) -> None:
        """Start the writer thread."""
        self._stopping = False
        self._behind = behind()
        self.spool = self.spool or Spool(settings.PATCHBAY_HOME / "spool")
        self.journal = Journal(self.spool.directory)
        self.journal.open()
        self._wake.clear()
        self._thread = threading.Thread(target=self._write_loop, name="history-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write or spool what is waiting, then end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None

    def flush(self) -> bool:
        """Write one batch now. False when the database would not take it; the rows stay queued."""
        batch = self._next()
        if not batch:
            return True
        if not self._write(self._rows_of(batch)):
            return False
        self._let_go(batch)
        return True

    def _next(self) -> list[RecordDraft]:
        return [self._queue[index] for index in range(min(len(self._queue), BATCH_ROWS))]

    def _let_go(self, batch: list[RecordDraft]) -> None:
        """These are stored, in the database or in the spool."""
        for _ in batch:
            self._queue.popleft()
        self._stored += len(batch)
        self._turn_page()
        if self.on_written is not None:
            self.on_written(batch)

    def _turn_page(self) -> None:
        if self.journal is not None:
            self.journal.advance(self._stored, self._queue)

    def _write_loop(self) -> None:
        if self.spool is not None:
            self.spool.adopt()
        self._turn()
        while not self._stopping:
            if self._wake.wait(BATCH_SECONDS) and not self._stopping:
                self._wake.clear()
            self._turn()
        self._again_at = 0.0
        self._turn()
        if self.journal is not None:
            self.journal.close(all_stored=not self._queue)
        if self.spool is not None:
            self.spool.close()
        connections.close_all()

    def _turn(self) -> None:
        """One look at the queue. Whatever is wrong with one batch, the writer goes on."""
        try:
            self._turn_page()
            if time.monotonic() < self._again_at:
                self._set_aside()
            elif self._be_brief() and self._catch_up() and self._drain():
                self._recovered()
            else:
                self._refused()
        except Exception:
            logger.exception("The history's writer failed; it goes on.")

    def _be_brief(self) -> bool:
        """Wait for a lock a moment only. False when the database is not to be had."""
        if not self.waiting:
            return True
        name = "PRAGMA busy_timeout" if connections["history"].vendor == "sqlite" else "SET lock_timeout"
        try:
            with connections["history"].cursor() as cursor:
                cursor.execute(f"{name} = {BUSY_MS}")
        except DatabaseError as exc:
            self._refusal = exc
            return False
        return True

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
            if isinstance(exc, DatabaseError) and is_unavailable(exc):
                self._behind = behind()
                self._refusal = exc
                return False
            logger.exception("Older records are left out of the sums.")
            day = None
        if day is None:
            self._behind = None
        return True

    def _drain(self) -> bool:
        """Write until queue and spool are empty. False when the database refuses."""
        while self._queue:
            if not self.flush():
                return False
        return self.spool is None or self.spool.replay(partial(self._write, alone=True), self.prices())

    def _recovered(self) -> None:
        if self.is_stuck:
            logger.warning("The history database takes rows again.")
        self.is_stuck, self._refused_at = False, None
        if self.dropped:
            logger.error("%d history rows were dropped: the queue was full.", self.dropped)
            self.dropped = 0

    def _refused(self) -> None:
        """Keep what waits elsewhere. A lock is no trouble until it is held for seconds."""
        now = time.monotonic()
        self._again_at = now + AGAIN_SECONDS
        self._refused_at = now if self._refused_at is None else self._refused_at
        self._set_aside()
        if not self.is_stuck and (not is_busy(self._refusal) or now - self._refused_at >= PATIENCE_SECONDS):
            logger.error("The history database takes no rows now (%s); they are spooled.", self._refusal)
            self.is_stuck = True

    def _set_aside(self) -> None:
        """Move the queue to the spool."""
        while self.spool is not None and self._queue:
            batch = self._next()
            if not self.spool.add(self._rows_of(batch)):
                return
            self._let_go(batch)

    def _rows_of(self, batch: Sequence[RecordDraft]) -> list[Stored]:
        """The columns of records and attempts. A draft that cannot have any is left out."""
        prices = self.prices()
        rows = []
        for draft in batch:
            try:
                rows.append(stored_row(draft, prices))
            except Exception:  # whatever it holds, the others are to be written
                logger.exception("History row %s cannot be made and is left out.", draft.id)
        return rows

    def _write(self, batch: Sequence[Stored], *, alone: bool = False) -> bool:
        """One transaction for the batch; if it fails on a row, row by row, so that one cannot poison the rest.

        `alone`: while nobody else writes, since what is replayed may be in another process's hands as well.
        """
        try:
            self._insert(batch, alone)
        except DatabaseError as exc:
            if is_unavailable(exc):
                self._refusal = exc
                return False
            return self._write_one_by_one(batch, alone)
        except (ValueError, OverflowError):
            return self._write_one_by_one(batch, alone)
        return True

    def _write_one_by_one(self, batch: Sequence[Stored], alone: bool) -> bool:
        for stored in batch:
            try:
                self._insert([stored], alone)
            except (DatabaseError, ValueError, OverflowError) as exc:
                if isinstance(exc, DatabaseError) and is_unavailable(exc):
                    self._refusal = exc
                    return False
                logger.exception("History row %s cannot be stored and is left out.", stored[0]["id"])
        return True

    def _insert(self, batch: Sequence[Stored], alone: bool) -> None:
        """Replays are harmless: the ids are unique, and only what is new is added to the sums."""
        rows = {record["id"]: record for record, _ in batch}
        attempts = [attempt for _, attempts in batch for attempt in attempts]
        with transaction.atomic(using="history"), connections["history"].cursor() as cursor:
            guard(cursor, alone=alone)
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
    values, adapt = map(itemgetter(*columns), rows), operations.adapt_datetimefield_value
    cursor.executemany(statement, [[adapt(v) if type(v) is datetime else v for v in row] for row in values])


recorder = Recorder(prices=lambda: keeper.current.prices)
