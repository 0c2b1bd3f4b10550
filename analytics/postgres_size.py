"""How much the history holds on PostgreSQL, bodies not counted.

Deleting rows does not make a table smaller there: the server keeps the room for the next rows. What is counted is
therefore what the rows hold: how many there are, times what a row takes on average (PostgreSQL's own count of stored
bytes, compressed as they lie there), and indexes in the proportion that they have to the table. An estimate, never more
than what the tables take on disk. https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model

from analytics.models import Attempt, Body, BodyPiece, RequestRecord

ROW_BYTES = 28
"""Of each row beside its columns: header and line pointer.
https://www.postgresql.org/docs/current/storage-page-layout.html"""
SAMPLE_ROWS = 20_000
"""So many tell the average."""


def rows_bytes() -> int:
    """What records, sums and all that stands beside them hold."""
    return sum(_held(model)[1] for model in _models())


def record_bytes() -> int:
    """What one record holds on average, with its attempts; at least 1."""
    count, size = _held(RequestRecord)
    return max(1, (size + _held(Attempt)[1]) // max(1, count))


def rewrite_tables() -> None:
    """Write every table of the history anew, without gaps. Nothing can be read or written in it meanwhile."""
    names = connections["history"].introspection.table_names()
    _ask(f"VACUUM (FULL) {', '.join(_quoted(name) for name in names if name.startswith('analytics_'))}")


def _models() -> Iterator[type[Model]]:
    """All but those of bodies, which have a budget of their own."""
    for model in apps.get_app_config("analytics").get_models():
        if model not in (Body, BodyPiece):
            yield model


def _held(model: type[Model]) -> tuple[int, int]:
    """Rows of a table, and the bytes that they hold with their share of its indexes."""
    name = model._meta.db_table
    table = _quoted(name)
    [count] = _ask(f"SELECT count(*) FROM {table}")
    if not count:
        return 0, 0
    stored = " + ".join(
        f"coalesce(pg_column_size({_quoted(str(field.column))}), 0)"
        for field in model._meta.local_concrete_fields
    )
    share = min(100.0, 100 * SAMPLE_ROWS / count)
    average = f"SELECT avg({stored}) FROM {table}"
    [mean] = _ask(f"{average} TABLESAMPLE SYSTEM ({share})")
    if mean is None:  # no block that was drawn holds a row
        [mean] = _ask(f"SELECT avg({stored}) FROM (SELECT * FROM {table} LIMIT {SAMPLE_ROWS}) drawn")
    [alone, whole] = _ask(
        f"SELECT pg_table_size('{table}'::regclass), pg_total_relation_size('{table}'::regclass)"
    )
    return count, int(min(whole, count * (float(mean) + ROW_BYTES) * whole / alone))


def _quoted(name: str) -> str:
    return connections["history"].ops.quote_name(name)


def _ask(statement: str) -> Any:
    with connections["history"].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None
