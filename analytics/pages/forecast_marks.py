"""Every account's gauges, with the forecast's marks on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.pool_view import AccountView
from accounts.windows import WindowState
from analytics.forecasting.forecasts import Forecast
from analytics.forecasting.tracks import tracks
from analytics.pages.gauges import Expectation, Gauge, gauges_of

HALF = 0.5


@dataclass(frozen=True, slots=True)
class AccountGauges:
    """One account, and its windows."""

    view: AccountView
    gauges: list[Gauge]

    @property
    def notable(self) -> list[Gauge]:
        """The quotas, and the rates that are half used: where nothing else is known, the rate that is used most."""
        found = [gauge for gauge in self.gauges if not gauge.is_rate or gauge.used >= HALF]
        return found or sorted(self.gauges, key=lambda gauge: -gauge.used)[:1]

    @property
    def rest(self) -> list[Gauge]:
        """Rates that nobody needs to worry about."""
        notable = self.notable
        return [gauge for gauge in self.gauges if gauge not in notable]


def account_gauges(views: list[AccountView]) -> list[AccountGauges]:
    """All accounts, in their order. Forecasts are made here, in the page's thread: requests do not wait for them."""
    return [AccountGauges(view, gauges_of(view, _expectations(view))) for view in views]


def _expectations(view: AccountView) -> dict[tuple[str, str], Expectation]:
    return {
        window.key: expectation(window, tracks.forecast_of(view.account.uid, window), view)
        for window in view.windows
    }


def expectation(window: WindowState, found: Forecast, view: AccountView) -> Expectation:
    """A forecast as marks on a gauge. Only what it says: without a word on the reset there is no mark for it."""
    per_hour = None if found.burn is None else found.burn * 60
    if found.exhausts_at is not None:
        runs_out_at = datetime.fromtimestamp(view.wall + (found.exhausts_at - view.now), UTC)
        return Expectation(1.0, runs_out_at, per_hour)
    if found.outlasts_reset and per_hour is not None and found.resets_at is not None:
        hours = max(0.0, found.resets_at - view.now) / 3600
        return Expectation(min(0.99, window.used + per_hour * hours), None, per_hour)
    return Expectation(None, None, per_hour)
