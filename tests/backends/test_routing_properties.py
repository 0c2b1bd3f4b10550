"""Decisions for any routes and any request: total, deterministic, the most specific wins, no target is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backends.conditions import FEATURES, StatedFacts
from backends.globs import glob_matches, is_exact
from backends.routing import Decision, NoRoute, Rule, decide
from tests.backends.test_routing import AB, OPENAI, routing

_PATTERNS = st.text(alphabet="ab*?", min_size=1, max_size=5)
_TARGETS = st.lists(
    st.builds(
        lambda name, model, query: f"{name}{model}{query}",
        st.sampled_from(["a", "b", "c", "gone"]),
        st.sampled_from(["", ":m", ":gpt-4", ":llama3:8b"]),
        st.sampled_from(
            ["", "?weight=2", "?weight=5", "?needs=images", "?max_tokens=9", "?hours=9:00-17:00"]
        ),
    ),
    min_size=1,
    max_size=4,
)
_TABLES = st.dictionaries(_PATTERNS, _TARGETS, max_size=6)
_FACTS = st.builds(
    StatedFacts,
    moment=st.datetimes(),
    features=st.frozensets(st.sampled_from(FEATURES)),
    tokens=st.integers(0, 20_000),
    session=st.sampled_from(["", "s1", "s2"]),
)


@given(_TABLES, st.text(alphabet="abc:", max_size=6), st.none() | _FACTS)
def test_every_request_is_decided_the_same_way_each_time_or_refused(
    routes: dict[str, list[str]], model: str, given_facts: StatedFacts | None
) -> None:
    def outcome() -> object:
        try:
            return decide(model, OPENAI, routing(*AB, routes=routes), given_facts)
        except NoRoute as exc:
            return str(exc)

    first = outcome()
    assert outcome() == first
    if isinstance(first, Decision):
        assert first.targets
        assert all(target.backend in AB for target in first.targets)


@given(_TABLES, st.text(alphabet="ab", min_size=1, max_size=5))
def test_an_alias_wins_then_the_most_specific_pattern(routes: dict[str, list[str]], model: str) -> None:
    table = routing(*AB, routes={pattern: ["a"] for pattern in routes})
    matching = [pattern for pattern in routes if glob_matches(pattern, model) and pattern != "*"]
    if not matching:
        return
    decision = decide(model, OPENAI, table)
    winner = decision.reason.removeprefix("alias ").removeprefix("route ")
    assert winner in matching
    if not is_exact(winner):
        assert not any(is_exact(pattern) for pattern in matching)
        literal = [len(pattern.replace("*", "").replace("?", "")) for pattern in matching]
        assert len(winner.replace("*", "").replace("?", "")) == max(literal)


@given(_TABLES, st.text(alphabet="ab", min_size=1, max_size=5), _FACTS)
def test_no_target_is_lost(routes: dict[str, list[str]], model: str, given_facts: StatedFacts) -> None:
    table = routing(*AB, routes=routes)
    try:
        decision = decide(model, OPENAI, table, given_facts)
    except NoRoute:
        return
    if decision.rule in (Rule.ALIAS, Rule.ROUTE, Rule.DEFAULT):
        pattern = decision.reason.split()[1].rstrip(",")
        route = next(route for route in table.routes if route.pattern == pattern)
        assert len(decision.targets) + len(decision.passed_over) == len(route.targets)
