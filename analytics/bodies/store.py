"""Storing bodies: a bounded queue, a writer thread of its own, one transaction for each body.

Rule: whoever keeps a body never waits. `add()` takes references; cutting, packing and writing happen in the thread.
When the queue is full, bodies are dropped and counted: records are never held up by them.

Rule: no kept body ever misses a piece. A piece's `last_used_at` is at most TOUCH older than the newest body that
names it; pieces go only when they are more than TOUCH older than the oldest body there is (analytics/bodies/budget.py).
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connections, transaction

from accounts.redact import redact_body
from analytics.bodies.budget import free_bodies, lock_bodies, used_bytes
from analytics.bodies.pieces import LIST_MARK, cut, digest_of, listed
from analytics.bodies.search import index_text
from analytics.bodies.words import words_of
from analytics.models import Body, BodyPiece
from analytics.refusal import is_unavailable

logger = logging.getLogger("patchbay.bodies")

KEEP_BYTES = 4 * 2**20
"""Of one body; what is longer is cut there."""
QUEUE_BYTES = 64 * 2**20
TOUCH = timedelta(minutes=10)
BATCH_SECONDS = 0.5
BUDGET_SHARE = 20  # the budget is looked at whenever a twentieth of it has come in


@dataclass(frozen=True, slots=True)
class KeptBody:
    """One side of a request as it crossed the wire. `size`: of the whole body, also when `is_cut`."""

    request_id: str
    side: str
    chunks: Sequence[bytes]
    size: int
    content_type: str = ""
    is_cut: bool = False
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return sum(map(len, self.chunks))

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        return "event-stream" in self.content_type


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A body as it was kept. `is_cut`: only the beginning of its `size` bytes."""

    content: bytes
    content_type: str
    size: int
    is_cut: bool
    at: datetime


@dataclass
class BodyStore:
    """Writes bodies to the history database from one thread."""

    queue_bytes: int = QUEUE_BYTES
    dropped: int = 0
    is_stuck: bool = False
    _queue: deque[KeptBody] = field(default_factory=deque)
    _waiting: int = 0  # bytes
    _unchecked: int = 0  # bytes written since the budget was looked at
    _wake: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False
    _thread: threading.Thread | None = None

    def add(self, body: KeptBody) -> None:
        """Take a body. Never waits for the database, never raises."""
        with self._lock:
            if self._waiting + body.held > self.queue_bytes:
                self.dropped += 1
                return
            self._waiting += body.held
        self._queue.append(body)

    @property
    def waiting(self) -> int:
        """Bodies not yet in the database."""
        return self._waiting

    def start(self) -> None:
        """Start the writer thread."""
        self._stopping = False
        self._wake.clear()
        self._thread = threading.Thread(target=self._write_loop, name="body-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None

    def flush(self) -> bool:
        """Write all that waits now. False when the database would not take it; the bodies stay queued."""
        while self._queue:
            body = self._queue[0]
            written = _written(body)
            if written is None:
                return False
            self._queue.popleft()
            with self._lock:
                self._waiting -= body.held
            self._unchecked += written
            self._mind_budget()
        return True

    def _mind_budget(self) -> None:
        budget = settings.PATCHBAY_BODY_BUDGET_MB * 2**20
        if self._unchecked * BUDGET_SHARE >= budget:
            self._unchecked = 0
            keep_budget(budget)

    def _write_loop(self) -> None:
        while not self._stopping:
            self._wake.wait(2.0 if self.is_stuck else BATCH_SECONDS)
            self._drain()
        self._drain()
        connections.close_all()

    def _drain(self) -> None:
        try:
            is_stuck = not self.flush()
        except (
            Exception
        ):  # mostly while it made room: what was to be written is written; the thread must go on
            logger.exception("No room could be made for bodies.")
            is_stuck = True
        if is_stuck and not self.is_stuck:
            logger.error("The history database takes no bodies now; they wait in memory.")
        self.is_stuck = is_stuck
        if self.dropped and not is_stuck:
            logger.error("%d bodies were dropped: the queue was full.", self.dropped)
            self.dropped = 0


def keep_budget(budget: int) -> int:
    """Let the oldest bodies go until nine tenths of the budget are in use. How many went."""
    used = used_bytes()
    return free_bodies(used - budget * 9 // 10, older_by=TOUCH) if used > budget else 0


def read_body(request_id: str, side: str) -> StoredBody | None:
    """A kept body, or None. `side`: `Body.REQUEST` or `Body.RESPONSE`."""
    row = Body.objects.filter(request_id=request_id, side=side).first()
    if row is None:
        return None
    content = read_pieces(row.pieces)
    return None if content is None else StoredBody(content, row.content_type, row.size, row.is_cut, row.at)


def read_pieces(lines: str) -> bytes | None:
    """The bytes that a body's lines stand for; None when one of its pieces is gone."""
    named = lines.split()
    lists = _contents([line[1:] for line in named if line.startswith(LIST_MARK)])
    digests: list[str] = []
    for line in named:
        if line.startswith(LIST_MARK):
            digests += lists.get(line[1:], b"?").decode().split()
        else:
            digests.append(line)
    contents = _contents(digests)
    return b"".join(contents[digest] for digest in digests) if contents.keys() >= set(digests) else None


def _contents(digests: Sequence[str]) -> dict[str, bytes]:
    rows = BodyPiece.objects.filter(digest__in=set(digests)).values_list("digest", "data")
    return {digest: zlib.decompress(bytes(data)) for digest, data in rows}


def _written(body: KeptBody) -> int | None:
    """Bytes that storing it took; None when the database takes nothing now."""
    try:
        return write_body(body)
    except (DatabaseError, ValueError, OverflowError) as exc:
        if isinstance(exc, DatabaseError) and is_unavailable(exc):
            return None
        logger.exception("A body of %s cannot be stored and is left out.", body.request_id)
        return 0


def write_body(body: KeptBody) -> int:
    """Store one body; a body that is there already stays as it is. Bytes that it took."""
    content = redact_body(b"".join(body.chunks)[:KEEP_BYTES])
    pieces = cut(content) if body.side == Body.REQUEST else [content][: len(content)]
    digests = [digest_of(piece) for piece in pieces]
    lines, lists = listed(digests)
    row = Body(
        request_id=body.request_id,
        side=body.side,
        content_type=body.content_type[:100],
        size=body.size,
        is_cut=body.is_cut or body.size > KEEP_BYTES,
        pieces="\n".join(lines),
        at=body.at,
    )
    with transaction.atomic(using="history"):
        lock_bodies()
        if Body.objects.filter(request_id=body.request_id, side=body.side).exists():
            return 0
        row.save()
        named = dict(zip(digests, pieces, strict=True))
        fresh, stored = _store_pieces(named | lists, body.at)
        brought = [named[digest] for digest in named if digest in fresh]
        return stored + len(row.pieces) + index_text(row.pk, words_of(brought, is_stream=body.is_stream))


def _store_pieces(pieces: dict[str, bytes], at: datetime) -> tuple[set[str], int]:
    """Store what is not there yet, and mark as used what is. The new ones, and the bytes that they take."""
    known = dict(BodyPiece.objects.filter(digest__in=pieces).values_list("digest", "last_used_at"))
    fresh = [_packed(digest, piece, at) for digest, piece in pieces.items() if digest not in known]
    BodyPiece.objects.bulk_create(fresh, batch_size=100)
    stale = [digest for digest, used_at in known.items() if used_at < at - TOUCH]
    BodyPiece.objects.filter(digest__in=stale).update(last_used_at=at)
    return {row.digest for row in fresh}, sum(row.stored for row in fresh)


def _packed(digest: str, piece: bytes, at: datetime) -> BodyPiece:
    data = zlib.compress(piece, 6)
    return BodyPiece(digest=digest, data=data, size=len(piece), stored=len(data), last_used_at=at)


body_store = BodyStore()
