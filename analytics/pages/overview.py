"""The overview: is it working, what does it cost, how much is left."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from analytics.pages.forecast_marks import account_gauges
from analytics.pages.frame import show_fresh, staff_page
from analytics.pages.live_state import live_state
from analytics.pages.queries import (
    DIMENSIONS,
    PERIODS,
    Period,
    bars,
    last_failures,
    latency,
    period_of,
    ranked,
    spent,
    top_sessions,
)
from analytics.usage_sums import Sums, sums


@staff_page
def overview_page(request: HttpRequest) -> HttpResponseBase:
    """The page, and the part of it that renews itself."""
    period = period_of(request.GET.get("period", ""))
    return show_fresh(request, "dashboard/overview.html", "overview", overview(period, timezone.now()))


def overview(period: Period, now: datetime) -> dict[str, Any]:
    """Everything that the page shows. Eight queries."""
    since = period.since(now)
    groups = sums(since, None, DIMENSIONS)
    state = live_state()
    return {
        "period": period,
        "periods": PERIODS.values(),
        "total": added(groups),
        "latency": latency(since),
        "spent": spent(now),
        "state": state,
        "gauges": account_gauges(state.accounts),
        "charts": chart_data(period, bars(period, now)),
        "top": {name: ranked(groups, index) for index, name in enumerate(DIMENSIONS)},
        "sessions": top_sessions(since),
        "failures": last_failures(now),
    }


def added(groups: list[Sums]) -> Sums:
    """All of them in one."""
    total = Sums()
    for group in groups:
        total.add(group)
    return total


def chart_data(period: Period, found: list[tuple[datetime, Sums]]) -> dict[str, Any]:
    """Columns for the charts: the first is the moment in seconds; a bar whose requests are all unpriced has no cost."""
    times = [int(at.timestamp()) for at, _ in found]
    return {
        "requests": {
            "step": period.hours * 3600,
            "data": [
                times,
                [s.reached - s.errors for _, s in found],
                [s.rejected for _, s in found],
                [s.errors for _, s in found],
            ],
            "series": ["answered", "rejected", "failed"],
        },
        "cost": {
            "step": period.hours * 3600,
            "data": [times, [None if s.cost is None else float(s.cost) for _, s in found]],
            "series": ["US dollars"],
        },
    }
