from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from accounts.pool_view import AccountView
from accounts.snapshot import AccountConfig
from accounts.standing import standing_of
from accounts.windows import WindowState, observed
from analytics.forecasting.forecasts import Forecast
from analytics.pages.forecast_marks import AccountGauges, expectation
from analytics.pages.gauges import Expectation, Gauge, gauges_of
from backends.wire.limits import Reading

NOW, WALL = 5000.0, 1_800_000_000.0
ACCOUNT = AccountConfig("uid", "work", "anthropic", "api_key", None)


def window(name: str, used: float, left_hours: float | None, **fields: object) -> WindowState:
    resets_at = None if left_hours is None else WALL + left_hours * 3600
    reading = msgspec.structs.replace(Reading(name, "", used, None, None, resets_at, False), **fields)  # type: ignore[arg-type]
    return observed(reading, now=NOW, wall=WALL)


def view(*windows: WindowState) -> AccountView:
    standing = standing_of(ACCOUNT, windows, (), None, now=NOW, wall=WALL)
    return AccountView(ACCOUNT, None, None, standing, windows, "", None, 0, 0, 0, NOW, WALL)


def gauge(*windows: WindowState, **expected: Expectation) -> Gauge:
    return gauges_of(view(*windows), {(name, ""): one for name, one in expected.items()})[0]


def test_quotas_come_first_and_the_shortest_before_the_others() -> None:
    shown = gauges_of(
        view(
            window("requests", 0.1, 0.01),
            window("7d", 0.2, 90),
            window("overage", 0, None),
            window("5h", 0.3, 2),
        )
    )
    assert [one.name for one in shown] == ["5h", "7d", "requests", "overage"]
    assert [one.is_rate for one in shown] == [False, False, True, True]


def test_a_gauge_knows_its_reset_and_how_much_of_its_time_is_over() -> None:
    shown = gauge(window("5h", 0.3, 2))
    assert shown.resets_at == datetime.fromtimestamp(WALL + 7200, UTC)
    assert shown.passed_percent == 60.0
    assert gauge(window("5h", 0.3, None)).passed_percent is None


@pytest.mark.parametrize(
    ("used", "expected", "tone"),
    [
        (0.2, Expectation(), "ok"),
        (0.75, Expectation(), "warn"),
        (0.2, Expectation(1.0, datetime.fromtimestamp(WALL + 60, UTC)), "warn"),
        (0.95, Expectation(), "bad"),
    ],
)
def test_the_tone_tells_what_is_used_and_whether_it_lasts(
    used: float, expected: Expectation, tone: str
) -> None:
    assert gauges_of(view(window("5h", used, 2)), {("5h", ""): expected})[0].tone == tone


def test_what_the_provider_refuses_is_full() -> None:
    shown = gauge(window("5h", 0.4, 2, is_rejected=True))
    assert (shown.used_percent, shown.tone) == (100.0, "bad")


def test_a_forecast_becomes_marks_only_where_it_says_something() -> None:
    five = window("5h", 0.4, 2)
    lasts = Forecast(burn=0.002, resets_at=five.retires_at, outlasts_reset=True)
    found = expectation(five, lasts, view(five))
    assert found.at_reset == pytest.approx(0.64)
    assert (found.runs_out_at, found.per_hour) == (None, pytest.approx(0.12))
    spent = replace(lasts, exhausts_at=NOW + 1800, outlasts_reset=False)
    found = expectation(five, spent, view(five))
    assert (found.at_reset, found.runs_out_at) == (1.0, datetime.fromtimestamp(WALL + 1800, UTC))
    assert expectation(five, Forecast(resets_at=five.retires_at), view(five)) == Expectation()


def test_rates_are_shown_when_they_matter() -> None:
    shown = gauges_of(view(window("5h", 0.1, 2), window("requests", 0.2, 0.01), window("tokens", 0.6, 0.01)))
    found = AccountGauges(view(), shown)
    assert [one.name for one in found.notable] == ["5h", "tokens"]
    assert [one.name for one in found.rest] == ["requests"]
    assert [one.name for one in AccountGauges(view(), shown[1:2]).notable] == ["requests"]
    assert AccountGauges(view(), []).notable == []


def test_more_is_drawn_behind_what_is_used_and_never_beyond_the_end() -> None:
    five = window("5h", 0.4, 2)
    assert gauges_of(view(five), {("5h", ""): Expectation(0.64)})[0].more_percent == 24.0
    assert gauges_of(view(five), {("5h", ""): Expectation(1.7)})[0].more_percent == 60.0
    assert gauges_of(view(five), {("5h", ""): Expectation(0.1)})[0].more_percent == 0.0
