"""Model names, in the order that users rely on."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.addresses import check_base_url
from backends.conditions import StatedFacts
from backends.config import (
    BackendConfig,
    CatalogEntry,
    RouteConfig,
    Routing,
    TargetConfig,
)
from backends.routing import Decision, NoRoute, NoTarget, Rule, decide, known_names
from backends.targets import parse_targets
from backends.wire.kinds import Kind, Protocol

ANTHROPIC, OPENAI = Protocol.ANTHROPIC, Protocol.OPENAI
CLAUDES = (
    "claude-opus-4-1",
    "claude-opus-4-8",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "claude-3-5-haiku-20241022",
)


def backend(
    name: str, protocol: Protocol = OPENAI, *models: str, preset: str = "", globs: tuple[str, ...] = ()
) -> BackendConfig:
    catalog = {model.lower(): CatalogEntry(model) for model in models}
    base = check_base_url("http://127.0.0.1:9/v1")
    return BackendConfig(name, protocol, base, frozenset(Kind), preset, globs, catalog)


def routing(
    *backends: BackendConfig, routes: dict[str, list[str]] | None = None, **settings: object
) -> Routing:
    rules = tuple(
        RouteConfig(
            pattern,
            tuple(
                TargetConfig(spec.backend, spec.model, spec.position, spec.weight, spec.conditions)
                for spec in parse_targets(targets)
            ),
        )
        for pattern, targets in (routes or {}).items()
    )
    return Routing({each.name.lower(): each for each in backends}, rules, **settings)  # type: ignore[arg-type]


def went(model: str, table: Routing, protocol: Protocol = OPENAI) -> str:
    target = decide(model, protocol, table).targets[0]
    return f"{target.backend.name}:{target.model}"


FULL = routing(
    backend("anthropic", ANTHROPIC, *CLAUDES),
    backend("openai", OPENAI, "gpt-4o", "gpt-4o-mini", "o3"),
    backend("ollama", OPENAI, "llama3:8b", "qwen3:4b"),
    routes={
        "fast": ["openai:gpt-4o-mini"],
        "qwen*": ["ollama"],
        "qwen3*": ["openai:gpt-4o"],
        "Claude-Fancy".lower(): ["openai:o3"],
    },
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("openai:gpt-4o", "openai:gpt-4o"),
        ("OpenAI:anything/at:all", "openai:anything/at:all"),
        ("claude:claude-opus-4-1", "anthropic:claude-opus-4-1"),
        ("anthropic:opus", "anthropic:claude-opus-4-8"),
        ("llama3:8b", "ollama:llama3:8b"),
        ("fast", "openai:gpt-4o-mini"),
        (" FAST ", "openai:gpt-4o-mini"),
        ("qwen2", "ollama:qwen2"),
        ("qwen3:4b", "openai:gpt-4o"),
        ("claude-fancy", "openai:o3"),
        ("claude-opus-9", "anthropic:claude-opus-9"),
        ("Claude-Opus-9", "anthropic:Claude-Opus-9"),
        ("opus", "anthropic:claude-opus-4-8"),
        ("sonnet", "anthropic:claude-sonnet-4-5"),
        ("haiku", "anthropic:claude-haiku-4-5"),
        ("gpt-7", "openai:gpt-7"),
        ("chatgpt-4o-latest", "openai:chatgpt-4o-latest"),
        ("o1", "openai:o1"),
        ("o3", "openai:o3"),
        ("O4-mini", "openai:O4-mini"),
        ("text-embedding-3-small", "openai:text-embedding-3-small"),
        ("text-davinci-003", "openai:text-davinci-003"),
        ("claude-opus-4-8[1m]", "anthropic:claude-opus-4-8[1m]"),
    ],
)
def test_names_go_where_the_contract_says(asked: str, expected: str) -> None:
    assert went(asked, FULL) == expected


def test_a_prefix_without_a_model_is_no_prefix() -> None:
    with pytest.raises(NoRoute):
        decide("openai:", OPENAI, FULL)


def test_names_that_only_look_like_o_models_are_not() -> None:
    for name in ("o1x", "o2", "ollama", "o", "go1"):
        with pytest.raises(NoRoute):
            decide(name, OPENAI, FULL)


def test_an_unknown_name_is_refused_with_the_closest_ones() -> None:
    with pytest.raises(NoRoute) as caught:
        decide("llama3:8", OPENAI, FULL)
    assert caught.value.near[0] == "llama3:8b"
    assert "llama3:8b" in str(caught.value)


def test_the_default_route_comes_last() -> None:
    table = routing(*FULL.backends.values(), routes={"*": ["ollama:llama3:8b"]})
    assert went("whatever", table) == "ollama:llama3:8b"
    assert went("gpt-4o", table) == "openai:gpt-4o"
    assert decide("whatever", OPENAI, table).rule is Rule.DEFAULT


@pytest.mark.parametrize("asked", ["claude-x", "opus"])
def test_any_single_anthropic_backend_is_the_anthropic_backend(asked: str) -> None:
    table = routing(backend("mine", ANTHROPIC, *CLAUDES))
    assert went(asked, table).startswith("mine:claude-")


def test_openai_alone_local_alone_and_claude_alone_work() -> None:
    assert went("gpt-4o", routing(backend("work", OPENAI))) == "work:gpt-4o"
    assert went("llama", routing(backend("local", OPENAI, "llama"))) == "local:llama"
    assert went("claude-x", routing(backend("anthropic", ANTHROPIC))) == "anthropic:claude-x"


def test_two_unnamed_openai_backends_are_told_apart_by_catalog_only() -> None:
    table = routing(backend("one", OPENAI, "gpt-oss"), backend("two", OPENAI, "llama"))
    assert went("gpt-oss", table) == "one:gpt-oss"
    with pytest.raises(NoRoute):
        decide("gpt-4o", OPENAI, table)


def test_a_backend_made_from_the_preset_counts_under_any_name() -> None:
    table = routing(backend("work", OPENAI, preset="openai"), backend("groq", OPENAI, "llama"))
    assert went("gpt-4o", table) == "work:gpt-4o"


def test_globs_of_a_backend_stand_in_for_a_catalog() -> None:
    table = routing(backend("one", OPENAI, globs=("mistral-*",)), backend("two", OPENAI, "other"))
    assert went("Mistral-Large", table) == "one:Mistral-Large"


def test_the_demo_backend_is_never_a_family_backend() -> None:
    table = routing(backend("demo", OPENAI, "demo", preset="demo"))
    assert went("demo", table) == "demo:demo"
    with pytest.raises(NoRoute, match="backend add"):
        decide("gpt-4o", OPENAI, table)


def test_targets_keep_their_order_and_skip_disabled_backends() -> None:
    table = routing(backend("a", OPENAI), backend("b", OPENAI), routes={"x": ["gone", "b:m1", "a"]})
    targets = decide("x", OPENAI, table).targets
    assert [(t.backend.name, t.model) for t in targets] == [("b", "m1"), ("a", "x")]


def test_a_route_to_nothing_says_so() -> None:
    with pytest.raises(NoRoute, match="no enabled backend"):
        decide("x", OPENAI, routing(backend("a", OPENAI), routes={"x": ["gone"]}))


def test_mutations_name_the_rule_and_only_when_the_name_changes() -> None:
    assert decide("fast", OPENAI, FULL).targets[0].mutation == "alias"
    assert decide("openai:gpt-4o", OPENAI, FULL).targets[0].mutation == "prefix"
    assert decide("opus", OPENAI, FULL).targets[0].mutation == "family"
    assert decide("gpt-4o", OPENAI, FULL).targets[0].mutation == ""
    assert decide(" gpt-4o", OPENAI, FULL).targets[0].mutation == "trimmed"


def test_an_empty_catalog_leaves_a_family_name_open() -> None:
    assert decide("opus", ANTHROPIC, routing(backend("anthropic", ANTHROPIC))).targets[0].is_unresolved


def test_the_newest_of_a_family_is_the_latest_by_date_then_by_version() -> None:
    dated = BackendConfig(
        "anthropic",
        ANTHROPIC,
        check_base_url("http://127.0.0.1:9"),
        frozenset(Kind),
        catalog={
            "claude-opus-4-8": CatalogEntry("claude-opus-4-8", created=200),
            "claude-opus-5": CatalogEntry("claude-opus-5", created=100),
        },
    )
    assert went("opus", routing(dated)) == "anthropic:claude-opus-4-8"
    assert (
        went("opus", routing(backend("anthropic", ANTHROPIC, "claude-opus-4-10", "claude-opus-4-9")))
        == "anthropic:claude-opus-4-10"
    )


def test_forcing_a_model_wins_over_everything() -> None:
    table = routing(*FULL.backends.values(), force_model="fast-not", routes={"fast-not": ["ollama:qwen3:4b"]})
    decision = decide("claude-opus-4-8", ANTHROPIC, table)
    assert (decision.rule, decision.targets[0].model) == (Rule.FORCED, "qwen3:4b")
    assert decision.targets[0].mutation == "forced"


def test_passthrough_cuts_the_prefix_and_changes_nothing_else() -> None:
    table = routing(
        *FULL.backends.values(),
        passthrough=True,
        routes={"opus": ["openai:gpt-4o"], "claude-*": ["ollama:llama3:8b"]},
    )
    assert went("opus", table) == "anthropic:opus"
    assert went("openai:fast", table) == "openai:fast"
    assert went("claude-x", table) == "ollama:claude-x"


def test_known_names_hold_each_name_once() -> None:
    names = known_names(FULL)
    assert len(names) == len(set(names))
    assert {"fast", "gpt-4o", "llama3:8b"} <= set(names)


@given(st.text(max_size=60))
def test_any_text_is_decided_or_refused_and_never_raises_otherwise(model: str) -> None:
    try:
        targets = decide(model, OPENAI, FULL).targets
    except NoRoute:
        return
    assert targets


# --- conditions, weights, capabilities ------------------------------------------------------------------------

NOON = datetime(2026, 1, 5, 12, 0)  # noqa: DTZ001  (local time)
AB = (backend("a"), backend("b"), backend("c"))


def facts(*features: str, **fields: object) -> StatedFacts:
    return StatedFacts(NOON, frozenset(features), **fields)  # type: ignore[arg-type]


def chosen(decision: Decision) -> list[str]:
    return [target.backend.name for target in decision.targets]


def test_a_target_whose_conditions_fail_is_passed_over_with_the_reason() -> None:
    table = routing(*AB, routes={"x": ["a?needs=images", "b:m?min_tokens=1000", "c"]})
    decision = decide("x", OPENAI, table, facts())
    assert chosen(decision) == ["c"]
    assert decision.passed_over == (
        ("a", "x", "only for requests with images"),
        ("b", "m", "only from 1,000 tokens on, and there are about 0"),
    )
    assert decision.reason == "alias x"
    assert decision.story.startswith("alias x; passed over a:x (only for requests with images), b:m (")
    assert chosen(decide("x", OPENAI, table, facts("images", tokens=1000))) == ["a", "b", "c"]


def test_without_facts_no_condition_is_looked_at() -> None:
    table = routing(*AB, routes={"x": ["a?needs=images", "b"]})
    assert chosen(decide("x", OPENAI, table)) == ["a", "b"]


def test_a_route_whose_conditions_leave_nobody_says_why() -> None:
    table = routing(*AB, routes={"x": ["a?needs=images", "gone"], "*": ["b?keys=ci"]})
    with pytest.raises(NoTarget, match="only for requests with images") as caught:
        decide("x", OPENAI, table, facts())
    assert "gone:x (the backend is disabled)" in str(caught.value)
    with pytest.raises(NoTarget, match="client key ci"):
        decide("whatever", OPENAI, table, facts())


def test_disabled_backends_are_passed_over_and_told() -> None:
    table = routing(*AB, routes={"x": ["gone", "b"]})
    assert decide("x", OPENAI, table).passed_over == (("gone", "x", "the backend is disabled"),)


def test_targets_of_one_position_share_sessions_and_the_rest_follows() -> None:
    table = routing(*AB, routes={"x": ["a?weight=3", "b?weight=1", "c"]})
    orders = [chosen(decide("x", OPENAI, table, facts(session=f"s{n}"))) for n in range(400)]
    assert {order[2] for order in orders} == {"c"}
    assert 240 < sum(order[0] == "a" for order in orders) < 350
    first = decide("x", OPENAI, table, facts(session="s1"))
    assert decide("x", OPENAI, table, facts(session="s1")) == first
    weight = 3 if chosen(first)[0] == "a" else 1
    assert first.reason == f"alias x, weight {weight} of 4"


def test_in_a_group_conditions_come_before_shares() -> None:
    table = routing(*AB, routes={"x": ["a?weight=9&needs=images", "b?weight=1"]})
    for number in range(20):
        assert chosen(decide("x", OPENAI, table, facts(session=f"s{number}"))) == ["b"]


def test_a_model_that_cannot_is_passed_over_if_another_can() -> None:
    blind, seeing = backend("blind", OPENAI, "llama3:8b"), backend("seeing", OPENAI, "gpt-4o")
    table = routing(blind, seeing, routes={"x": ["blind:llama3:8b", "seeing:gpt-4o"]})
    assert chosen(decide("x", OPENAI, table, facts())) == ["blind", "seeing"]
    decision = decide("x", OPENAI, table, facts("images"))
    assert chosen(decision) == ["seeing"]
    assert decision.passed_over == (("blind", "llama3:8b", "it takes no images"),)


def test_if_nobody_can_the_order_stands_since_the_tables_may_be_wrong() -> None:
    table = routing(*AB, routes={"x": ["a:llama3:8b", "b:deepseek-chat"]})
    assert chosen(decide("x", OPENAI, table, facts("images"))) == ["a", "b"]
    alone = routing(*AB, routes={"x": ["a:llama3:8b"]})
    assert chosen(decide("x", OPENAI, alone, facts("images"))) == ["a"]


def test_a_prompt_that_is_clearly_too_long_goes_to_the_larger_target() -> None:
    table = routing(*AB, routes={"x": ["a:gpt-4", "b:gpt-4.1", "c:unknown"]})
    assert chosen(decide("x", OPENAI, table, facts(tokens=8000))) == ["a", "b", "c"]
    assert chosen(decide("x", OPENAI, table, facts(tokens=50_000))) == ["b", "c"]


def test_forcing_keeps_the_passed_over() -> None:
    table = routing(*AB, force_model="x", routes={"x": ["a?needs=images", "b"]})
    decision = decide("other", OPENAI, table, facts())
    assert (decision.rule, chosen(decision), len(decision.passed_over)) == (Rule.FORCED, ["b"], 1)
