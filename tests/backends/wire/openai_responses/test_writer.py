"""Answers for Responses clients, whole and streamed, as the official SDK judges them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.conversation import (
    Alive,
    Began,
    Closed,
    Conversation,
    Ended,
    Event,
    Failed,
    Foreign,
    Opened,
    Piece,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import ApiError
from backends.wire.openai_responses import (
    StreamReader,
    StreamWriter,
    build_response,
    parse_request,
    parse_response,
)
from backends.wire.target import Names
from backends.wire.usage import Usage
from tests.backends.wire.official import assembled, check_answer, check_events
from tests.backends.wire.replies import assemble, content_of, events_of, read_stream, write_stream

PROTOCOL = "openai_responses"
ASK = parse_request(
    json.dumps(
        {
            "model": "m",
            "input": "x",
            "instructions": "be brief",
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "tool_choice": "auto",
            "metadata": {"a": "b"},
            "store": False,
            "temperature": 0.5,
            "reasoning": {"effort": "low"},
        }
    ).encode()
)
USAGE = Usage(5, 12, 2, 1, 8, 2, b"{}")
REPLY = Reply(
    "resp_abc",
    "claude",
    [
        Thinking("Erst 世界.", "anthropic", signature="c2lnbmF0dXJl"),
        Thinking("", "anthropic", encrypted="cmVkYWN0ZWQ="),
        Text("Grüße 😀"),
        ToolCall("toolu_1", "look", '{"a": 1.0}', namespace="ns"),
        Text("and"),
        ToolCall("toolu_2", "patch", "*** x", is_custom=True),
        ToolCall("toolu_3", "ping", "{}"),
    ],
    Stop.TOOLS,
    usage=USAGE,
    created=7,
)


def read(stream: bytes, names: Names | None = None) -> Reply:
    assembly = assemble(read_stream(StreamReader(names or Names()), stream))
    assert assembly.ended
    return assembly.reply


def write(events: list[Event], ask: Conversation = ASK) -> bytes:
    return write_stream(StreamWriter(ask, "resp_abc", 7), events)


def test_a_whole_answer_is_what_the_sdk_expects() -> None:
    answer = check_answer(PROTOCOL, build_response(REPLY, ASK))
    assert answer["id"] == "resp_abc"
    assert answer["status"] == "completed"
    assert [item["type"] for item in answer["output"]] == [
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "message",
        "custom_tool_call",
        "function_call",
    ]
    assert answer["output"][3] == {
        "id": "fc_abc_3",
        "type": "function_call",
        "status": "completed",
        "call_id": "toolu_1",
        "name": "look",
        "namespace": "ns",
        "arguments": '{"a": 1.0}',
    }
    assert answer["usage"] == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 3},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 28,
    }
    assert (answer["instructions"], answer["metadata"], answer["store"]) == ("be brief", {"a": "b"}, False)
    assert answer["tools"][0]["name"] == "f"


def test_tools_of_every_form_are_repeated_in_the_form_of_this_protocol() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    body = {
        "model": "m",
        "input": "x",
        "tools": [
            {"type": "function", "function": {"name": "nested"}},
            {"type": "function", "name": "f", "strict": True, "parameters": {"type": "object"}},
            {"type": "custom", "custom": {"name": "c", "format": grammar}},
            {
                "type": "namespace",
                "name": "multi_agent_v1",
                "description": "Agents.",
                "tools": [{"type": "function", "name": "spawn", "strict": False, "parameters": {}}],
            },
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": {"type": "function", "function": {"name": "nested"}},
        "text": {"verbosity": "low"},
        "client_metadata": {"a": "b"},
        "service_tier": "standard_only",
        "stream": True,
    }
    ask = parse_request(json.dumps(body).encode())
    answer = check_answer(PROTOCOL, build_response(REPLY, ask))
    assert [tool.get("name") for tool in answer["tools"]] == ["nested", "f", "c", "multi_agent_v1", None]
    assert answer["tool_choice"] == {"type": "function", "name": "nested"}
    assert check_events(PROTOCOL, write(events_of(REPLY), ask))[-1]["response"] == answer


def test_an_ask_of_another_protocol_is_answered_too() -> None:
    assert check_answer(PROTOCOL, build_response(REPLY, Conversation("m", [])))["tools"] == []


def test_each_event_is_what_the_sdk_expects_and_they_are_numbered() -> None:
    events = check_events(PROTOCOL, write(events_of(REPLY)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert added == done == list(range(7))


def test_the_sdk_assembles_the_stream_to_the_whole_answer() -> None:
    answer = json.loads(build_response(REPLY, ASK))
    events = check_events(PROTOCOL, write(events_of(REPLY)))
    assert events[-1]["response"] == answer
    assert [e["item"] for e in events if e["type"] == "response.output_item.done"] == answer["output"]
    final = assembled(PROTOCOL, write(events_of(REPLY)))
    assert final["output"][3]["arguments"] == '{"a": 1.0}'
    assert final["output"][2]["content"][0]["text"] == "Grüße 😀"


def test_events_of_a_text() -> None:
    events = check_events(PROTOCOL, write(events_of(Reply("r", "m", [Text("hello")], Stop.END), 3)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events = [Began("r", "m"), Opened(0, ToolCall("c", "f", "")), Closed(0), Ended(Stop.TOOLS)]
    found = check_events(PROTOCOL, write(events))
    deltas = [e["delta"] for e in found if e["type"] == "response.function_call_arguments.delta"]
    assert deltas == ["{}"]
    assert found[-1]["response"]["output"][0]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("stop", "blocks", "status", "reason"),
    [
        (Stop.END, [Text("x")], "completed", None),
        (Stop.SEQUENCE, [Text("x")], "completed", None),
        (Stop.END, [], "completed", None),
        (Stop.LENGTH, [Text("x")], "incomplete", "max_output_tokens"),
        (Stop.CONTEXT, [Text("x")], "incomplete", "max_output_tokens"),
        (Stop.REFUSAL, [Refusal("no")], "completed", None),
        (Stop.REFUSAL, [Text("x")], "incomplete", "content_filter"),
        (Stop.REFUSAL, [Text("x"), Refusal("", "cyber")], "incomplete", "content_filter"),
    ],
)
def test_how_an_answer_ends(stop: Stop, blocks: list[Any], status: str, reason: str | None) -> None:
    reply = Reply("resp_abc", "m", blocks, stop, created=7)
    answer = check_answer(PROTOCOL, build_response(reply, ASK))
    assert answer["status"] == status
    assert answer["incomplete_details"] == ({"reason": reason} if reason else None)
    last = check_events(PROTOCOL, write(events_of(reply)))[-1]
    assert last["type"] == f"response.{status}"
    assert last["response"] == answer
    assert assembled(PROTOCOL, write(events_of(reply)))["status"] == status


def test_empty_blocks_and_those_of_others_leave_no_trace() -> None:
    blocks = [Text(""), Thinking(""), Foreign("anthropic", "server_tool_use", {}), Text("x")]
    reply = Reply("resp_abc", "m", blocks, Stop.END, created=7)
    answer = json.loads(build_response(reply, ASK))
    assert [item["id"] for item in answer["output"]] == ["msg_abc_0"]
    assert check_events(PROTOCOL, write(events_of(reply)))[-1]["response"] == answer


def test_one_call_id_twice_is_told_apart() -> None:
    blocks: list[Any] = [ToolCall("call_0", "f", "{}"), ToolCall("call_0", "f", "{}")]
    reply = Reply("resp_abc", "m", blocks, Stop.TOOLS, created=7)
    final = assembled(PROTOCOL, write(events_of(reply)))
    assert [item["call_id"] for item in final["output"]] == ["call_0", "call_fc_abc_1"]
    answer = json.loads(build_response(reply, ASK))
    assert [item["call_id"] for item in answer["output"]] == ["call_0", "call_fc_abc_1"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiError(502, "cut", code="stream_cut"), "server_error"),
        (ApiError(529, "busy", "overloaded_error"), "server_error"),
        (ApiError(429, "slow"), "rate_limit_exceeded"),
        (ApiError(429, "pay", code="insufficient_quota"), "insufficient_quota"),
        (ApiError(400, "long", code="context_length_exceeded"), "context_length_exceeded"),
        (ApiError(400, "bad"), "invalid_prompt"),
    ],
)
def test_a_failure_is_told_so_that_clients_know_whether_to_try_again(error: ApiError, code: str) -> None:
    events: list[Event] = [Began("r", "m"), Opened(0, Text("")), Piece(0, "half"), Failed(error)]
    stream = write(events)
    last = [json.loads(part.partition(b"data: ")[2]) for part in stream.split(b"\n\n") if part][-2:]
    assert [event["type"] for event in last] == ["error", "response.failed"]
    assert last[0]["code"] == code
    assert last[1]["response"]["id"] == "resp_abc"
    assert last[1]["response"]["error"] == {"code": code, "message": error.message}
    with pytest.raises(openai.APIError, match=error.message):
        assembled(PROTOCOL, stream)


def test_nothing_is_written_after_the_end() -> None:
    writer = StreamWriter(ASK, "resp_abc", 7)
    write_stream(writer, events_of(REPLY))
    assert writer.write(Failed(ApiError(500, "late"))) == b""


def test_a_ping_is_a_comment() -> None:
    writer = StreamWriter(ASK, "resp_abc", 7)
    assert writer.ping().startswith(b":")
    assert writer.write(Alive()) == writer.ping()


def test_an_id_of_another_protocol_becomes_one_of_this() -> None:
    for given_id, expected in (("msg_01A", "resp_01A"), ("chatcmpl-x", "resp_x"), ("resp_1", "resp_1")):
        reply = Reply(given_id, "m", [], Stop.END)
        assert json.loads(build_response(reply, ASK))["id"] == expected
    assert json.loads(build_response(Reply("a b" * 90, "m", [], Stop.END), ASK))["id"].startswith("resp_")


def test_an_answer_that_grows_without_end_is_ended() -> None:
    writer = StreamWriter(ASK, "resp_abc", 7)
    write_stream(writer, [Began("r", "m"), Opened(0, Text(""))])
    assert b"response.failed" in writer.write(Piece(0, "x" * (64 * 2**20 + 1)))
    assert writer.write(Piece(0, "y")) == b""


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
blocks = st.one_of(
    texts.map(Text),
    texts.map(Refusal),
    st.builds(lambda t: Thinking(t, "responses", is_summary=True), texts),
    st.builds(lambda t, e: Thinking(t, "responses", encrypted=e, is_summary=True), texts, texts),
    st.builds(lambda n, a: ToolCall("", n, a), texts, texts),
    st.builds(lambda n, a: ToolCall("", n, a, is_custom=True), texts, texts),
)


@given(st.lists(blocks, max_size=6))
def test_what_is_written_is_read_back(content: list[Any]) -> None:
    for index, block in enumerate(content):
        if isinstance(block, ToolCall):
            block.id = f"call_{index}"
    stop = Stop.END
    if any(isinstance(block, ToolCall) for block in content):
        stop = Stop.TOOLS
    elif any(isinstance(block, Refusal) for block in content):
        stop = Stop.REFUSAL
    reply = Reply("resp_abc", "m", content, stop, usage=USAGE, created=7)
    expected = content_of(reply)
    stream = write(events_of(reply))
    assert check_events(PROTOCOL, stream)[-1]["response"] == json.loads(build_response(reply, ASK))
    for found in (read(stream), parse_response(build_response(reply, ASK), Names())):
        given_usage = content_of(found)
        given_usage["usage"], expected["usage"] = None, None
        assert given_usage == expected
