"""What is noted of the windows, and when."""

from __future__ import annotations

from itertools import pairwise

import pytest

from accounts.pool import Pool
from accounts.reports import Attempt, apply_report
from analytics.forecasting.forecasts import DAY, HOUR, Point
from analytics.forecasting.tracks import SAMPLE_SECONDS, Tracks, is_due, prediction_json, thinned, window_name
from tests.accounts.pools import SONNET, Time, account, reading, served

WORK = account("work")


class Watched:
    """A pool whose time is moved, and the tracks of its only account."""

    def __init__(self) -> None:
        self.time = Time()
        self.pool: Pool = self.time.pool()
        self.tracks = Tracks(self.pool.state)

    def answer(self, *used: tuple[str, float], resets_at: float | None = None) -> int:
        """An answer tells these windows; returns how many were noted."""
        state, at = self.pool.state.account("work"), resets_at or self.time.wall + 4 * HOUR
        told = served(*(reading(name, share, at) for name, share in used))
        apply_report(self.pool.state, state, Attempt(WORK, SONNET, self.time.now), told, jitter=0.0)
        return len(self.tracks.look([WORK]))


def test_a_reading_is_noted_when_it_has_changed_and_some_minutes_have_passed() -> None:
    watched, reset = Watched(), Time().wall + 5 * HOUR
    assert watched.answer(("5h", 0.10), resets_at=reset) == 1
    watched.time.pass_(60)
    assert watched.answer(("5h", 0.11), resets_at=reset) == 0
    watched.time.pass_(SAMPLE_SECONDS)
    assert watched.answer(("5h", 0.12), resets_at=reset) == 1
    watched.time.pass_(SAMPLE_SECONDS)
    assert watched.answer(("5h", 0.12), resets_at=reset) == 0
    assert watched.tracks.look([WORK]) == []


def test_a_big_change_a_spent_window_and_a_new_period_are_noted_at_once() -> None:
    last = Point(0, 0.5, 3 * HOUR)
    assert is_due(last, Point(10, 0.56, 3 * HOUR), "5h")
    assert is_due(Point(0, 0.99, 3 * HOUR), Point(10, 1.0, 3 * HOUR), "5h")
    assert is_due(last, Point(10, 0.49, 8 * HOUR), "5h")
    assert not is_due(last, Point(10, 0.52, 3 * HOUR + 30), "5h")


def test_a_rate_is_noted_every_few_minutes_only() -> None:
    assert not is_due(Point(0, 0.1, 60), Point(200, 0.9, 260), "requests")
    assert is_due(Point(0, 0.1, 60), Point(300, 0.9, 360), "requests")


def test_forecasts_come_from_the_track_and_the_newest_reading() -> None:
    watched, reset = Watched(), Time().wall + 5 * HOUR
    for number in range(13):
        watched.answer(("5h", 0.04 * number), ("requests", 0.5), resets_at=reset)
        watched.time.pass_(300)
    state = watched.pool.state.account("work")
    found = watched.tracks.forecasts("work", state.windows.values())
    assert found["5h"].exhausts_at == pytest.approx(watched.time.now + HOUR * 0.52 / 0.48, rel=0.1)
    assert (found["requests"].burn, found["requests"].exhausts_at) == (None, None)
    assert found["requests"].resets_at is not None
    assert watched.tracks.forecast_of("stranger", state.windows["5h", ""]).burn is None


def test_what_was_stored_comes_before_what_was_seen() -> None:
    watched, reset = Watched(), Time().wall + 5 * HOUR
    now = watched.time.now
    watched.answer(("5h", 0.48), resets_at=reset)
    stored = [Point(now - 300.0 * back, 0.48 - 0.04 * back, now + 5 * HOUR) for back in range(12, -3, -1)]
    watched.tracks.recall(("work", "5h", ""), stored)
    told = watched.tracks.forecast_of("work", watched.pool.state.account("work").windows["5h", ""])
    assert told.exhausts_at == pytest.approx(now + HOUR * 0.52 / 0.48, rel=0.1)


def test_accounts_that_are_gone_are_forgotten() -> None:
    watched = Watched()
    watched.answer(("5h", 0.1))
    watched.tracks.look([])
    assert watched.tracks._tracks == {}


def test_what_is_old_is_thinned_out_and_then_forgotten() -> None:
    points = [Point(300.0 * number, number % 60 / 60, None) for number in range(10 * 288)]
    now = points[-1].at
    kept = list(thinned(points, now))
    assert kept[0].at >= now - 8 * DAY
    assert [point for point in kept if now - point.at < DAY] == points[-288:]
    assert len(kept) < 288 + 8 * 24 * 1.5
    ends = [a for a, b in pairwise(kept) if b.used < a.used]
    assert all(point.used == 59 / 60 for point in ends), "the last reading of each period stays"


def test_names_tell_the_models_where_the_window_does_not() -> None:
    assert window_name("5h", "") == "5h"
    assert window_name("7d_opus", "opus") == "7d_opus"
    assert window_name("tokens", "gpt-4o") == "tokens:gpt-4o"


def test_a_prediction_is_told_in_dates() -> None:
    watched, reset = Watched(), Time().wall + 5 * HOUR
    watched.answer(("5h", 1.0), resets_at=reset)
    state = watched.pool.state
    told = watched.tracks.forecast_of("work", state.account("work").windows["5h", ""])
    shown = prediction_json(told, state.now(), state.wall())
    assert shown == {
        "burnPerMinute": None,
        "exhaustsAt": round(state.wall() * 1000),
        "minutesLeft": 0.0,
        "resetsAt": round(reset * 1000),
        "outlastsReset": False,
    }
