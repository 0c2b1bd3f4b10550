"""A backend's answers and streams, for the tests of this package."""

from __future__ import annotations

import json
from typing import Any

from backends.wire.sse import encode_event

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 3},
    "output_tokens": 8,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 28,
}
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Erst 世界."}, {"type": "summary_text", "text": "Dann."}],
    "encrypted_content": "gAAAAA==",
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Grüße 😀 an alle", "annotations": [], "logprobs": []}],
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"at": "世界",  "n":1.0}',
}
EMPTY_CALL = {**CALL, "id": "fc_2", "call_id": "call_2", "name": "ping", "arguments": ""}
CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "completed",
    "call_id": "call_3",
    "name": "patch",
    "input": "*** Begin\n+x",
}
REFUSAL = {
    "id": "msg_2",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "refusal", "refusal": "I would rather not."}],
}
ITEMS: list[dict[str, Any]] = [REASONING, MESSAGE, CALL, EMPTY_CALL, CUSTOM]


def response(items: list[dict[str, Any]], status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": 5,
        "model": "gpt-y",
        "status": status,
        "output": items,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE if status in ("completed", "incomplete") else None,
        **fields,
    }


def encode(name: str, number: int = 0, **fields: Any) -> bytes:
    data = {"type": name, "sequence_number": number, **fields}
    return encode_event(json.dumps(data, ensure_ascii=False).encode(), name.encode())


def stream(items: list[dict[str, Any]], *, size: int = 4, status: str = "completed", **fields: Any) -> bytes:
    """The stream in which these items would have come."""
    events = [
        encode(f"response.{name}", response=response([], "in_progress"))
        for name in ("created", "in_progress")
    ]
    for index, item in enumerate(items):
        events += item_events(index, item, size)
    return b"".join([*events, encode(f"response.{status}", response=response(items, status, **fields))])


def item_events(index: int, item: dict[str, Any], size: int = 4) -> list[bytes]:
    """The events of one item."""
    place = {"item_id": item["id"], "output_index": index}
    empty = {
        **item,
        **{name: [] if isinstance(item[name], list) else "" for name in _GROWING if name in item},
    }
    empty.pop("encrypted_content", None)
    return [
        encode("response.output_item.added", output_index=index, item=empty),
        *_inner(item, place, size),
        encode("response.output_item.done", output_index=index, item=item),
    ]


_GROWING = ("content", "summary", "arguments", "input")


def _inner(item: dict[str, Any], place: dict[str, Any], size: int) -> list[bytes]:
    events = []
    for at, part in enumerate(item.get("content", ())):
        name, field = ("output_text", "text") if part["type"] == "output_text" else ("refusal", "refusal")
        here = {**place, "content_index": at}
        events.append(encode("response.content_part.added", **here, part={**part, field: ""}))
        events += [encode(f"response.{name}.delta", **here, delta=d) for d in _cut(part[field], size)]
        events.append(encode(f"response.{name}.done", **here, **{field: part[field]}))
        events.append(encode("response.content_part.done", **here, part=part))
    for at, part in enumerate(item.get("summary", ())):
        here = {**place, "summary_index": at}
        events.append(encode("response.reasoning_summary_part.added", **here, part={**part, "text": ""}))
        name = "response.reasoning_summary_text"
        events += [encode(f"{name}.delta", **here, delta=d) for d in _cut(part["text"], size)]
        events.append(encode(f"{name}.done", **here, text=part["text"]))
        events.append(encode("response.reasoning_summary_part.done", **here, part=part))
    for field, name in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
        if field in item:
            events += [encode(f"response.{name}.delta", **place, delta=d) for d in _cut(item[field], size)]
            events.append(encode(f"response.{name}.done", **place, **{field: item[field]}))
    return events


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]
