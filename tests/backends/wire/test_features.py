"""What a request asks for, read from its head and its messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.features import (
    Media,
    asks_for_reasoning,
    asks_for_schema,
    asks_for_tools,
    estimated_tokens,
    media_of,
)
from backends.wire.kinds import Kind
from backends.wire.shapes import Clues
from backends.wire.splice import peek

TALK = {"messages": [{"role": "user", "content": "hi"}]}


def clues(kind: Kind, **fields: Any) -> Clues:
    body = {"model": "m", **({"input": "hi"} if kind is Kind.RESPONSES else TALK), **fields}
    return peek(kind, msgspec.json.encode(body)).clues


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES])
def test_tools_are_asked_for_when_one_is_offered(kind: Kind) -> None:
    assert asks_for_tools(clues(kind, tools=[{"name": "a"}]))
    assert not asks_for_tools(clues(kind, tools=[]))
    assert not asks_for_tools(clues(kind, tools=None))
    assert not asks_for_tools(clues(kind))


def test_functions_of_old_clients_are_tools() -> None:
    assert asks_for_tools(clues(Kind.CHAT, functions=[{"name": "a"}]))


def test_an_empty_list_may_be_written_wide() -> None:
    body = b'{"model": "m", "messages": [], "tools": [ \n ]}'
    assert not asks_for_tools(peek(Kind.CHAT, body).clues)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (Kind.CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}, True),
        (Kind.CHAT, {"response_format": {"type": "json_object"}}, False),
        (Kind.CHAT, {}, False),
        (Kind.RESPONSES, {"text": {"format": {"type": "json_schema", "schema": {}}}}, True),
        (Kind.RESPONSES, {"text": {"format": {"type": "text"}, "verbosity": "low"}}, False),
        (Kind.RESPONSES, {"text": {"verbosity": "low"}}, False),
        (Kind.MESSAGES, {"output_config": {"effort": "high"}}, False),
        (Kind.MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": {}}}}, True),
        (Kind.MESSAGES, {"output_format": {"type": "json_schema", "schema": {}}}, True),
    ],
)
def test_a_schema_is_asked_for_in_each_protocol_s_own_way(
    kind: Kind, fields: dict[str, object], expected: bool
) -> None:
    assert asks_for_schema(kind, clues(kind, **fields)) is expected


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (Kind.MESSAGES, {"thinking": {"type": "adaptive"}}, True),
        (Kind.MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, True),
        (Kind.MESSAGES, {"thinking": {"type": "disabled"}}, False),
        (Kind.MESSAGES, {}, False),
        (Kind.COUNT_TOKENS, {"thinking": {"type": "adaptive"}}, True),
        (Kind.CHAT, {"reasoning_effort": "low"}, True),
        (Kind.CHAT, {"reasoning_effort": "none"}, False),
        (Kind.CHAT, {"reasoning": {"enabled": True}}, True),
        (Kind.CHAT, {"reasoning": {"enabled": False}}, False),
        (Kind.CHAT, {"reasoning": "whatever"}, True),
        (Kind.RESPONSES, {"reasoning": {"summary": "auto"}}, True),
        (Kind.RESPONSES, {"reasoning": {"effort": "none"}}, False),
        (Kind.RESPONSES, {"reasoning": None}, False),
    ],
)
def test_reasoning_is_asked_for_unless_it_is_switched_off(
    kind: Kind, fields: dict[str, object], expected: bool
) -> None:
    assert asks_for_reasoning(clues(kind, **fields)) is expected


def media(**body: Any) -> Media:
    return media_of(msgspec.json.encode(body))


def test_media_are_found_in_messages_and_in_the_results_of_tools() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    result = {"type": "tool_result", "content": [image, {"type": "document", "source": {}}]}
    assert media(messages=[{"role": "user", "content": [image, result]}]) == Media(2, 1, 0)
    parts = [{"type": "image_url", "image_url": {"url": "https://x"}}, {"type": "file", "file": {}}]
    assert media(messages=[{"role": "user", "content": parts}]) == Media(1, 1, 0)
    output = {"type": "function_call_output", "output": [{"type": "input_image"}]}
    message = {"role": "user", "content": [{"type": "input_file"}]}
    assert media(input=[output, message]) == Media(1, 1, 0)


def test_what_only_looks_like_media_is_none() -> None:
    tool = {"name": "t", "input_schema": {"properties": {"file": {"type": "string"}, "image": {}}}}
    text = '{"type": "image"}'
    assert media(messages=[{"role": "user", "content": text}], tools=[tool]) == Media()
    call = {"type": "tool_use", "input": {"type": "image"}}
    assert media(messages=[{"role": "assistant", "content": [call]}]) == Media()
    assert media(messages=["image", {"content": ["image"]}], input="input_image") == Media()


def test_encoded_media_are_no_text_and_count_flat() -> None:
    data = "A" * 40_000
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    body = msgspec.json.encode({"messages": [{"role": "user", "content": [image]}]})
    found = media_of(body)
    assert found.size > 40_000
    assert 1600 <= estimated_tokens(len(body), found) < 1700
    document = {"type": "document", "source": {"type": "text", "data": data}}
    body = msgspec.json.encode({"messages": [{"role": "user", "content": [document]}]})
    assert estimated_tokens(len(body), media_of(body)) > 10_000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["image", "type", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "output", "messages"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "tools"]), _JSON, max_size=3))
def test_no_body_is_too_strange(body: dict[str, object]) -> None:
    found = media_of(msgspec.json.encode(body))
    assert found.images >= 0
    assert found.documents >= 0
