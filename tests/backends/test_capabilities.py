"""What is known of models, and what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backends.capabilities import (
    UNKNOWN,
    BadCapability,
    Capabilities,
    known_capabilities,
    parse_overrides,
)
from backends.conditions import StatedFacts

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def lacks(known: Capabilities, *features: str, tokens: int = 0) -> str:
    return known.lacks(StatedFacts(NOW, frozenset(features), tokens))


def test_what_is_not_known_is_taken_to_be_possible() -> None:
    assert known_capabilities("", "somebody-s-model") == UNKNOWN
    assert lacks(UNKNOWN, "tools", "images", "schema", "documents", tokens=10**7) == ""


@pytest.mark.parametrize("word", ["tools", "images", "schema", "documents"])
def test_only_a_known_no_is_a_lack(word: str) -> None:
    assert lacks(Capabilities(**{word: False}), word).startswith("it takes no ")
    assert lacks(Capabilities(**{word: False})) == ""
    assert lacks(Capabilities(**{word: True}), word) == ""


def test_a_context_is_too_small_only_when_that_is_clear() -> None:
    small = Capabilities(context=1000)
    assert lacks(small, tokens=1100) == ""
    assert "1,000 tokens is too small for about 2,000" in lacks(small, tokens=2000)


@pytest.mark.parametrize(
    ("preset", "model", "expected"),
    [
        ("openai", "gpt-3.5-turbo", {"images": False}),
        ("openrouter", "openai/gpt-4o-mini", {"images": True, "context": 128_000}),
        ("deepseek", "deepseek-chat", {"images": False, "schema": False}),
        ("cerebras", "whatever", {"images": False}),
        ("ollama", "llama3:8b", {"images": False}),
        ("ollama", "LLaVA:13b", {"images": True}),
        ("ollama", "qwen2.5-vl:7b", {"images": True}),
        ("anthropic", "claude-opus-4-8[1m]", {"context": 1_000_000}),
        ("openai", "text-embedding-3-small", {"tools": False}),
    ],
)
def test_the_tables(preset: str, model: str, expected: dict[str, object]) -> None:
    known = known_capabilities(preset, model).as_dict()
    assert expected.items() <= known.items()


def test_the_operator_wins_over_the_list_and_the_list_over_the_tables() -> None:
    assert known_capabilities("openai", "gpt-4o", context=64_000).context == 64_000
    said = parse_overrides({"context": 8000, "models": {"gpt-4o*": {"images": False, "context": 4000}}})
    known = known_capabilities("openai", "gpt-4o", context=64_000, overrides=said)
    assert (known.images, known.context, known.tools) == (False, 4000, True)
    assert known_capabilities("openai", "o3", context=64_000, overrides=said).context == 8000


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"smell": True},
        {"images": "no"},
        {"context": 0},
        {"context": True},
        {"context": 10**12},
        {"models": []},
        {"models": {"": {}}},
        {"models": {"a": {"models": {}}}},
        {"models": {"a": 3}},
    ],
)
def test_what_makes_no_sense_is_refused(value: object) -> None:
    with pytest.raises(BadCapability):
        parse_overrides(value)
