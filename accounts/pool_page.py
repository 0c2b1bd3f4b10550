"""What an account's admin page shows of the pool: windows, benches and money, as last written down.

The running server holds the live state; these rows follow it by a moment.
"""

from __future__ import annotations

from datetime import datetime

from accounts.listing import benches_in_force
from accounts.models import Account, Bench, Spend, Window
from backends.durations import how_long_ago, span


def pool_page(row: Account, now: datetime) -> dict[str, object]:
    """Rows for the template, in words for people."""
    return {
        "windows": [_window(window, now) for window in Window.objects.filter(account=row)],
        "benches": [_bench(bench, now) for bench in benches_in_force().filter(account=row)],
        "spends": _spends(row, now),
    }


def _window(window: Window, now: datetime) -> dict[str, object]:
    is_over = window.resets_at is not None and window.resets_at <= now
    return {
        "name": window.name,
        "models": window.model_class or "every model",
        "used": f"{window.utilization:.0%}",
        "left": "" if window.remaining is None else f"{window.remaining} of {_known(window.limit)}",
        "resets": _until(window.resets_at, now),
        "observed": how_long_ago(window.observed_at, now),
        "state": "over" if is_over else "rejected" if window.is_rejected else "",
    }


def _bench(bench: Bench, now: datetime) -> dict[str, object]:
    return {
        "kind": bench.kind,
        "models": bench.model_class or "every model",
        "reason": bench.reason,
        "strikes": bench.strikes,
        "since": how_long_ago(bench.since, now),
        "next_try": _until(bench.until, now),
    }


def _spends(row: Account, now: datetime) -> list[dict[str, object]]:
    """Money of this UTC day and month, beside its limit."""
    periods = (
        (f"{now:%Y-%m-%d}", "today", row.daily_limit),
        (f"{now:%Y-%m}", "this month", row.monthly_limit),
    )
    amounts = dict(Spend.objects.filter(account=row).values_list("period", "amount"))
    return [
        {
            "period": name,
            "amount": f"${amounts.get(period, 0):.2f}",
            "limit": "no limit" if limit is None else f"of ${limit:.2f}",
        }
        for period, name, limit in periods
    ]


def _until(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "unknown"
    return f"in {span((moment - now).total_seconds())}" if moment > now else "now"


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)
