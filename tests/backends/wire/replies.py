"""Whole answers and streams of them, turned into each other, for the tests of the translators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from backends.wire.assemble import Assembly
from backends.wire.conversation import (
    Began,
    Block,
    Closed,
    Ended,
    Event,
    Opened,
    Piece,
    Refusal,
    Reply,
    Text,
    Thinking,
    ToolCall,
)


def assemble(events: Iterable[Event]) -> Assembly:
    """What the events amount to."""
    assembly = Assembly()
    for event in events:
        assembly.take(event)
    return assembly


def events_of(reply: Reply, size: int = 7) -> list[Event]:
    """The stream that a reader would have made of this answer, in pieces of `size` characters."""
    events: list[Event] = [Began(reply.id, reply.model, None, reply.created)]
    for index, block in enumerate(reply.blocks):
        empty, text = _emptied(block)
        events.append(Opened(index, empty))
        events += [Piece(index, text[at : at + size]) for at in range(0, len(text), size)]
        if isinstance(block, Thinking) and block.signature:
            events.append(Piece(index, signature=block.signature))
        if isinstance(block, Thinking) and block.encrypted:
            events.append(Piece(index, encrypted=block.encrypted))
        events.append(Closed(index))
    return [*events, Ended(reply.stop, reply.stop_sequence, reply.usage)]


def _emptied(block: Block) -> tuple[Block, str]:
    if isinstance(block, ToolCall):
        return replace(block, arguments=""), block.arguments
    if isinstance(block, Thinking):
        return replace(block, text="", signature=None, encrypted=None), block.text
    if isinstance(block, Text | Refusal):
        return replace(block, text=""), block.text
    return block, ""


def content_of(reply: Reply) -> dict[str, Any]:
    """What must be equal however the answer came: all but the ids that we make up, and the provider's raw usage."""
    usage = reply.usage and msgspec.structs.replace(reply.usage, raw=b"")
    return {
        "blocks": [_comparable(block) for block in reply.blocks],
        "stop": reply.stop,
        "stop_sequence": reply.stop_sequence,
        "usage": usage,
        "model": reply.model,
    }


def _comparable(block: Block) -> Block:
    if isinstance(block, ToolCall):
        return replace(block, item_id=None)
    return replace(block, id=None) if isinstance(block, Thinking) else block


def read_stream(reader: Any, stream: bytes, cuts: Iterable[int] = ()) -> list[Event]:
    """All events of the stream, fed in chunks that end at the cuts."""
    ends = [*sorted({cut for cut in cuts if 0 < cut < len(stream)}), len(stream)]
    events: list[Event] = []
    start = 0
    for end in ends:
        events += reader.feed(stream[start:end])
        start = end
    return [*events, *reader.close()]


def write_stream(writer: Any, events: Iterable[Event]) -> bytes:
    """The client's bytes."""
    return b"".join(writer.write(event) for event in events)
