"""What the answer to one attempt shows about its account, for the pool. Pure tables.

Rule: an error that the request itself caused, and a 403, say nothing about the account; they bench nobody.
"""

from __future__ import annotations

import msgspec

from accounts.reports import Report, Result
from backends.wire.errors import ApiError
from backends.wire.limits import NO_LIMITS, Limits

_OVERLOADED = frozenset((503, 529))
_BROKEN = frozenset(("tls_failed", "address_refused"))
# Providers that have no status of their own for "nothing left to spend" say it by a code or a type, …
_QUOTA_CODES = frozenset(
    (
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "exceeded_current_quota_error",
        "enforced_spend_limit_reached",
    )
)
# … or in words. Only at the very start: further on, a message may repeat what the client wrote.
_QUOTA_WORDS = (
    "your credit balance is too low",
    "you exceeded your current quota",
    "insufficient credits",
    "insufficient balance",
)


def answered(status: int, error: ApiError | None, limits: Limits) -> Report:
    """An HTTP answer with what its error says, or the error inside a 2xx one under the status it stands for."""
    if 200 <= status < 300:
        return Report(Result.SERVED, limits)
    if status == 402 or (status in (400, 403, 429) and error is not None and is_out_of_quota(error)):
        return Report(Result.QUOTA, limits, f"out of quota or credit{_brief(error)}")
    if status == 429:
        return Report(Result.LIMITED, limits)
    if status == 401:
        return Report(Result.REFUSED, limits, "the provider refused the credential (401)")
    if status in _OVERLOADED:
        return Report(Result.OVERLOADED, limits, f"overloaded ({status})")
    if status >= 500:
        return Report(Result.FAULT, limits, f"answered {status} several times")
    return Report(Result.NEUTRAL, limits)


def unanswered(code: str, limits: Limits = NO_LIMITS) -> Report:
    """No answer, or one that cannot be used. `code` is the attempt's."""
    if code == "header_refused":
        return Report(Result.NEUTRAL, limits)
    result = Result.BROKEN if code in _BROKEN else Result.FAULT
    return Report(result, limits, f"cannot be reached ({code})")


def of_count(report: Report) -> Report:
    """What an answer to `count_tokens` shows: its limits are its own, apart from those of messages.

    Source: Anthropic's documentation of token counting ("separate and independent rate limits").
    """
    if report.result in (Result.SERVED, Result.LIMITED):
        return Report(Result.NEUTRAL)
    return msgspec.structs.replace(report, limits=NO_LIMITS)


def is_out_of_quota(error: ApiError) -> bool:
    """Whether an error speaks of money or quota, not of a rate."""
    return (
        error.code in _QUOTA_CODES
        or error.type in _QUOTA_CODES
        or error.message.lstrip().lower().startswith(_QUOTA_WORDS)
    )


def _brief(error: ApiError | None) -> str:
    return f": {' '.join(error.message.split())[:120]}" if error is not None else ""
