"""Streams that fail, and answers that were not streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.conversation import (
    Ended,
    Event,
    Failed,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Unreadable,
)
from backends.wire.openai_chat import StreamReader, parse_response
from backends.wire.openai_chat import lanes as lanes_module
from backends.wire.target import Names
from tests.backends.wire.openai_chat.build import DONE, chunk, read, tool_delta
from tests.backends.wire.replies import assemble


def failed(*pieces: bytes) -> Failed:
    last = read(*pieces)[-1]
    assert isinstance(last, Failed)
    return last


def test_a_stream_without_a_finish_was_cut() -> None:
    for pieces in ([chunk({"content": "x"})], [], [b": ping\n\n"], [b"<html>"], [DONE]):
        error = failed(*pieces).error
        assert (error.code, error.status) == ("stream_cut", 502)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"error": {"message": "m", "code": 429}}, 429),
        ({"error": {"message": "m", "type": "insufficient_quota"}}, 429),
        (
            {
                "error": {"message": "m", "code": "502"},
                "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
            },
            502,
        ),
        ({"object": "error", "message": "m", "code": 400}, 400),
        ({"error": "m"}, 500),
    ],
)
def test_errors_inside_the_stream(data: dict[str, Any], status: int) -> None:
    error = failed(chunk({"content": "x"}), b"data: " + json.dumps(data).encode() + b"\n\n", DONE).error
    assert (error.status, error.message) == (status, "m")


def test_an_unknown_finish_reason_is_no_success() -> None:
    assert (
        "insufficient_system_resource"
        in failed(chunk({"content": "x"}, "insufficient_system_resource")).error.message
    )
    assert failed(chunk({}, "error")).error.status == 502
    named = b'event: error\ndata: {"error":{"message":"boom"}}\n\n'
    assert failed(named).error.message == "boom"


def test_nothing_follows_the_end() -> None:
    events = read(chunk({"content": "x"}, "stop"), DONE, chunk({"content": "y"}), DONE)
    assert sum(isinstance(event, Ended | Failed) for event in events) == 1
    assert isinstance(events[-1], Ended)


def test_a_call_without_a_name_fails() -> None:
    assert (
        failed(chunk(tool_delta(0, id="a", arguments="{}"), "tool_calls"), DONE).error.code == "bad_tool_call"
    )


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StreamReader(Names())
    reader.feed(chunk(tool_delta(0, id="a", name="f", arguments='{"x":"')))
    block = chunk(tool_delta(0, arguments="y" * 2**20))
    last: list[Event] = []
    for _ in range(lanes_module.LIMIT // 2**20 + 1):
        last = reader.feed(block) or last
    assert isinstance(last[-1], Failed)


def test_an_answer_that_was_not_streamed_is_read_all_the_same() -> None:
    body = {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
    }
    events = read(json.dumps(body).encode())
    assert assemble(events).reply.blocks == [Text("x")]
    assert isinstance(read(b'{"error":{"message":"m"}}')[-1], Failed)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"{}", b'{"choices":[]}', b'{"error":{"message":"m"}}']
)
def test_garbage_in_place_of_an_answer_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_response(body, Names())


def test_a_buffered_answer() -> None:
    message = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}],
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": ""}},
        ],
        "function_call": {"name": "f", "arguments": "{}"},
    }
    body = {
        "id": "c",
        "model": "m",
        "created": 3,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    reply = parse_response(json.dumps(body).encode(), Names())
    assert reply.blocks == [
        Thinking("hm", "chat"),
        Text("a"),
        ToolCall("a", "f", '{"x": 1.0}'),
        ToolCall("b", "f", "{}"),
    ]
    assert (reply.id, reply.model, reply.created, reply.stop) == ("c", "m", 3, Stop.TOOLS)
