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

from django.db import DatabaseError, InterfaceError, OperationalError, connections, transaction

from accounts.redact import redact
from analytics.drafts import AttemptDraft, RecordDraft
from analytics.models import Attempt, RequestRecord

logger = logging.getLogger("patchbay.history")

BATCH_ROWS = 500
BATCH_SECONDS = 0.2
QUEUE_ROWS = 10_000
_MAX_INT = 2**63 - 1


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
    attempts = [_attempt_row(d.id, n, a) for d in batch for n, a in enumerate(d.attempts, start=1)]
    with transaction.atomic(using="history"):
        RequestRecord.objects.bulk_create([_record_row(draft) for draft in batch], ignore_conflicts=True)
        Attempt.objects.bulk_create(attempts, ignore_conflicts=True)


def _record_row(draft: RecordDraft) -> RequestRecord:
    usage = draft.usage
    return RequestRecord(
        id=draft.id,
        started_at=draft.started_at,
        duration_ms=draft.duration_ms,
        kind=draft.kind.value if draft.kind else "",
        status=draft.status,
        outcome=draft.outcome.value if draft.outcome else "error",
        protocol=draft.protocol.value,
        lane=draft.lane,
        stream=draft.stream,
        model_asked=_text(draft.model_asked, 200),
        model_used=_text(draft.model_used, 200),
        backend=draft.backend,
        account=draft.account,
        key=draft.key,
        session=_text(draft.session, 80),
        attempts=len(draft.attempts),
        fresh_input_tokens=_count(usage.fresh_input) if usage else None,
        cache_read_tokens=_count(usage.cache_read) if usage else None,
        cache_write_5m_tokens=_count(usage.cache_write_5m) if usage else None,
        cache_write_1h_tokens=_count(usage.cache_write_1h) if usage else None,
        output_tokens=_count(usage.output) if usage else None,
        reasoning_tokens=_count(usage.reasoning) if usage else None,
        usage_source=_usage_source(draft),
        raw_usage=_text(usage.raw.decode("utf-8", "replace"), 4000) if usage else "",
        connect_ms=draft.connect_ms,
        ttfb_ms=draft.ttfb_ms,
        ttft_ms=draft.ttft_ms,
        overhead_ms=draft.overhead_ms,
        mutations=", ".join(draft.mutations),
        error=_text(redact(draft.error), 2000),
        method=_text(draft.method, 8),
        path=_text(draft.path, 200),
        client=_text(draft.client, 200),
    )


def _usage_source(draft: RecordDraft) -> str:
    """What a provider reported before a stream was cut is a lower bound, so it counts as an estimate."""
    if draft.usage is None:
        return "none"
    return "reported" if draft.usage_is_final else "estimated"


def _attempt_row(request_id: str, number: int, attempt: AttemptDraft) -> Attempt:
    return Attempt(
        request_id=request_id,
        number=number,
        started_at=attempt.started_at,
        duration_ms=attempt.duration_ms,
        backend=attempt.backend,
        account=attempt.account,
        model=_text(attempt.model, 200),
        status=attempt.status,
        outcome=attempt.outcome[:32],
        verdict=attempt.verdict,
        error=_text(redact(attempt.error), 2000),
    )


def _text(value: str, limit: int) -> str:
    """What every database can store: no NUL, no lone surrogate, at most `limit` characters."""
    return value[:limit].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _count(value: int) -> int:
    return max(0, min(value, _MAX_INT))


recorder = Recorder()
