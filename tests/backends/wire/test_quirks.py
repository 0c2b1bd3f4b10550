"""Leaving out what was refused: by byte spans, with its pair, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.quirks import Quirk, QuirkKind, Without, without
from backends.wire.spans import EACH, removals, renaming, value_at
from backends.wire.splice import splice

CLAUDE = {
    "model": "c",
    "system": [
        {"type": "text", "text": 'é "cache_control": {', "cache_control": {"type": "ephemeral", "scope": "g"}}
    ],
    "tools": [{"name": "a", "strict": True}, {"strict": True, "name": "b"}],
    "context_management": {"edits": []},
    "output_config": {"effort": "high"},
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "x", "cache_control": {"scope": "g", "ttl": "1h"}}],
        },
        {"role": "assistant", "content": "context_management"},
    ],
}
BETAS = "oauth-2025-04-20, context-management-2025-06-27,effort-2025-11-24,prompt-caching-scope-2026-01-05"


def drop(body: Any, *names: str, kind: Kind = Kind.MESSAGES, betas: str = BETAS) -> Without:
    """Names with a date are beta values."""
    quirks = [
        Quirk(QuirkKind.BETA if "-20" in name or name == "*" else QuirkKind.PARAMETER, name) for name in names
    ]
    text = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    headers = [(b"anthropic-beta", betas.encode()), (b"x", b"y")] if betas else [(b"x", b"y")]
    return without(quirks, kind, text, headers)


def sent(found: Without) -> list[str]:
    values = [value.decode() for name, value in found.headers if name == b"anthropic-beta"]
    return values[0].split(",") if values else []


def test_only_the_bytes_of_the_field_and_one_comma_go() -> None:
    body = b'{ "model" : "m",  "temperature": 0.2 ,\n"top_p":1, "max_tokens":5 }'
    found = drop(body, "temperature", kind=Kind.RESPONSES, betas="")
    assert found.body == b'{ "model" : "m",  "top_p":1, "max_tokens":5 }'
    assert found.mutations == ("$.temperature=quirk",)
    found = drop(body, "max_tokens", "top_p", kind=Kind.RESPONSES, betas="")
    assert found.body == b'{ "model" : "m",  "temperature": 0.2 }'


def test_a_request_without_the_field_stays_the_same_object() -> None:
    body = json.dumps({"model": "m", "messages": []}).encode()
    found = drop(body, "temperature", "tools[].strict", "effort-2099-01-01")
    assert found.body is body
    assert found.mutations == ()
    assert sent(found) == BETAS.split(",")


def test_a_field_goes_with_its_beta_value_and_the_other_way_round() -> None:
    for names in (["context_management"], ["context-management-2025-06-27"]):
        found = drop(CLAUDE, *names)
        assert "context_management" not in json.loads(found.body)
        assert "context-management-2025-06-27" not in sent(found)
        assert found.mutations == ("$.context_management=quirk", "header:anthropic-beta=quirk")


def test_a_part_of_an_object_and_the_whole_object_have_the_same_pair() -> None:
    part = drop(CLAUDE, "output_config.effort")
    assert json.loads(part.body)["output_config"] == {}
    whole = drop(CLAUDE, "output_config")
    assert "output_config" not in json.loads(whole.body)
    assert "effort-2025-11-24" not in [*sent(part), *sent(whole)]


def test_fields_of_tools_and_of_cache_marks_go_everywhere() -> None:
    found = json.loads(drop(CLAUDE, "tools[].strict", "cache_control.scope").body)
    assert found["tools"] == [{"name": "a"}, {"name": "b"}]
    assert found["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert found["messages"][0]["content"][0]["cache_control"] == {"ttl": "1h"}
    assert found["system"][0]["text"] == 'é "cache_control": {'


def test_all_betas_but_the_one_that_a_token_needs() -> None:
    found = drop(CLAUDE, "*")
    assert sent(found) == ["oauth-2025-04-20"]
    body = json.loads(found.body)
    assert "context_management" not in body
    assert body["output_config"] == {}
    assert body["messages"][1] == CLAUDE["messages"][1]  # type: ignore[index]


def test_the_last_beta_takes_the_header_with_it() -> None:
    found = drop({"model": "m"}, "effort-2025-11-24", betas="effort-2025-11-24")
    assert found.headers == [(b"x", b"y")]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"model": "m"}, "model"),
        ({"tools": [{"name": "a"}]}, "tools"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
        ({"text": {"format": {"type": "json_schema"}}}, "text"),
        ({"response_format": {}}, "response_format"),
        ({"mcp_servers": []}, "mcp_servers"),
    ],
)
def test_what_carries_the_request_stays(body: dict[str, object], name: str) -> None:
    assert drop(body, name, betas="").mutations == ()


@pytest.mark.parametrize(
    ("body", "beta"),
    [
        ({"messages": [{"role": "system", "content": "x"}]}, "mid-conversation-system-2026-04-07"),
        ({"output_format": {"type": "json_schema"}}, "structured-outputs-2025-11-13"),
        ({"mcp_servers": []}, "mcp-client-2025-04-04"),
        ({}, "oauth-2025-04-20"),
    ],
)
def test_a_beta_value_that_a_part_of_the_request_needs_stays(body: dict[str, object], beta: str) -> None:
    assert sent(drop(body, beta, betas=beta)) == [beta]


def test_the_two_names_of_the_token_limit_are_exchanged_in_chat() -> None:
    body = b'{"model":"m","max_tokens":5,"temperature":1}'
    found = drop(body, "max_tokens", "temperature", kind=Kind.CHAT, betas="")
    assert found.body == b'{"model":"m","max_completion_tokens":5}'
    both = b'{"max_tokens":5,"max_completion_tokens":6}'
    assert drop(both, "max_tokens", kind=Kind.CHAT, betas="").body == b'{"max_completion_tokens":6}'


_NAMES = ["a", "b", "c", "é", 'q"u', "tools"]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=10,
)


def _less(value: Any, path: tuple[str, ...]) -> Any:
    """The slow definition: on parsed JSON."""
    if path[0] == EACH:
        return [_less(each, path[1:]) for each in value] if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    if len(path) == 1:
        return {name: each for name, each in value.items() if name != path[0]}
    return {name: _less(each, path[1:]) if name == path[0] else each for name, each in value.items()}


@given(
    st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=5),
    st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4, unique=True),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_removing_is_the_same_on_bytes_as_on_values(
    body: dict[str, object], names: list[str], indent: int | None, escaped: bool
) -> None:
    text = json.dumps(body, indent=indent, ensure_ascii=escaped).encode()
    paths = [(name,) for name in names] + [(name, EACH, "a") for name in _NAMES] + [("tools", "b")]
    expected: Any = body
    for path in paths:
        expected = _less(expected, path)
    removed = removals(text, paths)
    assert json.loads(splice(text, removed.edits)) == expected
    assert bool(removed.edits) is (expected != body)


@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=5))
def test_values_and_names_are_found_where_they_stand(body: dict[str, object]) -> None:
    text = json.dumps(body, ensure_ascii=False).encode()
    for name, value in body.items():
        found = value_at(text, [name])
        assert found is not None
        assert json.loads(found) == value
        renamed = json.loads(splice(text, renaming(text, name, "new")))
        assert renamed == {("new" if each == name else each): body[each] for each in body}
    assert value_at(text, ["nowhere"]) is None
    assert renaming(text, "nowhere", "new") == []
