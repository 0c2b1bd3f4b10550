"""Answers for chat clients, judged by the official SDK."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from backends.wire.conversation import (
    Alive,
    Began,
    Closed,
    Ended,
    Failed,
    Opened,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import ApiError
from backends.wire.openai_chat import StreamWriter, build_response
from backends.wire.usage import Usage
from tests.backends.wire import official
from tests.backends.wire.openai_chat.build import ask
from tests.backends.wire.replies import events_of

USAGE = Usage(3, 2, 1, 1, 5, 2, b"{}")
REPLY = Reply(
    "chatcmpl-9",
    "gpt",
    [
        Thinking("hm, so", "anthropic", signature="s"),
        Text("Grüße 😀"),
        ToolCall("a", "f", '{"x": 1.0}'),
        Text(" and"),
        ToolCall("b", "g", "{}"),
    ],
    Stop.TOOLS,
    usage=USAGE,
    created=7,
)


def stream(reply: Reply, **fields: Any) -> bytes:
    writer = StreamWriter(ask(stream=True, **fields), "chatcmpl-9", 7)
    return b"".join(writer.write(event) for event in events_of(reply))


def test_chunks_are_what_the_sdk_says_and_share_their_identity() -> None:
    chunks = official.check_events("openai_chat", stream(REPLY, stream_options={"include_usage": True}))
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks} == {("chatcmpl-9", 7, "gpt")}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-2]["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "tool_calls",
    }
    assert chunks[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_id_and_name_of_a_call_are_said_once_and_indexes_are_dense() -> None:
    chunks = official.check_events("openai_chat", stream(REPLY))
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["id"] for call in calls if "id" in call] == ["a", "b"]
    assert [call["index"] for call in calls if "id" in call] == [0, 1]
    assert [call["function"]["name"] for call in calls if "name" in call["function"]] == ["f", "g"]


def test_usage_is_shown_only_to_those_who_asked() -> None:
    assert b'"usage"' not in stream(REPLY)
    assert stream(REPLY).endswith(b"data: [DONE]\n\n")


def test_the_sdk_puts_the_stream_together_as_the_buffered_answer() -> None:
    asked = {"stream_options": {"include_usage": True}}
    made = official.assembled("openai_chat", stream(REPLY, **asked))
    whole = official.check_answer("openai_chat", build_response(REPLY, ask()))
    message, expected = made["choices"][0]["message"], whole["choices"][0]["message"]
    assert message["content"] == expected["content"] == "Grüße 😀 and"
    assert message["reasoning_content"] == expected["reasoning_content"] == "hm, so"
    for call, twin in zip(message["tool_calls"], expected["tool_calls"], strict=True):
        assert (call["id"], call["type"]) == (twin["id"], twin["type"])
        assert call["function"]["name"] == twin["function"]["name"]
        assert call["function"]["arguments"] == twin["function"]["arguments"]
    assert made["usage"] == whole["usage"]
    assert made["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_a_call_without_any_arguments_gets_an_empty_object() -> None:
    writer = StreamWriter(ask(), "i", 1)
    made = b"".join(
        writer.write(event)
        for event in (Began("i", "m"), Opened(0, ToolCall("a", "f", "")), Closed(0), Ended(Stop.TOOLS))
    )
    assert (
        official.assembled("openai_chat", made)["choices"][0]["message"]["tool_calls"][0]["function"][
            "arguments"
        ]
        == "{}"
    )


@pytest.mark.parametrize(
    ("stop", "word"),
    [
        (Stop.END, "stop"),
        (Stop.SEQUENCE, "stop"),
        (Stop.PAUSE, "stop"),
        (Stop.LENGTH, "length"),
        (Stop.CONTEXT, "length"),
        (Stop.TOOLS, "tool_calls"),
        (Stop.REFUSAL, "content_filter"),
    ],
)
def test_finish_reasons(stop: Stop, word: str) -> None:
    whole = official.check_answer("openai_chat", build_response(Reply("i", "m", [Text("x")], stop), ask()))
    assert whole["choices"][0]["finish_reason"] == word


def test_a_refusal_has_its_own_field() -> None:
    reply = Reply("i", "m", [Refusal("no")], Stop.REFUSAL)
    message = official.check_answer("openai_chat", build_response(reply, ask()))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "no")
    deltas = [chunk["choices"][0]["delta"] for chunk in official.check_events("openai_chat", stream(reply))]
    assert "".join(delta.get("refusal", "") for delta in deltas) == "no"


def test_a_client_of_legacy_functions_gets_a_function_call() -> None:
    fields = {"functions": [{"name": "f", "parameters": {"type": "object"}}]}
    reply = Reply("i", "m", [ToolCall("a", "f", '{"x":1}')], Stop.TOOLS)
    whole = official.check_answer("openai_chat", build_response(reply, ask(**fields)))
    assert whole["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": '{"x":1}'}
    assert whole["choices"][0]["finish_reason"] == "function_call"
    chunks = official.check_events("openai_chat", stream(reply, **fields))
    calls = [chunk["choices"][0]["delta"].get("function_call", {}) for chunk in chunks]
    assert "".join(call.get("name", "") for call in calls) == "f"
    assert "".join(call.get("arguments", "") for call in calls) == '{"x":1}'


def test_a_custom_call_is_told_as_one() -> None:
    reply = Reply("i", "m", [ToolCall("a", "sh", "ls", is_custom=True)], Stop.TOOLS)
    whole = official.check_answer("openai_chat", build_response(reply, ask()))
    assert whole["choices"][0]["message"]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    ]


def test_an_empty_answer_is_an_answer() -> None:
    reply = Reply("i", "m", [], Stop.END)
    assert (
        official.check_answer("openai_chat", build_response(reply, ask()))["choices"][0]["message"]["content"]
        == ""
    )
    assert official.assembled("openai_chat", stream(reply))["choices"][0]["finish_reason"] == "stop"


def test_a_failure_raises_in_the_sdk_and_is_no_success() -> None:
    writer = StreamWriter(ask(), "i", 1)
    made = writer.write(Began("i", "m")) + writer.write(Failed(ApiError(502, "cut off", code="stream_cut")))
    assert b"[DONE]" not in made
    assert writer.write(Ended(Stop.END)) == writer.ping() == b""
    with pytest.raises(openai.APIError, match="cut off"):
        official.assembled("openai_chat", made)


def test_a_sign_of_life_is_a_comment() -> None:
    writer = StreamWriter(ask(), "i", 1)
    assert writer.ping() == writer.write(Alive()) == b": keep-alive\n\n"


def test_the_model_is_the_clients_until_the_upstream_names_one() -> None:
    assert json.loads(build_response(Reply("i", "", [], Stop.END), ask()))["model"] == "m"
