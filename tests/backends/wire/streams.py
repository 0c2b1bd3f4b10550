"""Streams as the real services send them, for the tests of the taps."""

from __future__ import annotations

import json

from backends.wire.kinds import Kind
from backends.wire.sse import encode_event


def event(name: str, **fields: object) -> bytes:
    return encode_event(json.dumps({"type": name, **fields}, ensure_ascii=False).encode(), name.encode())


def chunk(choices: list[object], **fields: object) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
    return encode_event(json.dumps({**head, "choices": choices, **fields}, ensure_ascii=False).encode())


def delta(finish_reason: str | None = None, index: int = 0, **fields: object) -> dict[str, object]:
    return {"index": index, "delta": fields, "finish_reason": finish_reason}


MESSAGE_START = event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 7},
    },
)
MESSAGES = [
    MESSAGE_START,
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("ping"),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": 'Grüße "世界" \\ 😀'}),
    event("content_block_stop", index=0),
    event(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": 15, "input_tokens": 26},
    ),
    event("message_stop"),
]
CHAT = [
    chunk([delta(role="assistant", content="")]),
    chunk([delta(content='Grüße "世界" \\ 😀')]),
    chunk([delta(content="!")]),
    chunk([delta("stop")]),
    chunk([], usage={"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}),
    b"data: [DONE]\n\n",
]


def completion(text: str, finish_reason: str | None) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}
    return chunk([choice], object="text_completion")


COMPLETIONS = [
    completion("Grüße", None),
    completion(" 世界", "stop"),
    chunk(
        [], object="text_completion", usage={"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    ),
    b"data: [DONE]\n\n",
]


def response(status: str, **fields: object) -> dict[str, object]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "model": "gpt-y",
        "status": status,
        "output": [],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [{"type": "web_search"}],
        "error": None,
        **fields,
    }


ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
PART = {"type": "output_text", "text": "", "annotations": []}
DONE_ITEM = ITEM | {"status": "completed", "content": [PART | {"text": "Grüße 世界"}]}
RESPONSE_USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
    "output_tokens": 8,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 28,
}
RESPONSES = [
    event("response.created", sequence_number=0, response=response("in_progress")),
    event("response.in_progress", sequence_number=1, response=response("in_progress")),
    event("response.output_item.added", sequence_number=2, output_index=0, item=ITEM),
    event("response.content_part.added", sequence_number=3, **PLACE, part=PART),
    event("response.output_text.delta", sequence_number=4, **PLACE, delta="Grüße 世界", logprobs=[]),
    event("response.output_text.done", sequence_number=5, **PLACE, text="Grüße 世界", logprobs=[]),
    event("response.content_part.done", sequence_number=6, **PLACE, part=PART | {"text": "Grüße 世界"}),
    event("response.output_item.done", sequence_number=7, output_index=0, item=DONE_ITEM),
    event(
        "response.completed",
        sequence_number=8,
        response=response("completed", output=[DONE_ITEM], usage=RESPONSE_USAGE),
    ),
]
STREAMS = {
    Kind.MESSAGES: MESSAGES,
    Kind.CHAT: CHAT,
    Kind.COMPLETIONS: COMPLETIONS,
    Kind.RESPONSES: RESPONSES,
}
