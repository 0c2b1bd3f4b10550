"""What a protocol hands to the writer: `Event`, one server-sent event, and its part in the stream."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import msgspec

from backends.simulator.asking import JsonObject

encode = msgspec.json.encode


class Part(Enum):
    """Where in a stream an event stands; faults that spare or drop events choose by it."""

    OPEN = "open"  # before the first content: message_start, response.created, the role chunk
    CONTENT = "content"
    CLOSING = "closing"  # after the last content, not yet the end: message_delta, the usage chunk
    TERMINAL = "terminal"  # says that the answer is complete
    DONE = "done"  # OpenAI's `[DONE]`


class Event(NamedTuple):
    """One server-sent event. `name` is empty where the protocol sends no `event:` line."""

    name: bytes
    data: bytes
    part: Part


def named(kind: str, fields: JsonObject, part: Part = Part.CONTENT) -> Event:
    """An event whose name is also the `type` field of its JSON."""
    return Event(kind.encode(), encode({"type": kind, **fields}), part)


Events = Iterator[Event]
