"""What holds for any input: only typed errors, the same events however a stream is cut, nothing shared."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.wire.anthropic import (
    StreamReader,
    build_request,
    build_response,
    parse_error,
    parse_request,
    parse_response,
)
from backends.wire.assemble import Assembly
from backends.wire.conversation import CannotCarry, Conversation, Ended, Event, Failed, Lost, Unreadable
from backends.wire.splice import BadBody
from backends.wire.target import Names, Target
from tests.backends.wire.anthropic.sdk import assembled, checked_request, written
from tests.backends.wire.streams import MESSAGE_START, event

KEYS = [
    "type",
    "text",
    "content",
    "role",
    "source",
    "data",
    "media_type",
    "url",
    "input",
    "id",
    "name",
    "tool_use_id",
    "is_error",
    "thinking",
    "signature",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "input_schema",
    "model",
    "max_tokens",
    "cache_control",
    "ttl",
    "metadata",
    "user_id",
    "usage",
    "delta",
    "index",
    "stop_reason",
]
WORDS = [
    "user",
    "assistant",
    "system",
    "text",
    "image",
    "document",
    "tool_use",
    "tool_result",
    "thinking",
    "redacted_thinking",
    "base64",
    "enabled",
    "adaptive",
    "auto",
    "tool",
    "any",
    "json_schema",
    "search_result",
    "server_tool_use",
]
SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 10**20) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
TEXTS = st.text("ab ü\n世", max_size=6)
CACHED = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
BLOCKS = st.one_of(
    st.builds(lambda text, cache: {"type": "text", "text": text, **cache}, TEXTS, CACHED),
    st.builds(
        lambda i, v: {"type": "tool_use", "id": f"c{i}", "name": "f", "input": {"a": v}},
        st.integers(0, 3),
        SCALARS,
    ),
    st.builds(
        lambda i, text: {"type": "tool_result", "tool_use_id": f"c{i}", "content": text},
        st.integers(0, 3),
        TEXTS,
    ),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": text.strip()}, TEXTS),
    OBJECTS,
)
REQUESTS = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["user", "assistant", "system"]),
                    "content": TEXTS | st.lists(BLOCKS, max_size=4),
                }
            ),
            max_size=6,
        ),
    },
    optional={
        "system": TEXTS,
        "tools": st.lists(st.builds(lambda s: {"name": "f", "input_schema": s}, OBJECTS), max_size=2),
        "tool_choice": st.sampled_from([{"type": "any"}, {"type": "none"}, {"type": "tool", "name": "f"}]),
        "thinking": st.sampled_from(
            [{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 2000}, {"type": "disabled"}]
        ),
        "max_tokens": st.integers(0, 9000),
        "temperature": st.floats(0, 2),
    },
)
MODELS = st.sampled_from(
    ["claude-opus-4-8", "claude-sonnet-4-5", "claude-3-opus-20240229", "claude-opus-5-5", "kimi"]
)


@given(
    st.binary(max_size=40)
    | VALUES.map(lambda v: json.dumps(v).encode())
    | REQUESTS.map(lambda v: json.dumps(v).encode())
)
@settings(max_examples=settings().max_examples, deadline=None)
def test_only_typed_errors_are_raised(body: bytes) -> None:
    with suppress(BadBody):
        talk = parse_request(body)
        with suppress(CannotCarry):
            build_request(talk, Target("claude-opus-4-6"), Lost())
    with suppress(Unreadable):
        build_response(parse_response(body, Names()), Conversation("m", []))
    parse_error(400, body)


@given(REQUESTS, MODELS)
@settings(max_examples=settings().max_examples, deadline=None)
def test_built_requests_keep_the_rules_of_the_api(request: dict[str, Any], model: str) -> None:
    with suppress(BadBody, CannotCarry):
        talk = parse_request(json.dumps(request).encode())
        before = deepcopy(talk)
        built = build_request(talk, Target(model), Lost())
        assert talk == before
        check_rules(json.loads(built.body))


def check_rules(body: dict[str, Any]) -> None:
    messages = body["messages"]
    roles = [message["role"] for message in messages]
    assert roles[0] == "user"
    assert all(a != b for a, b in pairwise(roles))
    assert all(after == "assistant" for role, after in pairwise(roles) if role == "system")
    assert body["max_tokens"] > body.get("thinking", {}).get("budget_tokens", -1)
    due: list[str] = []
    for message in messages:
        kinds = [block.get("type") for block in message["content"]]
        assert kinds
        assert all(block["text"].strip() for block in message["content"] if block.get("type") == "text")
        if message["role"] != "system":
            results = [
                block["tool_use_id"] for block in message["content"] if block.get("type") == "tool_result"
            ]
            assert results == due
            assert kinds[: len(due)] == ["tool_result"] * len(due)
            due = [block["id"] for block in message["content"] if block.get("type") == "tool_use"]
    assert not due


USUAL = {
    "model": "claude-opus-4-8",
    "max_tokens": 100,
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "a"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1.5}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": "r"},
                {"type": "image", "source": {"type": "url", "url": "https://x"}},
            ],
        },
    ],
    "system": [{"type": "text", "text": "y", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "tools": [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"type": "object", "properties": {}},
            "strict": True,
        }
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {"effort": "high"},
    "metadata": {"user_id": '{"session_id":"s"}'},
    "stop_sequences": ["x"],
    "stream": True,
}


def test_a_usual_request_comes_through_both_ways() -> None:
    talk = parse_request(json.dumps(USUAL).encode())
    lost = Lost()
    body = build_request(talk, Target("claude-opus-4-8"), lost).body
    assert checked_request(body) == USUAL
    assert parse_request(body) == talk
    assert lost.paths == []


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    parts = [event("content_block_start", index=index, content_block=start)]
    parts += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return [*parts, event("content_block_stop", index=index)]


RICH = [
    MESSAGE_START,
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm 世"},
        {"type": "signature_delta", "signature": "s"},
    ),
    *block(
        1,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Grüße"},
        {"type": "text_delta", "text": "\r\n"},
    ),
    *block(
        2,
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query": "x"}'},
    ),
    *block(
        3,
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"a": '},
        {"type": "input_json_delta", "partial_json": '"ü"}'},
    ),
    event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 9}),
    event("message_stop"),
]
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "hm 世", "signature": "s"},
        {"type": "text", "text": "Grüße\r\n"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": "ü"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 9},
}


def read(chunks: list[bytes]) -> list[Event]:
    reader = StreamReader(Names())
    return [found for chunk in chunks for found in reader.feed(chunk)] + reader.close()


def test_a_stream_gives_the_same_events_wherever_it_is_cut() -> None:
    stream = b"".join(RICH)
    whole = read([stream])
    assert isinstance(whole[-1], Ended)
    for cut in range(len(stream)):
        assert read([stream[:cut], stream[cut:]]) == whole
    assert read([stream[at : at + 1] for at in range(len(stream))]) == whole


def test_streamed_and_buffered_answers_are_the_same_reply() -> None:
    assembly = Assembly()
    for found in read(RICH):
        assembly.take(found)
    buffered = parse_response(json.dumps(WHOLE, ensure_ascii=False).encode(), Names())
    assert assembly.reply.usage is not None
    assert buffered.usage is not None
    buffered.usage = assembly.reply.usage = None
    assert assembly.reply == buffered


def test_a_stream_read_and_written_again_is_the_same_message() -> None:
    ask = Conversation("m", [])
    again = assembled(written(read(RICH), ask))
    assert again["content"] == WHOLE["content"]
    assert again["usage"]["input_tokens"] == 25


@given(
    st.lists(
        OBJECTS | st.sampled_from([msgspec.json.decode(e.split(b"data: ")[1]) for e in RICH]), max_size=12
    )
)
@settings(max_examples=settings().max_examples, deadline=None)
def test_readers_keep_their_promises_for_any_events(objects: list[dict[str, Any]]) -> None:
    events = read([b"data: " + json.dumps(item).encode() + b"\n\n" for item in objects])
    assert isinstance(events[-1], Ended | Failed)
    assert not any(isinstance(found, Ended | Failed) for found in events[:-1])
    assembly = Assembly()
    for found in events:
        assembly.take(found)
    written(events, Conversation("m", []))


@given(st.lists(st.booleans(), min_size=80, max_size=80))
@settings(max_examples=settings().max_examples, deadline=None)
def test_interleaved_streams_share_nothing(order: list[bool]) -> None:
    other = [part.replace(b"Gr", b"Br") for part in RICH]
    readers, queues = [StreamReader(Names()), StreamReader(Names())], [list(RICH), list(other)]
    found: list[list[Event]] = [[], []]
    for which in [*map(int, order), *[0] * 40, *[1] * 40]:
        if queues[which]:
            found[which] += readers[which].feed(queues[which].pop(0))
    assert found == [read(RICH), read(other)]
