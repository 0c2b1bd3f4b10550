"""How the windows of an account were used over the last days, as columns for a chart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.windows import is_quota
from analytics.models import WindowSample

SLOTS = 288  # of five minutes in a day, of 35 in a week
DAYS = (1, 7, 30)
LEAD = timedelta(days=1)  # what was noted before the chart begins still holds when it begins


@dataclass(frozen=True, slots=True)
class Noted:
    """One sample."""

    at: datetime
    used: float
    resets_at: datetime | None


def window_curves(account: str, days: int, now: datetime) -> dict[str, object]:
    """For the chart: the moments in seconds, then a column for each quota, for each rate if that is all. One query."""
    since = now - timedelta(days=days)
    rows = WindowSample.objects.filter(account=account, at__gte=since - LEAD, at__lte=now).order_by("at")
    windows: dict[str, list[Noted]] = {}
    noted = rows.values_list("window", "model_class", "at", "used", "resets_at")
    for window, models, at, used, resets_at in noted:
        tells = not models or window.endswith(f"_{models}")
        windows.setdefault(window if tells else f"{window} {models}", []).append(Noted(at, used, resets_at))
    moments = [since + (now - since) * slot / SLOTS for slot in range(SLOTS + 1)]
    times = [round(moment.timestamp()) for moment in moments]
    quotas = {name for name in windows if is_quota(name)}
    columns = {name: held(windows[name], moments) for name in sorted(quotas or windows)}
    shown = {name: column for name, column in columns.items() if any(used is not None for used in column)}
    return {
        "data": [times, *shown.values()],
        "series": list(shown),
        "range": [times[0], times[-1]],
        "step": 86_400 if days > 7 else 3600,
    }


def held(samples: Iterable[Noted], moments: Iterable[datetime]) -> list[float | None]:
    """The share used at each moment: a sample holds until the next, or falls to nothing at its reset."""
    column: list[float | None] = []
    left = iter(samples)
    ahead, current = next(left, None), None
    for moment in moments:
        while ahead is not None and ahead.at <= moment:
            current, ahead = ahead, next(left, None)
        if current is None:
            column.append(None)
        elif current.resets_at is not None and current.resets_at <= moment:
            column.append(0.0)
        else:
            column.append(round(min(1.0, current.used), 4))
    return column
