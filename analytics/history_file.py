"""The history's SQLite file: how much of it is in use, and giving back what is not.

On PostgreSQL there is no such file, and the server keeps free room for the next rows: see analytics/postgres_size.py.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import connections

from analytics.postgres_size import rewrite_tables

STEP_PAGES = 1000
SPARE_PAGES = 2000
"""Free pages that may stay: the next records use them."""
_INCREMENTAL = 2


def file_bytes() -> int | None:
    """What the history takes in its file, free pages not counted; None where it has no file of its own."""
    if connections["history"].vendor != "sqlite":
        return None
    return (_pragma("page_count") - _pragma("freelist_count")) * _pragma("page_size")


def gives_back() -> bool:
    """Whether the file can shrink step by step: it was made so, or was rewritten by `rewrite_file()`."""
    return connections["history"].vendor == "sqlite" and _pragma("auto_vacuum") == _INCREMENTAL


def give_back_pages(pause: Callable[[], bool]) -> int:
    """Give free pages back to the file system, in small steps; `pause` between them says whether to stop. Pages."""
    given = 0
    if not gives_back():
        return given
    while (free := _pragma("freelist_count")) > SPARE_PAGES:
        with connections["history"].cursor() as cursor:
            cursor.execute(f"PRAGMA incremental_vacuum({min(STEP_PAGES, free - SPARE_PAGES)})")
            cursor.fetchall()  # a step of it per row
        given += free - _pragma("freelist_count")
        if pause():
            break
    return given


def rewrite_file() -> None:
    """Write the whole file anew, without gaps; from then on it can shrink. Nothing else is written meanwhile.

    On PostgreSQL the same for the tables: what was free goes back to the file system.
    """
    if connections["history"].vendor == "postgresql":
        rewrite_tables()
        return
    with connections["history"].cursor() as cursor:
        cursor.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
        cursor.execute("VACUUM")


def _pragma(name: str) -> int:
    with connections["history"].cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return int(cursor.fetchone()[0])
