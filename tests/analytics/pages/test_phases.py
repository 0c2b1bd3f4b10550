"""The picture of where a request's time went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.decision import ChoiceNote, DecisionNote
from analytics.models import Attempt, RequestRecord
from analytics.pages.phases import phases

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def record(**fields: Any) -> RequestRecord:
    return RequestRecord(**({"id": "r", "started_at": START, "duration_ms": 1000.0} | fields))


def attempt(number: int, at_ms: float, **fields: Any) -> Attempt:
    plain = {"duration_ms": 100.0, "backend": "b", "account": "a", "model": "m", "outcome": "ok"}
    return Attempt(number=number, started_at=START + timedelta(milliseconds=at_ms), **(plain | fields))


def spans(row: RequestRecord, *attempts: Attempt) -> dict[str, tuple[float, float]]:
    return {bar.label: (round(bar.begin_ms, 3), round(bar.end_ms, 3)) for bar in phases(row, attempts)}


def test_a_plain_request() -> None:
    row = record(queued_ms=50, lease_ms=2, connect_ms=10, ttfb_ms=300, ttft_ms=400)
    assert spans(row, attempt(1, 60)) == {
        "choosing an account": (8, 10),
        "waiting for an account": (10, 60),
        "connecting": (60, 70),
        "until the first byte": (70, 300),
        "until the first content": (300, 400),
        "the answer": (400, 1000),
        "whole request": (0, 1000),
    }


def test_a_failover_shows_the_failed_attempt_and_the_wait_after_it() -> None:
    choices = tuple(ChoiceNote("b", "m", "headroom", "a", "", waited_ms=waited) for waited in (0, 200))
    row = record(ttfb_ms=700, decision=DecisionNote("alias", "", choices).as_json())
    found = spans(row, attempt(1, 5, outcome="status_500"), attempt(2, 400))
    assert found["attempt 1: status_500"] == (5, 105)
    assert found["waiting before attempt 2"] == (200, 400)
    assert found["until the first byte"] == (400, 700)


def test_a_request_that_was_never_answered() -> None:
    assert spans(record(), attempt(1, 10, outcome="connect_refused", duration_ms=20)) == {
        "attempt 1: connect_refused": (10, 30),
        "whole request": (0, 1000),
    }
    assert spans(record()) == {"whole request": (0, 1000)}


def test_bars_lie_within_the_picture() -> None:
    row = record(duration_ms=0.0, ttfb_ms=5.0, queued_ms=9)
    for bar in phases(row, [attempt(1, -3), attempt(2, 2)]):
        assert 0 <= bar.x <= 100
        assert 0 < bar.width <= 100
