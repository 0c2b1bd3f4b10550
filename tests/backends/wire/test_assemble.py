"""A stream's events, put together, are the buffered reply."""

from __future__ import annotations

from backends.wire.assemble import Assembly
from backends.wire.conversation import (
    Alive,
    Began,
    Closed,
    Ended,
    Event,
    Opened,
    Piece,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.usage import Usage

USAGE = Usage(
    fresh_input=3, cache_read=0, cache_write_5m=0, cache_write_1h=0, output=5, reasoning=0, raw=b"{}"
)
EVENTS: list[Event] = [
    Began("id1", "m", created=7),
    Opened(0, Thinking(origin="anthropic")),
    Piece(0, "hm"),
    Piece(0, signature="sig"),
    Closed(0),
    Alive(),
    Opened(1, ToolCall("call_1", "read", "")),
    Piece(1, '{"a":'),
    Piece(1, "1}"),
    Closed(1),
    Opened(2, Text("")),
    Piece(2, "done"),
    Closed(2),
    Ended(Stop.TOOLS, usage=USAGE),
]


def assembled(events: list[Event]) -> Assembly:
    assembly = Assembly()
    for event in events:
        assembly.take(event)
    return assembly


def test_blocks_come_out_whole_and_in_order() -> None:
    found = assembled(EVENTS)
    assert found.ended
    assert found.reply == Reply(
        id="id1",
        model="m",
        blocks=[
            Thinking("hm", origin="anthropic", signature="sig"),
            ToolCall("call_1", "read", '{"a":1}'),
            Text("done"),
        ],
        stop=Stop.TOOLS,
        usage=USAGE,
        created=7,
    )


def test_an_unfinished_stream_is_not_ended() -> None:
    assert not assembled(EVENTS[:-1]).ended


def test_events_are_not_changed_by_assembling_them() -> None:
    assembled(EVENTS)
    assert assembled(EVENTS).reply == assembled(EVENTS).reply
    assert EVENTS[6] == Opened(1, ToolCall("call_1", "read", ""))
