"""Why a database refuses rows: whether the same rows are worth another try, or are themselves at fault."""

from __future__ import annotations

import sqlite3

from django.db import DatabaseError, InterfaceError, OperationalError

ROW_FAULTS = ("22", "23", "42", "54")
"""Classes of PostgreSQL's codes that blame the row: data, integrity, the statement, limits such as of an index entry.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""
SCHEMA_FAULTS = ("42P01", "42703", "42501")
"""But not these: a table or a column that is not there, and a right that is missing."""
LOCK_NOT_AVAILABLE = "55P03"


def is_unavailable(exc: DatabaseError) -> bool:
    """Locked, full, read-only, gone, damaged: worth trying again with the same rows.

    PostgreSQL says so by its code: the exception's class does not tell a standby that takes no rows from a bug. SQLite
    tells of a damaged file with the plain class, which no fault of a row has.
    """
    if code := _postgres_code(exc):
        return code in SCHEMA_FAULTS or not code.startswith(ROW_FAULTS)
    return isinstance(exc, OperationalError | InterfaceError) or type(exc) is DatabaseError


def is_busy(exc: DatabaseError | None) -> bool:
    """Whether somebody else holds the lock."""
    if exc is None:
        return False
    code = getattr(exc.__cause__, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY or _postgres_code(exc) == LOCK_NOT_AVAILABLE


def _postgres_code(exc: DatabaseError) -> str:
    return str(getattr(exc.__cause__, "sqlstate", None) or "")
