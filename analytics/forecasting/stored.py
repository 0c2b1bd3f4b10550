"""Forecasts from what is written down, for commands and admin pages: they run beside the server, not in it.

The running server's windows are on disk within seconds; what it has not written yet is missing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.forecast import hours_of
from accounts.models import Account, Window
from accounts.windows import USUAL_STEP, is_quota
from analytics.forecasting.forecasts import Forecast, Point, forecast
from analytics.forecasting.pool import Quota, Quotas, pool_lasts, soonest
from analytics.forecasting.samples import stored_points
from analytics.forecasting.tracks import prediction_json, window_name


@dataclass(frozen=True, slots=True)
class Foretold:
    """One window in force, with its forecast; the forecast's moments are seconds since the epoch."""

    backend: str
    account: str
    window: Window
    forecast: Forecast

    @property
    def name(self) -> str:
        """As `/analytics` calls it."""
        return window_name(self.window.name, self.window.model_class)

    @property
    def used(self) -> float:
        """The share used, at most 1; all of it when the provider refuses."""
        return 1.0 if self.window.is_rejected else min(1.0, self.window.utilization)

    @property
    def exhausts_at(self) -> datetime | None:
        """When it is expected to be spent, if before its reset."""
        moment = self.forecast.exhausts_at
        return None if moment is None else datetime.fromtimestamp(moment, UTC)

    def as_dict(self, now: datetime) -> dict[str, object]:
        """As `/analytics` tells it."""
        return prediction_json(self.forecast, now.timestamp(), now.timestamp())


def foretold(now: datetime, account: Account | None = None) -> list[Foretold]:
    """Every quota whose reset is still ahead, by account and name. Two queries."""
    rows = Window.objects.select_related("account__backend")
    rows = (
        rows.filter(account=account)
        if account is not None
        else rows.filter(account__backend__is_enabled=True)
    )
    windows = [row for row in rows if is_quota(row.name) and (row.resets_at is None or row.resets_at > now)]
    points = stored_points(now, {row.account.alias for row in windows})
    found = [_foretold(row, points.get(_name(row), []), now) for row in windows]
    return sorted(found, key=lambda one: (one.account, one.name))


def _name(row: Window) -> tuple[str, str, str, str]:
    return (row.account.backend.name, row.account.alias, row.name, row.model_class[:64])


def _foretold(row: Window, points: Sequence[Point], now: datetime) -> Foretold:
    used = 1.0 if row.is_rejected else min(1.0, row.utilization)
    resets_at = row.resets_at.timestamp() if row.resets_at else None
    newest = Point(min(row.observed_at, now).timestamp(), used, resets_at)
    found = forecast([*points, newest], now.timestamp())
    return Foretold(row.account.backend.name, row.account.alias, row, found)


def pool_minutes_left(found: Sequence[Foretold], now: datetime) -> float | None:
    """Minutes until the first backend's pool can serve no more; None when that is not foreseeable.

    What a request costs on each account is not written down, so accounts count as equally large.
    """
    quotas: defaultdict[tuple[str, str], Quotas] = defaultdict(list)
    for one in found:
        if not one.window.model_class:
            quotas[one.backend, one.account].append(_quota(one, now))
    pools: defaultdict[str, list[Quotas]] = defaultdict(list)
    usable = Account.objects.filter(is_paused=False, backend__is_enabled=True)
    for backend, alias in usable.values_list("backend__name", "alias"):
        pools[backend].append(quotas.get((backend, alias), []))
    return soonest([pool_lasts(accounts) for accounts in pools.values()])


def _quota(one: Foretold, now: datetime) -> Quota:
    account = one.window.account
    kept = account.reserves.get(one.window.name, account.reserve_percent) / 100
    hours = hours_of(one.window.name)
    resets_at, endless = one.window.resets_at, float("inf")
    return Quota(
        left=max(0.0, 1 - one.used - kept),
        full=1 - kept,
        burn=one.forecast.burn,
        step=USUAL_STEP,
        resets_in=(resets_at - now).total_seconds() / 60 if resets_at else endless,
        length=hours * 60 if hours else endless,
    )
