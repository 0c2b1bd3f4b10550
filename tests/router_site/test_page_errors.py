"""What a page says when its request failed: 503 where a database cannot be used, 500 where the fault is ours."""

from __future__ import annotations

import sqlite3

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, ProgrammingError
from django.test import RequestFactory

from router_site.page_errors import failed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("attempt to write a readonly database"), 503),
        (DatabaseError("database disk image is malformed"), 503),
        (IntegrityError("NOT NULL constraint failed: accounts_account.uid"), 500),
        (ProgrammingError("Incorrect number of bindings supplied"), 500),
        (sqlite3.OperationalError("of a connection of our own"), 500),
        (ValueError("a bug"), 500),
    ],
)
def test_only_a_database_that_cannot_be_used_is_a_503(error: Exception, status: int) -> None:
    try:
        raise error
    except Exception:  # as Django calls it
        page = failed(RequestFactory().get("/dashboard/"))
    assert page.status_code == status
    assert (str(error).encode() in page.content) is (status == 503)
