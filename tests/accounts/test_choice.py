"""The order in which accounts are tried: five strategies, and what all of them keep to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.choice import MOST, Candidate, ranked, score_of
from accounts.standing import Standing
from backends.config import Strategy
from tests.accounts.pools import account

NOW = 1000.0


@dataclass
class Load:
    in_flight: int = 0
    last_used: int = 0
    turn: float = 0.0


def candidate(
    alias: str,
    left: int = 100,
    *,
    outlook: float = 1.0,
    is_overage: bool = False,
    position: int = 0,
    in_flight: int = 0,
    last_used: int = 0,
    turn: float = 0.0,
) -> Candidate:
    standing = Standing(
        account(alias, position=position),
        None,
        left / 100,
        NOW,
        is_overage=is_overage,
        percent_left=left,
        outlook=outlook,
    )
    return standing, Load(in_flight, last_used, turn)


def order(strategy: Strategy, *candidates: Candidate) -> list[str]:
    return [standing.account.alias for standing, _ in ranked(candidates, strategy, NOW)]


def test_headroom_takes_the_one_with_most_left() -> None:
    assert order(Strategy.HEADROOM, candidate("a", 40), candidate("b", 90), candidate("c", 70)) == [
        "b",
        "c",
        "a",
    ]


def test_a_running_request_counts_as_a_percent_so_that_a_crowd_spreads() -> None:
    assert order(Strategy.HEADROOM, candidate("a", 90, in_flight=3), candidate("b", 88)) == ["b", "a"]
    assert order(Strategy.HEADROOM, candidate("a", 90, in_flight=1), candidate("b", 88)) == ["a", "b"]


def test_equal_accounts_take_the_fewest_in_flight_then_the_least_recently_used() -> None:
    equal = (
        candidate("a", in_flight=1),
        candidate("b", last_used=7),
        candidate("c", last_used=3),
    )
    for strategy in (Strategy.HEADROOM, Strategy.FORECAST, Strategy.WEIGHTED):
        assert order(strategy, *equal) == ["c", "b", "a"]


def test_forecast_takes_the_best_outlook_for_each_running_request() -> None:
    large, small = candidate("large", outlook=900, in_flight=5), candidate("small", outlook=140)
    assert order(Strategy.FORECAST, small, large) == ["large", "small"]
    assert order(Strategy.FORECAST, small, candidate("large", outlook=900, in_flight=6)) == ["small", "large"]


def test_fill_first_keeps_to_its_order_whatever_runs() -> None:
    found = order(
        Strategy.FILL_FIRST,
        candidate("a", 90, position=2),
        candidate("b", 3, position=1, in_flight=9, last_used=9),
        candidate("c", position=1),
    )
    assert found == ["b", "c", "a"]


def test_round_robin_takes_the_least_recently_used() -> None:
    found = order(
        Strategy.ROUND_ROBIN, candidate("a", last_used=3), candidate("b", 1, last_used=1, in_flight=9)
    )
    assert found == ["b", "a"]


def test_weighted_takes_the_one_whose_turn_it_is() -> None:
    assert order(Strategy.WEIGHTED, candidate("a", turn=2.5), candidate("b", turn=2.25)) == ["b", "a"]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_paid_overage_comes_last(strategy: Strategy) -> None:
    paid = candidate("paid", 100, outlook=9.0, is_overage=True, position=0)
    spent = candidate("spent", 3, outlook=0.1, position=9, in_flight=9, last_used=9, turn=9.0)
    assert order(strategy, paid, spent) == ["spent", "paid"]


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.just("x"),
        st.integers(0, 100),
        outlook=st.floats(0, 1e6),
        is_overage=st.booleans(),
        position=st.integers(0, 9),
        in_flight=st.integers(0, 50),
        last_used=st.integers(0, 999),
        turn=st.floats(0, 1e6),
    ),
    max_size=40,
)


@given(candidates=CANDIDATES, strategy=st.sampled_from(Strategy))
def test_the_order_is_by_score_within_what_is_free_and_what_is_paid(
    candidates: list[Candidate], strategy: Strategy
) -> None:
    found = ranked(candidates, strategy, NOW)
    assert len(found) == min(len(candidates), MOST)
    assert len({id(standing) for standing, _ in found}) == len(found)
    keys = [(standing.is_overage, -score_of(standing, load, strategy, NOW)) for standing, load in found]
    assert keys == sorted(keys)
    left_out = [c for c in candidates if not any(c is chosen for chosen in found)]
    for standing, load in left_out:
        assert (standing.is_overage, -score_of(standing, load, strategy, NOW)) >= keys[-1]
