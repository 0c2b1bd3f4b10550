"""The history's lock in somebody else's hands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections


@contextmanager
def history_is_locked() -> Iterator[None]:
    """Another connection holds the write lock: of SQLite's file, or of the records' table. Reading goes on."""
    blocker = connections["history"].copy()
    is_file = blocker.vendor == "sqlite"
    begin = "BEGIN IMMEDIATE" if is_file else "BEGIN; LOCK TABLE analytics_requestrecord IN EXCLUSIVE MODE"
    try:
        with blocker.cursor() as cursor:
            cursor.execute(begin)
            yield
            cursor.execute("ROLLBACK")
    finally:
        blocker.close()


def wait_briefly(milliseconds: int) -> None:
    """This thread's connection gives up on a lock after so long."""
    name = "PRAGMA busy_timeout" if connections["history"].vendor == "sqlite" else "SET lock_timeout"
    with connections["history"].cursor() as cursor:
        cursor.execute(f"{name} = {milliseconds}")
