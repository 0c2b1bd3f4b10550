"""The limits of accounts as gauges: what is used, how much of the time is over, where it will be at the reset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.forecast import hours_of
from accounts.pool_view import AccountView
from accounts.windows import OVERAGE, WindowState, is_quota

HIGH, LOW = 0.9, 0.7


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a forecast says of one window; None where it says nothing.

    `at_reset`: the share that will be used when it resets, if all goes on as it did. `runs_out_at`: when nothing will
    be left, if that is before the reset. `per_hour`: the share that an hour uses.
    """

    at_reset: float | None = None
    runs_out_at: datetime | None = None
    per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Gauge:
    """One window. Shares are 0..1; `passed` is the part of the window's time that is over, None when unknown."""

    name: str
    models: str
    used: float
    is_rejected: bool
    remaining: int | None
    limit: int | None
    resets_at: datetime | None
    observed_at: datetime
    passed: float | None
    expected: Expectation

    @property
    def tone(self) -> str:
        """ok, warn or bad: by what is used, and by whether it lasts until the reset."""
        if self.used >= HIGH or self.is_rejected:
            return "bad"
        return "warn" if self.used >= LOW or self.expected.runs_out_at is not None else "ok"

    @property
    def used_percent(self) -> float:
        """0..100, for drawing."""
        return round(100 * min(1.0, self.used), 1)

    @property
    def more_percent(self) -> float:
        """What will come until the reset, 0..100, for drawing behind what is used."""
        ahead = self.expected.at_reset
        return 0.0 if ahead is None else max(0.0, round(100 * min(1.0, ahead) - self.used_percent, 1))

    @property
    def passed_percent(self) -> float | None:
        """0..100, for drawing."""
        return None if self.passed is None else round(100 * self.passed, 1)

    @property
    def is_rate(self) -> bool:
        """Whether it is a rate by the minute, not a quota to plan with."""
        return not is_quota(self.name)


def gauges_of(
    view: AccountView, expectations: dict[tuple[str, str], Expectation] | None = None
) -> list[Gauge]:
    """The windows of an account, quotas first, shortest first. `expectations` by (window, model class)."""
    found = [_gauge(view, window, expectations or {}) for window in view.windows]
    return sorted(
        found,
        key=lambda g: (g.is_rate, g.name == OVERAGE, hours_of(g.name) or 0.0, g.name, g.models),
    )


def _gauge(view: AccountView, window: WindowState, expectations: dict[tuple[str, str], Expectation]) -> Gauge:
    reading = window.reading
    hours = hours_of(reading.window)
    has_reset = reading.resets_at is not None
    left = (window.retires_at - view.now) / 3600
    return Gauge(
        name=reading.window,
        models=reading.model_class,
        used=window.used,
        is_rejected=reading.is_rejected,
        remaining=reading.remaining,
        limit=reading.limit,
        resets_at=_date(view, window.retires_at) if has_reset else None,
        observed_at=_date(view, window.observed_at),
        passed=max(0.0, min(1.0, 1 - left / hours)) if hours and has_reset else None,
        expected=expectations.get(window.key, Expectation()),
    )


def _date(view: AccountView, moment: float) -> datetime:
    """A moment on the pool's clock as a date."""
    return datetime.fromtimestamp(view.wall + (moment - view.now), UTC)
