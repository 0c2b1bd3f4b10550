"""Durations as people write and read them: `90d`, `12h`, `30m`, `45s`, `2w`; `11h 42m`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_DURATION = re.compile(r"(\d{1,5})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta | None:
    """The time that `text` stands for, or None if it is not a duration above zero."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        return None
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def how_long_ago(moment: datetime, now: datetime) -> str:
    """`3 days ago`, in its largest whole unit."""
    seconds = max(0, int((now - moment).total_seconds()))
    for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def span(seconds: float) -> str:
    """A time that is left, in its two largest units: `3d 4h`, `11h 42m`, `42m`, `30s`. Below zero is `0s`."""
    left = max(0, int(seconds))
    days, hours, minutes = left // 86_400, left % 86_400 // 3600, left % 3600 // 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m" if minutes else f"{left}s"
