"""The official SDK's types and accumulator, as judges of what we write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsBase

from backends.wire.anthropic import StreamWriter
from backends.wire.conversation import Conversation, Event
from backends.wire.sse import SseReader

# TypedDicts with postponed annotations and lazy iterables: pydantic checks an iterable only when it is walked.
REQUEST: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(MessageCreateParamsBase)
EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(RawMessageStreamEvent)


def checked_request(body: bytes) -> dict[str, Any]:
    """The request as an object, after the SDK's types have accepted every part of it."""
    made = json.loads(body)
    walk(REQUEST.validate_python(made))
    return made  # type: ignore[no-any-return]


def walk(value: object) -> None:
    if isinstance(value, Mapping):
        for inner in value.values():
            walk(inner)
    elif isinstance(value, list | tuple | Iterator) or type(value).__name__ == "ValidatorIterator":
        for inner in value:  # type: ignore[union-attr]
            walk(inner)


def checked_message(body: bytes) -> dict[str, Any]:
    message = Message.model_validate_json(body, strict=True)
    return message.to_dict(mode="json")


def written(events: list[Event], ask: Conversation, reply_id: str = "msg_1") -> bytes:
    writer = StreamWriter(ask, reply_id, 1)
    return b"".join(writer.write(event) for event in events)


def parsed(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream; each named as its data says."""
    found = []
    for event in SseReader().feed(stream):
        data = json.loads(event.data)
        assert event.name.decode() == data["type"]
        found.append(data)
    return found


def assembled(stream: bytes) -> dict[str, Any]:
    """What the SDK makes of a stream whose every event its strict types accept."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for data in parsed(stream):
        if data["type"] in ("ping", "error"):
            continue
        event = EVENT.validate_json(json.dumps(data), strict=True)
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot.to_dict(mode="json")  # type: ignore[no-any-return]
