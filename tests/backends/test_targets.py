"""Targets as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.conditions import DAYS, FEATURES, parse_conditions
from backends.targets import (
    BadTarget,
    TargetSpec,
    conditions_text,
    parse_conditions_text,
    parse_targets,
    target_texts,
)


def test_a_plain_target_is_a_backend_and_perhaps_a_model() -> None:
    assert parse_targets(["ollama", "openai:gpt:5"]) == [
        TargetSpec("ollama"),
        TargetSpec("openai", "gpt:5", position=1),
    ]


def test_options_follow_a_question_mark() -> None:
    text = "groq:llama?weight=3&needs=tools,images&min_tokens=100_000&hours=22:00-06:00,12:00-13:00&days=mon&keys=ci"
    [spec] = parse_targets([text])
    assert (spec.backend, spec.model, spec.weight) == ("groq", "llama", 3)
    assert spec.conditions.as_json() == {
        "needs": ["tools", "images"],
        "min_tokens": 100_000,
        "keys": ["ci"],
        "hours": ["22:00-06:00", "12:00-13:00"],
        "days": ["mon"],
    }


def test_neighbours_with_a_weight_share_a_position() -> None:
    specs = parse_targets(["a?weight=1", "b?weight=2", "c", "d?weight=5", "e"])
    assert [spec.position for spec in specs] == [0, 0, 1, 2, 3]


def test_positions_may_be_given_and_are_then_given_to_all() -> None:
    specs = parse_targets(["a?position=2", "b?position=1&weight=2", "c?position=1"])
    assert [(spec.backend, spec.position) for spec in specs] == [("b", 1), ("c", 1), ("a", 2)]
    with pytest.raises(BadTarget, match="every target"):
        parse_targets(["a?position=2", "b"])


def test_a_value_may_be_percent_encoded() -> None:
    [spec] = parse_targets(["a?keys=one%2Ctwo"])
    assert spec.conditions.keys == ("one,two",)


@pytest.mark.parametrize(
    "text",
    [
        ":m",
        "?weight=1",
        "a?weight",
        "a?wait=1",
        "a?weight=0",
        "a?weight=x",
        "a?weight=99999999",
        "a?weight=1&weight=2",
        "a?needs=smell",
        "a?needs=",
        "a?min_tokens=9&max_tokens=1",
        "a?",
        "a?position=-1",
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_target(text: str) -> None:
    if text == "a?":
        assert parse_targets([text]) == [TargetSpec("a")]
        return
    with pytest.raises(BadTarget) as caught:
        parse_targets([text])
    assert text in str(caught.value)


_SPECS = st.lists(
    st.builds(
        TargetSpec,
        backend=st.from_regex(r"[a-z0-9._-]{1,10}", fullmatch=True),
        model=st.from_regex(r"([a-z0-9][a-z0-9:/\[\].-]{0,9})?", fullmatch=True),
        weight=st.integers(1, 9),
        position=st.integers(0, 3),
        conditions=st.builds(
            parse_conditions,
            st.fixed_dictionaries(
                {},
                optional={
                    "needs": st.lists(st.sampled_from(FEATURES), min_size=1),
                    "min_tokens": st.integers(1, 10**6),
                    "keys": st.lists(st.text(min_size=1, max_size=5).filter(str.strip), min_size=1),
                    "days": st.lists(st.sampled_from(DAYS), min_size=1),
                    "hours": st.just(["22:00-06:00"]),
                },
            ),
        ),
    ),
    min_size=1,
    max_size=6,
).map(lambda specs: sorted(specs, key=lambda spec: spec.position))


def _meaning(specs: list[TargetSpec]) -> list[object]:
    """What counts: the order of the groups, and inside a group of several the weights."""
    positions = sorted({spec.position for spec in specs})
    size = {position: sum(spec.position == position for spec in specs) for position in positions}
    return [
        (
            positions.index(spec.position),
            spec.name,
            spec.conditions,
            spec.weight if size[spec.position] > 1 else 1,
        )
        for spec in specs
    ]


@given(_SPECS)
def test_a_route_s_targets_survive_being_written_and_read(specs: list[TargetSpec]) -> None:
    assert _meaning(parse_targets(target_texts(specs))) == _meaning(specs)


@given(_SPECS)
def test_conditions_alone_survive_too(specs: list[TargetSpec]) -> None:
    for spec in specs:
        assert parse_conditions_text(conditions_text(spec.conditions)) == spec.conditions


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        [spec] = parse_targets([text])
    except BadTarget:
        return
    assert spec.backend
