"""Where the time of one request went, as bars of one picture. Pure: from the record and its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.models import Attempt, RequestRecord

Span = tuple[str, float, float, str]  # label, begin, end (ms since the request began), tone


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of a request. Times are milliseconds since it began; `x` and `width` percent of the whole."""

    label: str
    begin_ms: float
    end_ms: float
    tone: str
    whole_ms: float

    @property
    def took_ms(self) -> float:
        """How long it took."""
        return self.end_ms - self.begin_ms

    @property
    def x(self) -> float:
        """Where it begins, 0..100."""
        return round(100 * self.begin_ms / self.whole_ms, 3)

    @property
    def width(self) -> float:
        """How long it is, 0..100; never so short that it cannot be seen."""
        return max(0.4, round(100 * self.took_ms / self.whole_ms, 3))


def phases(row: RequestRecord, attempts: Sequence[Attempt]) -> list[Bar]:
    """The bars, from the top down. What took no time, or is not known, has none."""
    whole = max(row.duration_ms, row.ttft_ms or 0.0, row.ttfb_ms or 0.0, 0.001)
    bars = []
    for label, begin, end, tone in (
        *_before(row, attempts),
        *_failed(row, attempts),
        *_served(row, attempts),
    ):
        # Two clocks were read for these, so an end may lie a hair outside.
        begin, end = max(0.0, min(begin, whole)), max(0.0, min(end, whole))
        if end > begin:
            bars.append(Bar(label, begin, end, tone, whole))
    return [*bars, Bar("whole request", 0.0, whole, "whole", whole)]


def _before(row: RequestRecord, attempts: Sequence[Attempt]) -> Iterator[Span]:
    """What came before the first attempt. A later wait stands before the attempt that it led to."""
    first = _offset(row, attempts[0]) if attempts else row.duration_ms
    note = row.decision_note
    waits = [choice.waited_ms for choice in note.choices] if note else []
    queued, leased = (waits or [row.queued_ms or 0.0])[0], row.lease_ms or 0.0
    yield "choosing an account", first - queued - leased, first - queued, "own"
    yield "waiting for an account", first - queued, first, "wait"
    for attempt, waited in zip(attempts[1:], waits[1:], strict=False):
        begin = _offset(row, attempt)
        yield f"waiting before attempt {attempt.number}", begin - waited, begin, "wait"


def _failed(row: RequestRecord, attempts: Sequence[Attempt]) -> Iterator[Span]:
    for attempt in attempts[:-1]:
        begin = _offset(row, attempt)
        yield f"attempt {attempt.number}: {attempt.outcome}", begin, begin + attempt.duration_ms, "bad"


def _served(row: RequestRecord, attempts: Sequence[Attempt]) -> Iterator[Span]:
    """The phases of the last attempt."""
    if not attempts:
        return
    last = attempts[-1]
    begin = _offset(row, last)
    connected = begin + (row.connect_ms or 0.0)
    yield "connecting", begin, connected, "connect"
    if row.ttfb_ms is None or row.ttfb_ms < begin:
        yield f"attempt {last.number}: {last.outcome}", connected, begin + last.duration_ms, "bad"
        return
    content = row.ttfb_ms if row.ttft_ms is None else row.ttft_ms
    yield "until the first byte", connected, row.ttfb_ms, "upstream"
    yield "until the first content", row.ttfb_ms, content, "upstream"
    yield "the answer", content, row.duration_ms, "answer"


def _offset(row: RequestRecord, attempt: Attempt) -> float:
    return (attempt.started_at - row.started_at).total_seconds() * 1000
