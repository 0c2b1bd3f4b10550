"""Streams and whole answers of a backend that speaks Responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.conversation import (
    Alive,
    Closed,
    Ended,
    Event,
    Failed,
    Foreign,
    Opened,
    Piece,
    Refusal,
    Reply,
    Stop,
    Thinking,
    ToolCall,
)
from backends.wire.openai_responses import (
    StreamReader,
    parse_response,
)
from backends.wire.target import Names, ToolName, wrap_custom
from tests.backends.wire.openai_responses import upstream
from tests.backends.wire.replies import assemble, content_of, read_stream


def read(stream: bytes, names: Names | None = None) -> Reply:
    assembly = assemble(read_stream(StreamReader(names or Names()), stream))
    assert assembly.ended
    return assembly.reply


def whole(items: list[dict[str, Any]], names: Names | None = None, **fields: Any) -> Reply:
    return parse_response(json.dumps(upstream.response(items, **fields)).encode(), names or Names())


def test_a_stream_and_a_whole_answer_are_the_same() -> None:
    reply = read(upstream.stream(upstream.ITEMS))
    assert content_of(reply) == content_of(whole(upstream.ITEMS))
    assert reply.id == "resp_up"
    assert reply.stop is Stop.TOOLS
    assert reply.usage is not None
    assert (reply.usage.fresh_input, reply.usage.cache_read, reply.usage.cache_write) == (5, 12, 3)
    assert reply.blocks[0] == Thinking(
        "Erst 世界.\n\nDann.", "responses", encrypted="gAAAAA==", id="rs_1", is_summary=True
    )
    assert reply.blocks[2] == ToolCall("call_1", "look", upstream.CALL["arguments"], item_id="fc_1")
    assert reply.blocks[3] == ToolCall("call_2", "ping", "{}", item_id="fc_2")


def test_cuts_anywhere_change_nothing() -> None:
    stream = upstream.stream(upstream.ITEMS, size=9)
    expected = read_stream(StreamReader(Names()), stream)
    for cut in range(1, len(stream)):
        assert read_stream(StreamReader(Names()), stream, [cut]) == expected


@given(st.sets(st.integers(1, 6000), max_size=40))
def test_many_cuts_change_nothing(cuts: set[int]) -> None:
    stream = upstream.stream(upstream.ITEMS)
    assert read_stream(StreamReader(Names()), stream, cuts) == read_stream(StreamReader(Names()), stream)


def test_streams_share_no_state() -> None:
    readers = [StreamReader(Names()) for _ in range(2)]
    stream = upstream.stream(upstream.ITEMS)
    events: list[list[Event]] = [[], []]
    for at in range(0, len(stream), 50):
        for reader, found in zip(readers, events, strict=True):
            found += reader.feed(stream[at : at + 50])
    assert events[0] == events[1] == read_stream(StreamReader(Names()), stream)


def test_items_that_overlap_come_out_one_after_the_other() -> None:
    first, second = upstream.item_events(0, upstream.CALL), upstream.item_events(1, upstream.EMPTY_CALL)
    parts = [*first[:3], *second[:1], *first[3:5], *second[1:], *first[5:]]
    opening = upstream.stream([]).split(b"event: response.completed")[0]
    items = [upstream.CALL, upstream.EMPTY_CALL]
    closing = upstream.encode("response.completed", response=upstream.response(items))
    stream = opening + b"".join(parts) + closing
    events = read_stream(StreamReader(Names()), stream)
    open_index = None
    for event in events:
        if isinstance(event, Opened):
            assert open_index is None
            open_index = event.index
        elif isinstance(event, Piece):
            assert event.index == open_index
        elif isinstance(event, Closed):
            open_index = None
    assert content_of(assemble(events).reply) == content_of(whole(items))


def test_what_the_deltas_lacked_comes_from_the_closing_events() -> None:
    lines = upstream.stream(upstream.ITEMS).split(b"\n\n")
    without = b"\n\n".join(line for line in lines if b".delta" not in line)
    assert content_of(read(without)) == content_of(whole(upstream.ITEMS))


def test_the_last_event_alone_is_enough() -> None:
    stream = upstream.encode("response.completed", response=upstream.response(upstream.ITEMS))
    assert content_of(read(stream)) == content_of(whole(upstream.ITEMS))


def test_deltas_alone_are_enough() -> None:
    lines = upstream.stream([upstream.MESSAGE]).split(b"\n\n")
    kept = [line for line in lines if b"output_text.delta" in line or b"response.completed" in line]
    assert read(b"\n\n".join(kept) + b"\n\n").blocks == whole([upstream.MESSAGE]).blocks


def test_unknown_events_are_signs_of_life() -> None:
    reader = StreamReader(Names())
    reader.feed(upstream.encode("response.created", response=upstream.response([], "in_progress")))
    assert reader.feed(upstream.encode("response.something.new", output_index=4)) == [Alive()]
    assert reader.feed(upstream.encode("keepalive")) == [Alive()]


def test_names_are_given_back() -> None:
    names = Names({"ns__look": ToolName("look", "ns"), "patch": ToolName("patch", None, True)})
    calls = [
        {**upstream.CALL, "name": "ns__look"},
        {**upstream.CALL, "id": "fc_9", "call_id": "c9", "name": "patch", "arguments": wrap_custom("*** ü")},
    ]
    reply = read(upstream.stream(calls), names)
    assert [(b.name, b.namespace, b.is_custom) for b in reply.blocks if isinstance(b, ToolCall)] == [
        ("look", "ns", False),
        ("patch", None, True),
    ]
    assert isinstance(reply.blocks[1], ToolCall)
    assert reply.blocks[1].arguments == "*** ü"
    assert content_of(reply) == content_of(whole(calls, names))


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, Stop.LENGTH),
        ({"incomplete_details": {"reason": "content_filter"}}, Stop.REFUSAL),
        ({}, Stop.LENGTH),
    ],
)
def test_an_incomplete_answer_says_why(fields: dict[str, Any], stop: Stop) -> None:
    stream = upstream.stream([upstream.MESSAGE], status="incomplete", **fields)
    assert read(stream).stop is stop
    assert whole([upstream.MESSAGE], status="incomplete", **fields).stop is stop


def test_a_refusal_is_a_refusal() -> None:
    reply = read(upstream.stream([upstream.REFUSAL]))
    assert reply.blocks == [Refusal("I would rather not.")]
    assert reply.stop is Stop.REFUSAL


def test_a_hosted_call_passes_whole() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    assert read(upstream.stream([search, upstream.MESSAGE])).blocks[0] == Foreign(
        "responses", "web_search_call", search
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("rate_limit_exceeded", 429),
        ("insufficient_quota", 429),
        ("context_length_exceeded", 400),
        ("server_is_overloaded", 503),
        ("server_error", 500),
        ("invalid_image", 400),
    ],
)
def test_errors_in_a_stream_get_the_status_they_would_have_had(code: str, status: int) -> None:
    failed = upstream.response([], "failed", error={"code": code, "message": "no"})
    for stream in (
        upstream.encode("response.failed", response=failed),
        upstream.encode("error", code=code, message="no", param=None),
        upstream.encode("error", error={"code": code, "message": "no"}),
    ):
        events = read_stream(StreamReader(Names()), stream)
        assert [type(event) for event in events] == [Failed]
        assert isinstance(events[0], Failed)
        assert (events[0].error.status, events[0].error.code) == (status, code)


def test_a_stream_without_its_end_is_a_failure() -> None:
    stream = upstream.stream(upstream.ITEMS)
    events = read_stream(StreamReader(Names()), stream[: stream.rindex(b"event:")])
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.status, events[-1].error.code) == (502, "stream_cut")
    assert sum(isinstance(event, Failed | Ended) for event in events) == 1


def test_nothing_comes_after_the_end() -> None:
    reader = StreamReader(Names())
    reader.feed(upstream.stream([upstream.MESSAGE]))
    assert reader.feed(upstream.stream([upstream.MESSAGE])) == []
    assert reader.close() == []


def test_later_items_do_not_wait_without_end() -> None:
    reader = StreamReader(Names())
    reader.feed(upstream.item_events(0, upstream.MESSAGE)[0])
    reader.feed(upstream.item_events(1, upstream.CALL)[0])
    delta = upstream.encode(
        "response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta="x" * 9 * 2**20
    )
    assert not any(isinstance(event, Failed) for event in reader.feed(delta))
    last = reader.feed(delta)[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "stream_too_large"
    assert reader.close() == []
