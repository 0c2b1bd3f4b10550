"""The replayed weeks: repeatable, honest about what they count, and won by `forecast`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backends.config import Strategy
from bench.pool.provider import CACHE_SECONDS, Conversation, SimulatedAccount, Window, cost_of, provider
from bench.pool.replay import Replay
from bench.pool.table import Row, added_up, losses, markdown, one_week
from bench.pool.traffic import HOUR, WEEK, Session, Turn, week

SEEDS = range(4)
SCALE = 0.25  # of the people and agents, on accounts that are smaller by as much


def turn(pause: float = 60.0, seconds: float = 10.0) -> Turn:
    return Turn(pause, seconds, fresh=2.0, output=0.5)


def session(name: str, turns: int, start: float = 0.0, model: str = "claude-sonnet-4-6") -> Session:
    return Session(name, "k", model, start, (turn(),) * turns)


def test_forecast_meets_fewer_limits_and_moves_fewer_sessions_than_taking_turns_or_filling_up() -> None:
    rivals = (Strategy.FORECAST, Strategy.ROUND_ROBIN, Strategy.FILL_FIRST)
    rows = added_up(one_week(seed, 0.75, SCALE, rivals) for seed in SEEDS)
    assert losses(rows) == []
    ours = rows[Strategy.FORECAST]
    assert ours.requests > 9000
    for other in rivals[1:]:
        assert ours.refused < rows[other].refused
        assert ours.moves < rows[other].moves / 1.5


def test_a_week_is_the_same_each_time_and_every_request_is_counted() -> None:
    assert week(3) == week(3) != week(4)
    sessions = week(0, SCALE)
    requests = sum(len(each.turns) for each in sessions)
    quota = cost_of(sessions) / 0.85
    tallies = [Replay(sessions, provider(0, quota), Strategy.HEADROOM).run() for _ in range(2)]
    assert tallies[0] == tallies[1]
    assert tallies[0].requests == requests


def test_the_traffic_has_days_nights_bursts_and_families() -> None:
    sessions = week(1)
    hours = [each.start % (24 * HOUR) / HOUR for each in sessions if each.key != "agents"]
    assert sum(9 <= hour < 18 for hour in hours) > 0.7 * len(hours)
    assert len({each.model for each in sessions}) == 3
    fleets = [each.start for each in sessions if each.key == "agents"]
    assert any(sum(abs(start - other) < 20 for other in fleets) >= 8 for start in fleets)


def replayed(sessions: Sequence[Session], *sizes: float) -> Replay:
    accounts = {
        f"account-{number}": SimulatedAccount((Window("7d", "", size, WEEK, WEEK),), own_rate=0.0, weight=1)
        for number, size in enumerate(sizes)
    }
    return Replay(sessions, accounts, Strategy.FILL_FIRST)


def test_a_session_that_fits_stays_and_costs_what_it_must() -> None:
    sessions = [session("s", 10)]
    replay = replayed(sessions, 10_000, 10_000)
    tally = replay.run()
    assert (tally.requests, tally.refused, tally.moves, tally.unserved) == (10, 0, 0, 0)
    assert tally.cost == pytest.approx(cost_of(sessions))
    assert tally.lapsed == pytest.approx(1 - tally.cost / 20_000)


def test_a_session_whose_account_is_spent_moves_once_and_pays_for_its_cache_again() -> None:
    sessions = [session("s", 20)]
    replay = replayed(sessions, 100, 10_000)
    tally = replay.run()
    assert (tally.moves, tally.unserved) == (1, 0)
    assert tally.cost > cost_of(sessions)


def test_requests_that_no_account_can_take_are_counted() -> None:
    replay = replayed([session("s", 20)], 60)
    tally = replay.run()
    assert 0 < tally.unserved < 20


def test_requests_that_run_at_once_can_pass_a_limit_together_and_then_one_is_refused() -> None:
    crowd = [session(f"s{number}", 4) for number in range(12)]
    tally = replayed(crowd, 200).run()
    assert tally.refused >= 1
    assert tally.cost > 200


def test_a_prompt_is_cheap_where_it_is_cached_and_while_it_is() -> None:
    talk = Conversation()
    first = talk.cost("a", turn(), "claude-sonnet-4-6", 0.0)
    talk.answered("a", turn(), 0.0)
    assert talk.cost("a", turn(), "claude-sonnet-4-6", CACHE_SECONDS - 1) < first / 2
    assert talk.cost("b", turn(), "claude-sonnet-4-6", CACHE_SECONDS - 1) > first
    assert talk.cost("a", turn(), "claude-sonnet-4-6", CACHE_SECONDS) > first


def test_a_rolling_window_begins_with_its_first_request() -> None:
    window = Window("5h", "", 100.0, 5 * HOUR, is_rolling=True)
    window.catch_up(2.5 * HOUR)
    window.used = 40.0
    assert window.reading().resets_at == 7 * HOUR
    window.catch_up(30 * HOUR)
    assert (window.used, window.reading().resets_at) == (0.0, 35 * HOUR)
    assert (window.offered, window.lapsed) == (100.0, 60.0)


def test_the_table_shows_means_of_shares_and_sums_of_counts() -> None:
    rows = dict.fromkeys(Strategy, Row(10, 1, 2, 3, 2.2, 0.5, 2))
    assert "| forecast | 1 | 2 | 3 | 1.100 | 25% |" in markdown(rows)
    assert losses(rows) == [
        "429s: forecast 1, round-robin 1",
        "session moves: forecast 2, round-robin 2",
        "429s: forecast 1, fill-first 1",
        "session moves: forecast 2, fill-first 2",
    ]
