"""Whole answers and errors, read from a Messages upstream and written for a Messages client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.anthropic import build_response, client_error, parse_error, parse_response
from backends.wire.conversation import (
    Conversation,
    Foreign,
    Reasoning,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Unreadable,
)
from backends.wire.errors import ApiError
from backends.wire.target import Names
from backends.wire.usage import Usage
from tests.backends.wire.anthropic.sdk import checked_message

ASK = Conversation("claude-asked", [])
USAGE = {
    "input_tokens": 3,
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 6},
    "service_tier": "standard",
}


def answer(*content: object, stop_reason: str | None = "end_turn", **fields: object) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
    }
    return json.dumps({**message, "stop_reason": stop_reason, "usage": USAGE, **fields}).encode()


def read(*content: object, **fields: Any) -> Reply:
    return parse_response(answer(*content, **fields), Names())


def test_an_answer_is_read_in_order() -> None:
    server = {"type": "web_search_tool_result", "tool_use_id": "x", "content": []}
    reply = read(
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "text", "text": "a"},
        server,
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        stop_reason="tool_use",
    )
    assert reply.blocks == [
        Thinking("t", "anthropic", "s"),
        Text("a"),
        Foreign("anthropic", "web_search_tool_result", server),
        ToolCall("c", "f", '{"a": 1}'),
    ]
    assert (reply.id, reply.model, reply.stop, reply.service_tier) == (
        "msg_1",
        "claude-x",
        Stop.TOOLS,
        "default",
    )
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.cache_write_1h, reply.usage.reasoning) == (12, 3, 6)


CALL = {"type": "tool_use", "id": "c", "name": "f"}


@pytest.mark.parametrize(
    ("reason", "content", "stop"),
    [
        ("end_turn", [], Stop.END),
        ("end_turn", [CALL], Stop.TOOLS),
        ("tool_use", [], Stop.END),
        ("max_tokens", [CALL], Stop.LENGTH),
        ("stop_sequence", [], Stop.SEQUENCE),
        ("pause_turn", [], Stop.PAUSE),
        ("model_context_window_exceeded", [], Stop.CONTEXT),
        ("compaction", [], Stop.LENGTH),
        ("refusal", [], Stop.REFUSAL),
        (None, [], Stop.END),
    ],
)
def test_the_stop_agrees_with_what_was_emitted(reason: str | None, content: list[object], stop: Stop) -> None:
    assert read(*content, stop_reason=reason).stop is stop


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    reply = read(stop_reason="refusal", stop_details=details)
    assert reply.blocks == [Refusal("No.", "bio")]
    message = checked_message(build_response(reply, ASK))
    assert (message["stop_reason"], message["stop_details"]) == ("refusal", details)


def test_tools_get_the_clients_names_and_text_back() -> None:
    names = Names()
    names.upstream("fn", "ns")
    names.upstream("patch", is_custom=True)
    body = answer(CALL | {"name": "ns__fn"}, CALL | {"name": "patch", "input": {"input": "*** x"}})
    first, second = parse_response(body, names).blocks
    assert first == ToolCall("c", "fn", "{}", namespace="ns")
    assert second == ToolCall("c", "patch", "*** x", is_custom=True)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"content":{}}', b'{"content":[{"type":"text"}]}', b"\xff", b'{"type":"error"}'],
)
def test_what_is_no_message_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_response(body, Names())


def test_an_answer_is_written_as_the_sdk_wants_it() -> None:
    blocks = [
        Thinking("hm", "chat"),
        Text(""),
        Text("a"),
        ToolCall("functions.f:0", "f", ""),
        ToolCall("", "g", "[1]"),
    ]
    usage = Usage(10, 20, 5, 0, 8, 3, b"{}")
    reply = Reply("chatcmpl-1", "gpt", list(blocks), Stop.END, usage=usage)
    message = checked_message(build_response(reply, ASK))
    thinking, text, call, other = message["content"]
    assert thinking == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert text["text"] == "a"
    assert (call["input"], other["input"]) == ({}, {"value": [1]})
    assert call["id"].replace("_", "").replace("-", "").isalnum()
    assert message["stop_reason"] == "tool_use"
    assert message["usage"] == {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 5,
        "output_tokens": 8,
        "output_tokens_details": {"thinking_tokens": 3},
    }


def test_thinking_is_hidden_from_a_client_that_switched_it_off() -> None:
    reply = Reply("r", "m", [Thinking("hm", "chat"), Thinking("t", "anthropic", "s")], Stop.END)
    content = json.loads(build_response(reply, Conversation("m", [], reasoning=Reasoning("off"))))["content"]
    assert content == [{"type": "thinking", "thinking": "t", "signature": "s"}]


def test_an_answer_comes_through_unchanged() -> None:
    content = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
    ]
    made = json.loads(build_response(read(*content, stop_reason="tool_use"), ASK))
    assert (made["content"], made["id"], made["model"]) == (content, "msg_1", "claude-x")
    assert made["usage"] == {name: count for name, count in USAGE.items() if name != "service_tier"}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            529,
            b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}',
            ApiError(529, "Busy"),
        ),
        (
            400,
            b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8"}}',
            ApiError(400, "prompt is too long: 9 tokens > 8", code="context_length_exceeded"),
        ),
        (429, b'{"error":{"message":"no","details":{"error_code":"x"}}}', ApiError(429, "no", code="x")),
        (500, b"plain", ApiError(500, "plain")),
    ],
)
def test_errors_are_read(status: int, body: bytes, expected: ApiError) -> None:
    assert parse_error(status, body) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff\xfe", b'{"error":[1]}', b"[" * 5000])
def test_errors_without_words_still_have_a_message(body: bytes) -> None:
    error = parse_error(413, body)
    assert error.status == 413
    assert error.message


def test_errors_are_told_in_the_words_that_clients_act_on() -> None:
    told = client_error(
        ApiError(
            400,
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.",
            "invalid_request_error",
            "context_length_exceeded",
        )
    )
    assert told.message == "prompt is too long: 130001 tokens > 128000 maximum"
    assert client_error(ApiError(429, "slow", "requests")).type is None
