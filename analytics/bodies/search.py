"""Finding bodies by their words: SQLite's FTS5, or a text index of PostgreSQL.

Rule: a body is found by what it was the first to bring. A message that every later turn of a conversation repeats is
found where it first stood, and a search answers with that request.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import cache

from django.db import connections

MAX_WORDS = 12
_WORD = re.compile(r"[^\W_]+")
_INDEX = "INSERT INTO analytics_bodysearch (rowid, text) VALUES (%s, %s)"
_FORGET = "INSERT INTO analytics_bodysearch (analytics_bodysearch, rowid, text) VALUES ('delete', %s, %s)"
_FIND_SQLITE = (
    "SELECT body.request_id FROM analytics_bodysearch found JOIN analytics_body body ON body.id = found.rowid"
    " WHERE analytics_bodysearch MATCH %s ORDER BY found.rowid DESC LIMIT %s"
)
_FIND_POSTGRESQL = (
    "SELECT body.request_id FROM analytics_bodytext found JOIN analytics_body body ON body.id = found.body_id"
    " WHERE to_tsvector('simple', found.text) @@ plainto_tsquery('simple', %s)"
    " ORDER BY found.body_id DESC LIMIT %s"
)
NO_SEARCH = (
    "Bodies cannot be searched: the SQLite of this Python has no FTS5. Use a Python whose SQLite has it, then run"
    " `python manage.py migrate analytics 0004 --database history` and `python manage.py migrate --database history`."
)


def search_problem() -> str:
    """Why bodies cannot be searched, in words; "" when they can."""
    connection = connections["history"]
    has_index = "analytics_bodytext" in connection.introspection.table_names()
    return "" if has_index and (connection.vendor != "sqlite" or _has_fts5()) else NO_SEARCH


@cache
def _has_fts5() -> bool:
    """Whether this Python's SQLite was built with it: a history can come from another machine."""
    with connections["history"].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'")
        return cursor.fetchone() is not None


def search_bodies(text: str, limit: int = 100) -> list[str]:
    """The ids of requests with a kept body that brought all these words, newest first; at most `limit`.

    Words as people see them: letters and digits, without regard to case and accents. None without a search index.
    """
    words = _WORD.findall(text)[:MAX_WORDS]
    if not words or search_problem():
        return []
    connection = connections["history"]
    is_sqlite = connection.vendor == "sqlite"
    wanted = " ".join(f'"{word}"' for word in words) if is_sqlite else " ".join(words)
    with connection.cursor() as cursor:
        cursor.execute(_FIND_SQLITE if is_sqlite else _FIND_POSTGRESQL, [wanted, 2 * limit])
        found = [row[0] for row in cursor.fetchall()]
    return list(dict.fromkeys(found))[:limit]


def index_text(body_id: int, text: str) -> int:
    """Let a body be found by a text. Bytes that it takes, the index itself left out."""
    if not text or search_problem():
        return 0
    connection = connections["history"]
    with connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute("INSERT INTO analytics_bodytext (body_id, text) VALUES (%s, %s)", [body_id, text])
            return len(text.encode())
        packed = zlib.compress(text.encode(), 6)
        cursor.execute("INSERT INTO analytics_bodytext (body_id, text) VALUES (%s, %s)", [body_id, packed])
        cursor.execute(_INDEX, [body_id, text])
    return len(packed)


def forget_texts(body_ids: Sequence[int]) -> int:
    """Take bodies out of the index. Bytes that this frees, the index itself left out."""
    if not body_ids or search_problem():
        return 0
    connection = connections["history"]
    marks = ", ".join(["%s"] * len(body_ids))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT body_id, text FROM analytics_bodytext WHERE body_id IN ({marks})", body_ids)
        rows = cursor.fetchall()
        if (
            connection.vendor == "sqlite"
        ):  # FTS5 takes a text out of a contentless index when told what it was
            cursor.executemany(_FORGET, [(id_, zlib.decompress(packed).decode()) for id_, packed in rows])
        cursor.execute(f"DELETE FROM analytics_bodytext WHERE body_id IN ({marks})", body_ids)
    return sum(len(text) for _, text in rows)


def text_bytes() -> int:
    """What the texts take."""
    if search_problem():
        return 0
    with connections["history"].cursor() as cursor:
        cursor.execute("SELECT COALESCE(SUM(LENGTH(text)), 0) FROM analytics_bodytext")
        return int(cursor.fetchone()[0])
