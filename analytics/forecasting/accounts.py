"""Forecasts of the accounts as the pool sees them now: of their windows, and of whole pools."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from accounts.forecast import LEAST_STEP, hours_of
from accounts.pool_view import AccountView
from accounts.standing import floor
from accounts.windows import WindowState, is_quota
from analytics.forecasting.forecasts import Forecast, Point, moved
from analytics.forecasting.pool import Quota, Quotas, pool_lasts, soonest
from analytics.forecasting.tracks import predictions_json, tracks, window_name

MOST_ACCOUNTS = 200  # of a pool whose end is foretold


def forecasts_of(view: AccountView) -> dict[str, Forecast]:
    """The forecasts of an account's windows by name; moments are on the pool's clock."""
    return tracks.forecasts(view.account.uid, view.windows)


def predictions_of(view: AccountView) -> dict[str, object]:
    """The same as `/analytics` and `/accounts` tell it."""
    return predictions_json(forecasts_of(view), view.now, view.wall)


def histories_of(views: Iterable[AccountView]) -> dict[tuple[str, str], list[Point]]:
    """The readings of the last days by account and quota; moments are seconds since the epoch."""
    found = {}
    for view in views:
        offset = view.wall - view.now
        for window in view.windows:
            if is_quota(window.reading.window):
                points = tracks.history(view.account.uid, window)
                found[view.account.alias, window_name(*window.key)] = [moved(p, offset) for p in points]
    return found


def pool_minutes_left(views: Iterable[AccountView]) -> float | None:
    """Minutes until the first backend's pool can serve no more; None when that is not foreseeable."""
    pools: defaultdict[str, list[Quotas]] = defaultdict(list)
    for view in views:
        if view.obstacle is None or not view.obstacle.is_broken:
            pools[view.account.backend].append(_quotas(view))
    return soonest([pool_lasts(found) for found in pools.values() if len(found) <= MOST_ACCOUNTS])


def _quotas(view: AccountView) -> Quotas:
    """The windows that govern every model."""
    found = (w for w in view.windows if is_quota(w.reading.window) and not w.reading.model_class)
    return [_quota(view, window) for window in found]


def _quota(view: AccountView, window: WindowState) -> Quota:
    kept = floor(view.account, window)
    known = window.reading.resets_at is not None
    return Quota(
        left=max(0.0, 1 - window.used - kept),
        full=1 - kept,
        burn=tracks.forecast_of(view.account.uid, window).burn,
        step=max(window.step, LEAST_STEP),
        resets_in=(window.retires_at - view.now) / 60 if known else math.inf,
        length=60 * (hours_of(window.reading.window) or math.inf),
    )
