from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analytics.models import RequestRecord
from analytics.pages.session_timeline import WIDTH, timeline
from analytics.pages.session_tree import tree_of

AT = datetime(2026, 11, 20, 10, tzinfo=UTC)


def turn(
    second: float, lasts: float = 1.0, agent: str = "", parent: str = "", **fields: Any
) -> RequestRecord:
    return RequestRecord(
        id=f"req_{second}_{agent}",
        started_at=AT + timedelta(seconds=second),
        duration_ms=lasts * 1000,
        agent=agent,
        parent_agent=parent,
        **({"outcome": "ok"} | fields),
    )


def shape(turns: list[RequestRecord]) -> list[tuple[str, int, int]]:
    return [(node.name, node.depth, len(node.turns)) for node in tree_of(turns).walk()]


def test_agents_hang_on_the_agent_that_started_them() -> None:
    turns = [turn(0), turn(1, agent="a"), turn(2, agent="b", parent="a"), turn(3, agent="a"), turn(4)]
    assert shape(turns) == [("", 0, 2), ("a", 1, 2), ("b", 2, 1)]


def test_an_unknown_parent_and_a_circle_hang_on_the_session() -> None:
    turns = [
        turn(0, agent="a", parent="gone"),
        turn(1, agent="b", parent="c"),
        turn(2, agent="c", parent="b"),
    ]
    names = [(name, depth) for name, depth, _ in shape(turns)]
    assert sorted(names) == [("", 0), ("a", 1), ("b", 1), ("c", 1)]


def test_sums_of_a_node_hold_those_below_it() -> None:
    tokens = {"fresh_input_tokens": 10, "cache_read_tokens": 30, "output_tokens": 5}
    turns = [
        turn(0, cost=Decimal("0.5"), cost_source="priced", **tokens),
        turn(1, agent="a", cost_source="unpriced", **tokens),
        turn(2, agent="a", outcome="error"),
    ]
    root = tree_of(turns)
    assert (root.own.requests, root.all.requests, root.all.errors) == (1, 3, 1)
    assert (root.all.cost, root.all.unpriced, root.all.input_tokens, root.all.cache_ratio) == (
        Decimal("0.5"),
        1,
        80,
        0.75,
    )
    assert root.children[0].all.cost is None  # unpriced, not free


def test_bars_are_as_long_as_the_turns_and_pauses_are_short() -> None:
    found = timeline(tree_of([turn(0, 10), turn(3600, 30, ttft_ms=15_000)]))
    [lane] = found.lanes
    first, second = lane.bars
    assert second.width / first.width == 3
    assert second.waited == round(second.width / 2, 2)
    assert first.width + second.width > 0.9 * WIDTH
    [(place, pause)] = found.cuts
    assert first.width < place < second.x
    assert pause == timedelta(seconds=3590)
    assert found.worked == timedelta(seconds=40)


def test_turns_at_the_same_time_lie_below_each_other() -> None:
    [lane] = timeline(tree_of([turn(0, 10), turn(2, 10), turn(11, 5)])).lanes
    assert [bar.y for bar in lane.bars] == [0, 13, 0]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4), st.sampled_from("ab")), max_size=30))
def test_every_bar_lies_within_the_picture(given_turns: list[tuple[float, float, str]]) -> None:
    turns = sorted((turn(s, lasts, name) for s, lasts, name in given_turns), key=lambda one: one.started_at)
    found = timeline(tree_of(turns))
    bars = [bar for lane in found.lanes for bar in lane.bars]
    assert len(bars) == len(turns)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH + 0.1 and bar.waited <= bar.width for bar in bars)
    assert all(0 <= place <= WIDTH for place, _ in found.cuts)
