"""When a token ends and when it is refreshed, whatever the wall clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.refresh_store import backoff_seconds
from accounts.token_life import LAST_SECONDS, TokenLives, due_in, early_seconds

HOUR = 3600.0


class Clocks:
    """A wall clock and a steady one, as a person or NTP moves them."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 5_000.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def lives(self) -> TokenLives:
        return TokenLives(wall=lambda: self.wall, steady=lambda: self.steady)


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.floats(-1e7, 1e7)), max_size=6),
    st.floats(1, 1e6),
)
def test_steps_of_the_wall_clock_change_no_tokens_life(
    moves: list[tuple[float, float]], lifetime: float
) -> None:
    clocks = Clocks()
    lives = clocks.lives()
    expires_at = clocks.wall + lifetime
    lives.note("a", 1, expires_at, lifetime)
    passed = 0.0
    for seconds, step in moves:
        clocks.pass_(seconds)
        clocks.wall += step
        passed += seconds
    assert lives.seconds_left("a", 1, expires_at) == pytest.approx(lifetime - passed, abs=0.01)
    assert lives.seconds_left("a", 1, expires_at, clocks.wall + 7) == pytest.approx(
        lifetime - passed - 7, abs=0.01
    )


def test_a_new_generation_is_measured_anew() -> None:
    clocks = Clocks()
    lives = clocks.lives()
    assert lives.seconds_left("a", 1, clocks.wall + 100) == 100
    clocks.wall += HOUR
    assert lives.seconds_left("a", 1, clocks.wall - HOUR + 100) == 100
    assert lives.seconds_left("a", 2, clocks.wall + 50) == 50


def test_the_last_half_minute_is_not_used_less_of_a_short_life() -> None:
    lives = TokenLives()
    assert lives.last_seconds("a") == LAST_SECONDS
    lives.note("a", 1, 1e9, 8 * HOUR)
    assert lives.last_seconds("a") == LAST_SECONDS
    lives.note("a", 2, 1e9, 20.0)
    assert lives.last_seconds("a") == 4.0


@given(st.floats(-1e6, 1e8), st.one_of(st.none(), st.floats(0, 1e8)), st.floats(0, 1))
def test_a_refresh_is_due_early_never_late_and_never_before_its_time(
    left: float, lifetime: float | None, jitter: float
) -> None:
    early, wait = early_seconds(lifetime), due_in(left, lifetime, jitter)
    assert left - early <= wait <= max(left - early, left - 60.0) + 1e-6
    assert wait <= left
    if left <= 60.0 <= early:
        assert wait <= 0
    if left > early:
        assert wait > 0


@pytest.mark.parametrize(
    ("lifetime", "early"), [(8 * HOUR, 1800), (HOUR, 720), (100, 20), (None, 1800), (0, 0)]
)
def test_how_early(lifetime: float | None, early: float) -> None:
    assert early_seconds(lifetime) == early


@given(st.integers(1, 1000), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1e6)))
def test_a_back_off_doubles_to_a_quarter_of_an_hour(
    failures: int, jitter: float, asked: float | None
) -> None:
    wait = backoff_seconds(failures, jitter, asked)
    assert 24 <= wait < 1081
    assert backoff_seconds(1, 0.5) == 30
    assert [backoff_seconds(n, 0.5) for n in (2, 3, 6, 50)] == [60, 120, 900, 900]
