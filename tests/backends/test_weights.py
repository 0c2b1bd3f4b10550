"""Sharing by weight: in proportion, and always the same for one session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backends.weights import share

SESSIONS = [f"session-{number}" for number in range(4000)]


@given(st.text(min_size=1, max_size=30), st.lists(st.integers(1, 100), min_size=1, max_size=6))
def test_every_member_is_there_once_and_in_the_same_order_every_time(
    session: str, weights: list[int]
) -> None:
    members = [(f"m{number}", weight) for number, weight in enumerate(weights)]
    order = share(session, members)
    assert sorted(order) == list(range(len(members)))
    assert order == share(session, members)


def test_sessions_spread_in_proportion_to_the_weights() -> None:
    members = [("a", 3), ("b", 1)]
    first = [share(session, members)[0] for session in SESSIONS]
    assert 0.70 < first.count(0) / len(first) < 0.80


def test_when_the_first_fails_the_rest_is_shared_by_weight_too() -> None:
    members = [("a", 1), ("b", 3), ("c", 1)]
    second = [order[1] for session in SESSIONS if (order := share(session, members))[0] == 0]
    assert 0.65 < second.count(1) / len(second) < 0.85


def test_a_member_that_comes_moves_only_the_sessions_that_go_to_it() -> None:
    before = [("a", 2), ("b", 1)]
    after = [*before, ("c", 1)]
    for session in SESSIONS[:500]:
        was, now = before[share(session, before)[0]], after[share(session, after)[0]]
        assert now in (was, ("c", 1))


def test_without_a_session_the_heaviest_comes_first() -> None:
    assert share("", [("a", 1), ("b", 5), ("c", 1)]) == [1, 0, 2]
