"""What the history holds of one request, read from its database: a command for each look would take half a second."""

from __future__ import annotations

import time
from typing import Any

from tests.patchbay import Answer, Patchbay

SECONDS = 10.0


def recorded(patchbay: Patchbay, request: Answer | str, *columns: str) -> tuple[Any, ...]:
    """These columns of the record of a request, named by its answer or its id, once it is written."""
    statement = f"SELECT {', '.join(columns)} FROM analytics_requestrecord WHERE id = ?"
    name = request if isinstance(request, str) else request.headers["x-patchbay-request-id"]
    deadline = time.monotonic() + SECONDS
    while not (rows := patchbay.sql("history", statement, name)):
        assert time.monotonic() < deadline, f"request {name} left no record"
        time.sleep(0.02)
    return rows[0]


def outcomes_of(patchbay: Patchbay, model: str) -> list[str]:
    """How the requests that asked for this model ended."""
    statement = "SELECT outcome FROM analytics_requestrecord WHERE model_asked = ?"
    return [outcome for (outcome,) in patchbay.sql("history", statement, model)]
