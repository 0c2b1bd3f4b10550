"""Streams of a Messages upstream, read: whatever its order, blocks come out whole, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from backends.wire.anthropic import StreamReader
from backends.wire.conversation import (
    Alive,
    Began,
    Closed,
    Ended,
    Event,
    Failed,
    Foreign,
    Opened,
    Piece,
    Refusal,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.target import Names
from tests.backends.wire.streams import MESSAGE_START, MESSAGES, event


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": f"{kind}_delta", **fields})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def end(reason: str | None = "end_turn", **fields: Any) -> bytes:
    ending = event("message_delta", delta={"stop_reason": reason, **fields}, usage={"output_tokens": 5})
    return ending + event("message_stop")


def read(*parts: bytes, names: Names | None = None) -> list[Event]:
    reader = StreamReader(names or Names())
    return reader.feed(b"".join(parts)) + reader.close()


def body(*parts: bytes, names: Names | None = None, reason: str = "end_turn") -> list[Event]:
    """The events between beginning and end."""
    began, *events, ended = read(MESSAGE_START, *parts, end(reason), names=names)
    assert isinstance(began, Began)
    assert isinstance(ended, Ended)
    return events


def tool(index: int, **fields: Any) -> bytes:
    return start(index, type="tool_use", id=f"t{index}", name="f", **{"input": {}, **fields})


def test_a_plain_stream() -> None:
    began, *events, ended = read(*MESSAGES)
    assert isinstance(began, Began)
    assert (began.id, began.model) == ("msg_1", "claude-x")
    assert began.usage is not None
    assert (began.usage.fresh_input, began.usage.cache_read) == (25, 7)
    assert events == [Opened(0, Text("")), Alive(), Piece(0, 'Grüße "世界" \\ 😀'), Closed(0)]
    assert isinstance(ended, Ended)
    assert ended.stop is Stop.END
    assert ended.usage is not None
    assert (ended.usage.fresh_input, ended.usage.cache_read, ended.usage.output) == (26, 7, 15)


def test_events_without_names_and_unknown_ones() -> None:
    stream = b"".join(MESSAGES).replace(b"event: content_block_delta\n", b"")
    odd = b"event: future\ndata: [1]\n\n: comment\n\ndata: [DONE]\n\n"
    began, *events, _ended = read(stream.replace(b"event: ping", odd + b"event: ping", 1))
    assert isinstance(began, Began)
    assert Piece(0, 'Grüße "世界" \\ 😀') in events


def test_tool_input_comes_in_pieces_or_as_an_empty_object() -> None:
    parts = [tool(0), delta(0, "input_json", partial_json=""), delta(0, "input_json", partial_json='{"a"')]
    parts += [
        delta(0, "input_json", partial_json=": 1}"),
        stop(0),
        tool(1),
        stop(1),
        tool(2, input={"b": 2}),
        stop(2),
    ]
    assert body(*parts) == [
        Opened(0, ToolCall("t0", "f", "")), Piece(0, '{"a"'), Piece(0, ": 1}"), Closed(0),
        Opened(1, ToolCall("t1", "f", "")), Piece(1, "{}"), Closed(1),
        Opened(2, ToolCall("t2", "f", "")), Piece(2, '{"b": 2}'), Closed(2),
    ]  # fmt: skip


def test_the_stop_is_derived_from_the_calls() -> None:
    assert read(MESSAGE_START, tool(0), stop(0), end())[-1].stop is Stop.TOOLS  # type: ignore[union-attr]
    assert read(MESSAGE_START, end("tool_use"))[-1].stop is Stop.END  # type: ignore[union-attr]


def test_custom_tools_give_their_text() -> None:
    names = Names()
    names.upstream("f", "ns", is_custom=True)
    names.upstream("f", is_custom=True)
    parts = [
        tool(0),
        delta(0, "input_json", partial_json='{"input": "*** '),
        delta(0, "input_json", partial_json='x"}'),
    ]
    call = ToolCall("t0", "f", "", is_custom=True)
    assert body(*parts, stop(0), names=names) == [Opened(0, call), Piece(0, "*** x"), Closed(0)]


def test_thinking_ends_with_its_signature() -> None:
    parts = [start(0, type="thinking", thinking="", signature=""), delta(0, "signature", signature="s")]
    parts += [
        delta(0, "thinking", thinking="t"),
        stop(0),
        start(1, type="redacted_thinking", data="r"),
        stop(1),
    ]
    assert body(*parts) == [
        Opened(0, Thinking(origin="anthropic")), Piece(0, "t"), Piece(0, signature="s"), Closed(0),
        Opened(1, Thinking(origin="anthropic")), Piece(1, encrypted="r"), Closed(1),
    ]  # fmt: skip


def test_server_tools_are_handed_out_whole() -> None:
    parts = [start(0, type="server_tool_use", id="s", name="web_search", input={})]
    parts += [
        delta(0, "input_json", partial_json='{"query":'),
        delta(0, "input_json", partial_json='"x"}'),
        stop(0),
    ]
    parts += [start(1, type="compaction", content="a"), delta(1, "compaction", content="b"), stop(1)]
    raw = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    assert body(*parts) == [
        Opened(0, Foreign("anthropic", "server_tool_use", raw)),
        Closed(0),
        Opened(1, Foreign("anthropic", "compaction", {"type": "compaction", "content": "ab"})),
        Closed(1),
    ]


def test_citations_are_pieces() -> None:
    citation = {"type": "page_location", "cited_text": "x"}
    parts = [
        start(0, type="text", text=""),
        delta(0, "citations", citation=citation),
        delta(0, "text", text="a"),
    ]
    assert body(*parts, stop(0))[1:3] == [Piece(0, citation=citation), Piece(0, "a")]


def test_interleaved_blocks_wait_for_their_turn() -> None:
    parts = [
        tool(0),
        tool(1),
        delta(1, "input_json", partial_json='{"b":1}'),
        delta(0, "input_json", partial_json="{}"),
    ]
    parts += [start(2, type="text", text="x"), stop(1), stop(0), delta(2, "text", text="y"), stop(2)]
    assert body(*parts) == [
        Opened(0, ToolCall("t0", "f", "")), Piece(0, "{}"), Closed(0),
        Opened(1, ToolCall("t1", "f", "")), Piece(1, '{"b":1}'), Closed(1),
        Opened(2, Text("")), Piece(2, "x"), Piece(2, "y"), Closed(2),
    ]  # fmt: skip


def test_a_delta_that_does_not_fit_gets_a_block_of_its_own() -> None:
    parts = [
        tool(0),
        delta(0, "input_json", partial_json="{}"),
        delta(0, "text", text="a"),
        delta(5, "thinking", thinking="b"),
    ]
    assert body(*parts) == [
        Opened(0, ToolCall("t0", "f", "")), Piece(0, "{}"), Closed(0),
        Opened(1, Text("")), Piece(1, "a"), Closed(1),
        Opened(2, Thinking(origin="anthropic")), Piece(2, "b"), Closed(2),
    ]  # fmt: skip


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    events = read(MESSAGE_START, end("refusal", stop_details=details))
    assert events[1:4] == [Opened(0, Refusal("", "cyber")), Piece(0, "No."), Closed(0)]
    assert events[4].stop is Stop.REFUSAL  # type: ignore[union-attr]


def test_an_error_ends_the_stream() -> None:
    failed = event("error", error={"type": "overloaded_error", "message": "Busy"})
    events = read(MESSAGE_START, failed, *MESSAGES)
    assert len(events) == 2
    assert isinstance(events[1], Failed)
    assert (events[1].error.status, events[1].error.message) == (529, "Busy")
    only = read(failed)
    assert isinstance(only[0], Failed)


@pytest.mark.parametrize("count", range(len(MESSAGES)))
def test_a_cut_stream_fails(count: int) -> None:
    events = read(*MESSAGES[:count])
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.status, events[-1].error.code) == (502, "stream_cut")
    assert not any(isinstance(found, Ended) for found in events)


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: nonsense\n\n",
        b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": "0"}\n\n',
        b"event: message_delta\ndata: [\n\n",
        delta(9, "input_json", partial_json="{}"),
    ],
)
def test_garbage_in_a_known_event_is_not_skipped(garbage: bytes) -> None:
    events = read(MESSAGE_START, garbage, *MESSAGES[1:])
    assert isinstance(events[-1], Failed)
    assert events[-1].error.status == 502
    assert len(events) == 2


def test_nothing_comes_after_the_end() -> None:
    reader = StreamReader(Names())
    reader.feed(b"".join(MESSAGES))
    assert reader.feed(b"".join(MESSAGES)) == []
    assert reader.close() == []
