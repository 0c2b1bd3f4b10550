"""Summaries as `/analytics` and `usage --json` tell them: camelCase, finite numbers, null for what is not known."""

from __future__ import annotations

from collections.abc import Mapping

from analytics.summary import Burn, Groups, Summary, Totals
from analytics.usage_sums import Sums


def window_json(summary: Summary, claims: Mapping[str, int]) -> dict[str, object]:
    """The span that was asked for. `claims`: requests by the window that governed them."""
    return {"minutes": summary.minutes} | totals_json(summary.totals, claims)


def totals_json(totals: Totals, claims: Mapping[str, int]) -> dict[str, object]:
    """Sums of all requests, with averages and percentiles in milliseconds."""
    found = totals.sums
    return {
        "requests": found.requests,
        "rejectedRequests": found.rejected,
        "totalInputTokens": found.input_tokens,
        "totalOutputTokens": found.output_tokens,
        "totalCacheReadTokens": found.cache_read_tokens,
        "totalCacheWriteTokens": found.cache_write_tokens,
        "totalReasoningTokens": found.reasoning_tokens,
        "estimatedCost": cost_json(found),
        "unpricedRequests": found.unpriced,
        "avgLatencyMs": ms(found.mean_ms),
        "p50LatencyMs": ms(totals.p50_ms),
        "p99LatencyMs": ms(totals.p99_ms),
        "avgTtftMs": ms(found.mean_ttft_ms),
        "errorRate": share(found.error_rate),
        "claimBreakdown": dict(claims),
    }


def group_json(found: Sums) -> dict[str, object]:
    """One account, model, backend or client key."""
    return {
        "requests": found.requests,
        "inputTokens": found.input_tokens,
        "outputTokens": found.output_tokens,
        "cacheReadTokens": found.cache_read_tokens,
        "cacheWriteTokens": found.cache_write_tokens,
        "estimatedCost": cost_json(found),
        "unpricedRequests": found.unpriced,
        "avgLatencyMs": ms(found.mean_ms or None),
        "errorRate": share(found.error_rate),
    }


def groups_json(groups: Groups) -> dict[str, object]:
    """The same by name."""
    return {name: group_json(found) for name, found in groups.items()}


def burn_json(found: Burn) -> dict[str, object]:
    """Tokens a minute, and US dollars an hour."""
    tokens, dollars = found.tokens_per_minute, found.dollars_per_hour
    return {
        "tokenBurnRate": None if tokens is None else round(tokens, 2),
        "costBurnRate": None if dollars is None else round(dollars, 6),
    }


def cost_json(found: Sums) -> float | None:
    """US dollars of what could be priced; null when nothing of it could."""
    return None if found.cost is None else round(float(found.cost), 8)


def ms(value: float | None) -> float | None:
    """Milliseconds to the tenth."""
    return None if value is None else round(value, 1)


def share(value: float | None) -> float | None:
    """0..1."""
    return None if value is None else round(value, 6)
