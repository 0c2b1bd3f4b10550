"""A record as scripts and people read it: the JSON of `history --json`, and one line."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from analytics.models import RequestRecord
from analytics.pricing import CostSource


def record_json(row: RequestRecord) -> dict[str, object]:
    """The fields of `history --json`, in their order. What a request never came to is null."""
    return {
        "id": row.id,
        "startedAt": iso(row.started_at),
        "durationMs": round(row.duration_ms, 1),
        "kind": row.kind or None,
        "status": row.status,
        "outcome": row.outcome,
        "protocol": row.protocol,
        "lane": row.lane or None,
        "stream": row.stream,
        "modelAsked": row.model_asked or None,
        "modelUsed": row.model_used or None,
        "backend": row.backend or None,
        "account": row.account or None,
        "key": row.key or None,
        "session": row.session or None,
        "attempts": row.attempts,
        **tokens_json(row),
        "usageSource": row.usage_source,
        "cost": None if row.cost is None else float(row.cost),
        "ttftMs": None if row.ttft_ms is None else round(row.ttft_ms, 1),
        "error": row.error or None,
    }


def tokens_json(row: RequestRecord) -> dict[str, object]:
    """Input includes cache reads and writes, output includes reasoning; null when nothing was reported."""
    return {
        "inputTokens": row.input_tokens,
        "outputTokens": row.output_tokens,
        "cacheReadTokens": row.cache_read_tokens,
        "cacheWriteTokens": row.cache_write_tokens,
        "reasoningTokens": row.reasoning_tokens,
    }


def record_line(row: RequestRecord) -> str:
    """One line: when, how it ended, what, where, how long, how many tokens, for how much, which id."""
    parts = [
        f"{row.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
        str(row.status or "---"),
        f"{row.outcome:<9}",
        row.kind or row.path or "-",
        model_text(row),
        "/".join(part for part in (row.backend, row.account) if part) or "-",
        f"{row.duration_ms:,.0f} ms",
        tokens_text(row),
        "" if row.cost is None else cost_text(row),
        f"key {row.key}" if row.key else "",
        f"{row.attempts} attempts" if row.attempts > 1 else "",
        row.id,
        row.error[:200],
    ]
    return "  ".join(part for part in parts if part)


def model_text(row: RequestRecord) -> str:
    """`asked → used`, or the one name, or `-`."""
    if row.model_used and row.model_used != row.model_asked:
        return f"{row.model_asked} → {row.model_used}"
    return row.model_asked or "-"


def tokens_text(row: RequestRecord) -> str:
    """`12 in, 34 out`; `~` marks an estimate; empty without usage."""
    if row.input_tokens is None and row.output_tokens is None:
        return ""
    about = "~" if row.usage_source == "estimated" else ""
    return f"{about}{row.input_tokens or 0} in, {row.output_tokens or 0} out"


def cost_text(row: RequestRecord) -> str:
    """`$0.0207`, `~$0.0207` for an estimate, `unpriced`; empty when nothing was served."""
    if row.cost is None:
        return row.cost_source or ""
    return ("~" if row.cost_source == CostSource.ESTIMATED else "") + dollars(row.cost)


def dollars(amount: Decimal) -> str:
    """All its decimals, two at least: a single request often costs a fraction of a cent."""
    whole, _, decimals = f"{amount:,.8f}".partition(".")
    return f"${whole}.{decimals.rstrip('0').ljust(2, '0')}"


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
