"""Letting bodies go: the oldest first, and with them the pieces that no other body names.

Rule: pieces go by one inequality. Storing keeps `last_used_at` at most `older_by` behind the newest body that names a
piece, so a piece that is more than `older_by` older than the oldest body left is named by none that is left.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connections, transaction
from django.db.models import Min, QuerySet, Sum
from django.db.models.functions import Length

from analytics.bodies.search import forget_texts, text_bytes
from analytics.models import Body, BodyPiece

FIRST_BODIES, BATCH_BODIES = 10, 200
BATCH_PIECES = 1000
_LOCK = 7_214_663_001  # any number of our own


def lock_bodies() -> None:
    """Keep writers and cleaners of bodies apart, to the end of the transaction. SQLite does so by itself."""
    connection = connections["history"]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def used_bytes() -> int:
    """What the bodies take: pieces, lists of pieces and texts to search; tables and indexes not counted."""
    pieces = BodyPiece.objects.aggregate(total=Sum("stored"))["total"] or 0
    lists = Body.objects.aggregate(total=Sum(Length("pieces")))["total"] or 0
    return int(pieces) + int(lists) + text_bytes()


def free_bodies(wanted: int, *, older_by: timedelta) -> int:
    """Let the oldest bodies go until this many bytes are free. How many bodies went.

    A few at first; then as many as the bytes that they freed let expect, since turns of a conversation share much.
    """
    gone = freed = 0
    batch = FIRST_BODIES
    while freed < wanted:
        count, size = _drop(Body.objects.all(), batch, older_by)
        if not count:
            break
        gone, freed = gone + count, freed + size
        batch = min(BATCH_BODIES, 1 + max(0, wanted - freed) * gone // max(1, freed))
    return gone


def drop_old_bodies(before: datetime, *, older_by: timedelta) -> int:
    """Let the oldest bodies from before this moment go, one batch of them. How many went."""
    return _drop(Body.objects.filter(at__lt=before), BATCH_BODIES, older_by)[0]


def _drop(rows: QuerySet[Body], limit: int, older_by: timedelta) -> tuple[int, int]:
    """One batch of bodies and what only they needed: how many, and the bytes that they took."""
    with transaction.atomic(using="history"):
        lock_bodies()
        oldest = dict(rows.order_by("at", "id").values_list("id", Length("pieces"))[:limit])
        freed = sum(oldest.values()) + forget_texts(list(oldest))
        Body.objects.filter(pk__in=oldest).delete()
    return len(oldest), freed + _drop_pieces(older_by)


def _drop_pieces(older_by: timedelta) -> int:
    """Pieces that no body names any more. The bytes that they took."""
    freed = 0
    while True:
        with transaction.atomic(using="history"):
            lock_bodies()
            found = _unused(older_by)
            BodyPiece.objects.filter(pk__in=found).delete()
        freed += sum(found.values())
        if len(found) < BATCH_PIECES:
            return freed


def _unused(older_by: timedelta) -> dict[str, int]:
    oldest = Body.objects.aggregate(at=Min("at"))["at"]
    rows = BodyPiece.objects.filter(last_used_at__lt=oldest - older_by) if oldest else BodyPiece.objects.all()
    return dict(rows.order_by("last_used_at").values_list("digest", "stored")[:BATCH_PIECES])
