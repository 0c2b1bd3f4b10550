"""From a finished draft to the columns of its rows: clamped, redacted, storable in every database."""

from __future__ import annotations

from datetime import datetime

from accounts.redact import redact
from analytics.drafts import AttemptDraft, RecordDraft

Value = str | int | float | datetime | None
Row = dict[str, Value]  # by column: the names of the model's fields
_MAX_INT = 2**63 - 1


def record_row(draft: RecordDraft) -> Row:
    """Column names and values of a request's record."""
    usage = draft.usage
    return {
        "id": draft.id,
        "started_at": draft.started_at,
        "duration_ms": draft.duration_ms,
        "kind": draft.kind.value if draft.kind else "",
        "status": draft.status,
        "outcome": draft.outcome.value if draft.outcome else "error",
        "protocol": draft.protocol.value,
        "lane": draft.lane,
        "stream": draft.stream,
        "model_asked": _text(draft.model_asked, 200),
        "model_used": _text(draft.model_used, 200),
        "backend": draft.backend,
        "account": draft.account,
        "key": draft.key,
        "session": _text(draft.session, 80),
        "attempts": len(draft.attempts),
        "fresh_input_tokens": _count(usage.fresh_input) if usage else None,
        "cache_read_tokens": _count(usage.cache_read) if usage else None,
        "cache_write_5m_tokens": _count(usage.cache_write_5m) if usage else None,
        "cache_write_1h_tokens": _count(usage.cache_write_1h) if usage else None,
        "output_tokens": _count(usage.output) if usage else None,
        "reasoning_tokens": _count(usage.reasoning) if usage else None,
        "usage_source": _usage_source(draft),
        "raw_usage": _text(usage.raw.decode("utf-8", "replace"), 4000) if usage else "",
        "connect_ms": draft.connect_ms,
        "ttfb_ms": draft.ttfb_ms,
        "ttft_ms": draft.ttft_ms,
        "overhead_ms": draft.overhead_ms,
        "mutations": ", ".join(draft.mutations),
        "lost": _text(", ".join(draft.lost), 2000),
        "error": _text(redact(draft.error), 2000),
        "method": _text(draft.method, 8),
        "path": _text(draft.path, 200),
        "client": _text(draft.client, 200),
    }


def _usage_source(draft: RecordDraft) -> str:
    """What a provider reported before a stream was cut is a lower bound, so it counts as an estimate."""
    if draft.usage is None:
        return "none"
    return "reported" if draft.usage_is_final else "estimated"


def attempt_row(request_id: str, number: int, attempt: AttemptDraft) -> Row:
    """Column names and values of one attempt."""
    return {
        "request_id": request_id,
        "number": number,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "backend": attempt.backend,
        "account": attempt.account,
        "model": _text(attempt.model, 200),
        "status": attempt.status,
        "outcome": attempt.outcome[:32],
        "verdict": attempt.verdict,
        "error": _text(redact(attempt.error), 2000),
    }


def _text(value: str, limit: int) -> str:
    """What every database can store: no NUL, no lone surrogate, at most `limit` characters."""
    value = value[:limit]
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _count(value: int) -> int:
    return max(0, min(value, _MAX_INT))
