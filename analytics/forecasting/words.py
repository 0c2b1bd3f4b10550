"""Forecasts as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analytics.forecasting.stored import Foretold
from backends.durations import span

TOO_LITTLE = "too little data"


@dataclass(frozen=True, slots=True)
class Words:
    """One window's cells: what is used, how fast, and what becomes of it."""

    account: str
    name: str
    used: str
    burn: str
    outlook: str
    resets: str


def words_of(found: Foretold, now: datetime) -> Words:
    """All of it in words."""
    burn, resets_at = found.forecast.burn, found.window.resets_at
    return Words(
        found.account,
        found.name,
        f"{found.used:.0%}",
        "" if burn is None else f"{burn * 60:.1%} an hour",
        outlook(found, now),
        f"in {_in(resets_at, now)}" if resets_at else "unknown",
    )


def outlook(found: Foretold, now: datetime) -> str:
    """`spent in 1h 12m`, `lasts until its reset`, or that it cannot be told."""
    if found.used >= 1:
        return "spent"
    if found.exhausts_at is not None:
        return f"spent in {_in(found.exhausts_at, now)}"
    return "lasts until its reset" if found.forecast.outlasts_reset else TOO_LITTLE


def _in(moment: datetime, now: datetime) -> str:
    return span(max(0.0, (moment - now).total_seconds()))
