"""Rows for the tests of sums, and the sums added up the slow way."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from analytics.drafts import AttemptDraft, Outcome, RecordDraft, new_request_id
from analytics.models import RequestRecord, SessionRow, UsageDay, UsageHour
from analytics.rollups import COUNTERS, SESSION_COUNTERS
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage

USAGE = Usage(1000, 100, 20, 10, 200, 50, b"{}")
AT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


def draft(
    outcome: Outcome = Outcome.OK, *, at: datetime = AT, usage: Usage | None = USAGE, **fields: Any
) -> RecordDraft:
    """A draft that has ended."""
    plain = {
        "model_asked": "fast",
        "model_used": "gpt-4o",
        "backend": "openai",
        "account": "work",
        "provider": "openai",
        "key": "laptop",
        "session": "s1",
        "client": "test/1",
        "ttft_ms": 20.0,
    }
    made = RecordDraft(new_request_id(), Protocol.OPENAI, Kind.CHAT, started_at=at)
    for name, value in (plain | fields).items():
        setattr(made, name, value)
    if outcome is not Outcome.REJECTED:
        made.usage = usage
        made.attempts = [AttemptDraft("openai", "work", "gpt-4o")]
    made.end(outcome)
    return made


def slow_sums() -> dict[str, Any]:
    """What the sums must be, from the records one by one."""
    found: Counter[str] = Counter()
    for row in RequestRecord.objects.all():
        is_rejected = row.outcome == "rejected"
        found["requests"] += 1
        found["errors"] += row.outcome in ("error", "truncated", "shutdown")
        found["rejected"] += is_rejected
        found["priced"] += row.cost is not None
        found["unpriced"] += row.cost_source == "unpriced"
        found["estimated"] += row.usage_source == "estimated"
        for name in ("fresh_input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"):
            found[name] += getattr(row, name) or 0
        found["cache_write_tokens"] += row.cache_write_tokens or 0
        found["ttft_count"] += row.ttft_ms is not None and not is_rejected
    exact = {name: found[name] for name in COUNTERS if name not in ("cost", "duration_ms", "ttft_ms")}
    cost = sum((row.cost or Decimal(0) for row in RequestRecord.objects.all()), Decimal(0))
    return exact | {"cost": cost}


def kept_sums(model: type[UsageHour] | type[UsageDay] = UsageDay) -> dict[str, Any]:
    """What the rollups say, added up."""
    names = [name for name in COUNTERS if name not in ("duration_ms", "ttft_ms")]
    rows = list(model.objects.all())
    return {name: sum((getattr(row, name) for row in rows), Decimal(0)) for name in names}


def session_sums() -> dict[str, dict[str, Any]]:
    """By session."""
    return {
        row.pk: {name: getattr(row, name) for name in SESSION_COUNTERS} for row in SessionRow.objects.all()
    }
