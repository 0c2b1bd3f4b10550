"""From a finished draft to the columns of its rows: clamped, redacted, storable in every database."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from accounts.redact import redact
from analytics.decision import DecisionNote
from analytics.drafts import AttemptDraft, Outcome, RecordDraft
from analytics.pricing import CostSource, cost_of, cost_source
from backends.prices import NO_PRICES, PriceBook
from backends.wire.kinds import Kind

Value = str | int | float | Decimal | datetime | None
Row = dict[str, Value]  # by column: the names of the model's fields
_MAX_INT = 2**63 - 1


def record_row(draft: RecordDraft, prices: PriceBook = NO_PRICES) -> Row:
    """Column names and values of a request's record. `prices`: the operator's own."""
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
        "provider": _text(draft.provider, 32),
        "key": draft.key,
        "session": _text(draft.session, 80),
        "session_source": _text(draft.session_source, 16),
        "agent": _text(draft.agent, 80),
        "parent_agent": _text(draft.parent_agent, 80),
        "attempts": len(draft.attempts),
        **_phase_columns(draft),
        "request_bytes": draft.request_bytes,
        "response_bytes": draft.response_bytes,
        "decision": _decision(draft),
        "mutations": ", ".join(draft.mutations),
        "lost": _text(", ".join(draft.lost), 2000),
        "error": _text(redact(draft.error), 2000),
        "alarm": draft.alarm or None,
        "method": _text(draft.method, 8),
        "path": _text(draft.path, 200),
        "client": _text(draft.client, 200),
        **_usage_columns(draft, prices),
    }


def _phase_columns(draft: RecordDraft) -> Row:
    return {
        "queued_ms": draft.queued_s * 1000 if draft.choices else None,
        "lease_ms": draft.lease_ms,
        "connect_ms": draft.connect_ms,
        "ttfb_ms": draft.ttfb_ms,
        "ttft_ms": draft.ttft_ms,
        "overhead_ms": draft.overhead_ms,
    }


def _usage_columns(draft: RecordDraft, prices: PriceBook) -> Row:
    usage = draft.usage
    cost, known_by = _cost(draft, prices)
    return {
        "fresh_input_tokens": _count(usage.fresh_input) if usage else None,
        "cache_read_tokens": _count(usage.cache_read) if usage else None,
        "cache_write_5m_tokens": _count(usage.cache_write_5m) if usage else None,
        "cache_write_1h_tokens": _count(usage.cache_write_1h) if usage else None,
        "output_tokens": _count(usage.output) if usage else None,
        "reasoning_tokens": _count(usage.reasoning) if usage else None,
        "usage_source": _usage_source(draft),
        "raw_usage": _text(usage.raw.decode("utf-8", "replace"), 4000) if usage else "",
        "cost": cost,
        "cost_source": known_by,
    }


def _usage_source(draft: RecordDraft) -> str:
    """What a provider reported before a stream was cut is a lower bound, so it counts as an estimate."""
    if draft.usage is None:
        return "none"
    return "reported" if draft.usage_is_final else "estimated"


def _cost(draft: RecordDraft, prices: PriceBook) -> tuple[Decimal | None, str]:
    """The cost, and how far it can be relied on. What was never served has nothing to price."""
    if draft.usage is None:
        return None, CostSource.UNPRICED.value if _was_served(draft) else ""
    cost = cost_of(
        draft.model_used, draft.provider, draft.usage, draft.started_at, backend=draft.backend, own=prices
    )
    return cost, cost_source(cost, is_final=draft.usage_is_final).value


def _was_served(draft: RecordDraft) -> bool:
    """Whether a provider may have done billed work. Counting tokens is free."""
    failed = draft.outcome in (None, Outcome.ERROR, Outcome.REJECTED)
    return bool(draft.attempts) and not failed and draft.kind is not Kind.COUNT_TOKENS


def _decision(draft: RecordDraft) -> str:
    """The decision as JSON, without secrets; empty when the request never came to one."""
    if not draft.rule and not draft.choices:
        return ""
    note = DecisionNote(draft.rule, draft.route_reason, tuple(draft.choices))
    if any(redact(words) != words for words in note.words()):
        note = note.mapped(redact)
    return note.as_json()


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
    if not value:
        return ""
    value = value[:limit]
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _count(value: int) -> int:
    return max(0, min(value, _MAX_INT))
