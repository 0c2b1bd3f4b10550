"""Token counts of every provider end up in buckets that do not overlap."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.usage import Usage, merge_usage, usage_from

Counts = tuple[int, int, int, int, int, int]


def counts(usage: Usage | None) -> Counts | None:
    if usage is None:
        return None
    return (
        usage.fresh_input, usage.cache_read, usage.cache_write_5m,
        usage.cache_write_1h, usage.output, usage.reasoning,
    )  # fmt: skip


ANTHROPIC = [
    ({"input_tokens": 10, "output_tokens": 5}, (10, 0, 0, 0, 5, 0)),
    (
        {
            "input_tokens": 1,
            "cache_read_input_tokens": 2,
            "cache_creation_input_tokens": 7,
            "output_tokens": 4,
        },
        (1, 2, 7, 0, 4, 0),
    ),
    (
        {
            "input_tokens": 1,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 6},
        },
        (1, 0, 3, 4, 9, 6),
    ),
    ({"cache_creation": {"ephemeral_1h_input_tokens": 4}}, (0, 0, 0, 4, 0, 0)),
    (
        {"cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
        (0, 0, 0, 3, 0, 0),
    ),
    ({"input_tokens": None, "output_tokens": 5, "cache_creation": None}, (0, 0, 0, 0, 5, 0)),
    ({}, None),
    ({"service_tier": "standard"}, None),
]
CHAT = [
    ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, (10, 0, 0, 0, 5, 0)),
    (
        {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 15},
        },
        (10, 60, 30, 0, 20, 15),
    ),
    (
        {
            "prompt_tokens": 9,
            "prompt_cache_hit_tokens": 4,
            "prompt_cache_miss_tokens": 5,
            "completion_tokens": 1,
        },
        (5, 4, 0, 0, 1, 0),
    ),
    ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5}, (5, 4, 0, 0, 0, 0)),
    ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, (0, 5, 0, 0, 0, 0)),
    ({"prompt_tokens": 5, "total_tokens": 12}, (5, 0, 0, 0, 7, 0)),
    ({"prompt_tokens": 5}, (5, 0, 0, 0, 0, 0)),
    ({"completion_tokens": 5, "total_tokens": 12}, (7, 0, 0, 0, 5, 0)),
    (
        {
            "prompt_tokens": 5,
            "completion_tokens": 50,
            "total_tokens": 75,
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        (5, 0, 0, 0, 70, 20),
    ),
    (
        {"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 20}},
        (5, 0, 0, 0, 23, 20),
    ),
    ({"prompt_tokens_details": None, "prompt_tokens": 5, "completion_tokens": 0}, (5, 0, 0, 0, 0, 0)),
    ({}, None),
]
RESPONSES = [
    (
        {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 12},
            "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 8},
            "total_tokens": 28,
        },
        (8, 12, 0, 0, 8, 8),
    )
]
EMBEDDINGS = [
    ({"prompt_tokens": 8, "total_tokens": 8}, (8, 0, 0, 0, 0, 0)),
    ({"total_tokens": 8}, (8, 0, 0, 0, 0, 0)),
]
TABLE = [
    (kind, *case)
    for kind, cases in (
        (Kind.MESSAGES, ANTHROPIC),
        (Kind.CHAT, CHAT),
        (Kind.COMPLETIONS, CHAT),
        (Kind.RESPONSES, RESPONSES),
        (Kind.EMBEDDINGS, EMBEDDINGS),
    )
    for case in cases
]


@pytest.mark.parametrize(("kind", "obj", "expected"), TABLE)
def test_reads_the_provider_s_object(kind: Kind, obj: dict[str, object], expected: Counts | None) -> None:
    assert counts(usage_from(kind, obj)) == expected


@pytest.mark.parametrize("garbage", [-1, 2**70, 1.5, "7", True, [], {}, None, float("inf")])
@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES, Kind.COMPLETIONS])
def test_a_value_that_is_no_count_is_as_good_as_absent(kind: Kind, garbage: object) -> None:
    given_name = "prompt_tokens" if kind in (Kind.CHAT, Kind.COMPLETIONS) else "input_tokens"
    answered = "completion_tokens" if kind in (Kind.CHAT, Kind.COMPLETIONS) else "output_tokens"
    assert usage_from(kind, {given_name: garbage}) is None
    assert counts(usage_from(kind, {given_name: garbage, answered: 3}, b"{}")) == (0, 0, 0, 0, 3, 0)


def test_count_tokens_spends_nothing() -> None:
    assert usage_from(Kind.COUNT_TOKENS, {"input_tokens": 5}) is None


def test_raw_is_kept() -> None:
    found = usage_from(Kind.CHAT, {"prompt_tokens": 1}, b'{ "prompt_tokens":1 }')
    assert found is not None
    assert found.raw == b'{ "prompt_tokens":1 }'
    found = usage_from(Kind.CHAT, {"prompt_tokens": 1, "vendor": [1]})
    assert found is not None
    assert json.loads(found.raw) == {"prompt_tokens": 1, "vendor": [1]}


count = st.integers(0, 10**9)
anything = st.none() | st.integers() | st.text(max_size=3) | st.floats() | st.booleans() | count


@given(count, count, count, count)
def test_chat_buckets_sum_to_the_provider_s_prompt(
    prompt: int, cached: int, written: int, output: int
) -> None:
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    found = usage_from(
        Kind.CHAT, {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": details}
    )
    assert found is not None
    assert found.input_tokens == prompt
    assert min(counts(found) or ()) >= 0


@given(count, count, count, count, count)
def test_anthropic_buckets_sum_to_the_provider_s_parts(
    fresh: int, read: int, written: int, a: int, b: int
) -> None:
    obj = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": a, "ephemeral_1h_input_tokens": b},
    }
    found = usage_from(Kind.MESSAGES, obj)
    assert found is not None
    assert found.input_tokens == fresh + read + written
    assert found.cache_write == written
    assert min(counts(found) or ()) >= 0


NAMES = [
    "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "cache_creation",
    "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details",
    "cached_tokens", "reasoning_tokens", "thinking_tokens", "prompt_cache_hit_tokens", "cache_write_tokens",
]  # fmt: skip
objects = st.dictionaries(
    st.sampled_from(NAMES), anything | st.dictionaries(st.sampled_from(NAMES), anything, max_size=3)
)


@given(st.sampled_from(list(Kind)), objects)
def test_nothing_raises_and_nothing_is_negative(kind: Kind, obj: dict[str, object]) -> None:
    found = usage_from(kind, obj, b"{}")
    if found is not None:
        assert min(counts(found) or ()) >= 0
        assert found.reasoning <= found.output


def test_later_reports_win_field_by_field() -> None:
    earlier = {"input_tokens": 10, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 4}}
    later = {
        "input_tokens": None,
        "output_tokens": 50,
        "cache_creation": {"ephemeral_1h_input_tokens": 2},
        "service_tier": "standard",
    }
    assert merge_usage(earlier, later) == {
        "input_tokens": 10,
        "output_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 2},
        "service_tier": "standard",
    }


@pytest.mark.parametrize("garbage", [-1, 2**70, "x", 1.5, True, None])
def test_garbage_does_not_displace_a_count(garbage: object) -> None:
    assert merge_usage({"output_tokens": 7}, {"output_tokens": garbage}) == {"output_tokens": 7}
