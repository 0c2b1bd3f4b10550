"""Streams for a Messages client: the SDK assembles from them what a buffered answer would have been."""

from __future__ import annotations

from typing import Any

from anthropic.types import Message

from backends.wire.anthropic import StreamWriter, build_response
from backends.wire.conversation import (
    Alive,
    Began,
    Block,
    Closed,
    Conversation,
    Ended,
    Event,
    Failed,
    Foreign,
    Opened,
    Piece,
    Reasoning,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import ApiError
from backends.wire.usage import Usage
from tests.backends.wire.anthropic.sdk import assembled, parsed, written

ASK = Conversation("claude-asked", [])
USAGE = Usage(10, 20, 5, 0, 8, 3, b"{}")


def events_of(reply: Reply) -> list[Event]:
    """The reply as a reader of another protocol would stream it: usage at the end, text in two pieces."""
    events: list[Event] = [Began(reply.id, reply.model)]
    for index, block in enumerate(reply.blocks):
        events += [*pieces(index, block), Closed(index)]
    return [*events, Ended(reply.stop, reply.stop_sequence, reply.usage)]


def pieces(index: int, block: Block) -> list[Event]:
    if isinstance(block, Foreign):
        return [Opened(index, block)]
    if isinstance(block, ToolCall):
        text, bare = block.arguments, ToolCall(block.id, block.name, "", block.is_custom)
        return [Opened(index, bare), Piece(index, text[:2]), Piece(index, text[2:])]
    if isinstance(block, Thinking):
        opened = Opened(index, Thinking(origin=block.origin))
        return [opened, Piece(index, block.text), Piece(index, "", block.signature, block.encrypted)]
    assert isinstance(block, Text | Refusal)
    bare_text = Text("") if isinstance(block, Text) else Refusal("", block.category)
    return [Opened(index, bare_text), Piece(index, block.text[:1]), Piece(index, block.text[1:])]


def both(*blocks: Block, stop: Stop = Stop.END, ask: Conversation = ASK, **fields: Any) -> dict[str, Any]:
    """The buffered answer, after the streamed one was found to be the same."""
    reply = Reply("msg_1", "gpt", list(blocks), stop, usage=USAGE, **fields)
    buffered = Message.model_validate_json(build_response(reply, ask), strict=True).to_dict(mode="json")
    streamed = assembled(written(events_of(reply), ask))
    assert streamed == buffered
    return buffered


def test_streamed_and_buffered_answers_are_equal() -> None:
    raw = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}
    message = both(
        Thinking("hm", "chat"),
        Thinking("t", "anthropic", "sig"),
        Thinking("", "anthropic", "sig"),
        Thinking("", "anthropic", None, "data"),
        Text(""),
        Text("Grüße"),
        Foreign("anthropic", "server_tool_use", raw),
        Foreign("responses", "web_search_call", {"type": "web_search_call"}),
        ToolCall("c1", "f", '{"a": 1}'),
        ToolCall("functions.f:1", "f", ""),
        ToolCall("", "g", '"text"'),
        ToolCall("c4", "h", "free", is_custom=True),
    )
    assert [block["type"] for block in message["content"]] == [
        "thinking", "thinking", "thinking", "redacted_thinking", "text", "server_tool_use",
        "tool_use", "tool_use", "tool_use", "tool_use",
    ]  # fmt: skip
    assert [block["input"] for block in message["content"][6:]] == [
        {"a": 1},
        {},
        {"value": "text"},
        {"input": "free"},
    ]
    assert message["stop_reason"] == "tool_use"


def test_stops_and_refusals() -> None:
    assert both(Text("a"), stop=Stop.SEQUENCE, stop_sequence="x")["stop_sequence"] == "x"
    assert both(Text("a"), stop=Stop.LENGTH)["stop_reason"] == "max_tokens"
    assert both(stop=Stop.TOOLS)["stop_reason"] == "end_turn"
    assert both(stop=Stop.CONTEXT)["stop_reason"] == "model_context_window_exceeded"
    refused = both(Refusal("I will not.", "weird"), stop=Stop.REFUSAL)
    assert refused["stop_details"] == {"type": "refusal", "category": None, "explanation": "I will not."}
    assert both(Text("a"), stop=Stop.REFUSAL)["stop_reason"] == "refusal"


def test_thinking_is_hidden_from_a_client_that_switched_it_off() -> None:
    ask = Conversation("m", [], reasoning=Reasoning("off"))
    assert [block["type"] for block in both(Thinking("hm", "chat"), Text("a"), ask=ask)["content"]] == [
        "text"
    ]


def test_the_order_of_events() -> None:
    blocks: list[Block] = [Thinking("t", "anthropic", "s"), ToolCall("c", "f", "")]
    stream = written(events_of(Reply("r", "m", blocks, Stop.TOOLS, usage=USAGE)), ASK)
    kinds = [event.get("delta", {}).get("type") or event["type"] for event in parsed(stream)]
    assert kinds == [
        "message_start",
        "content_block_start", "thinking_delta", "signature_delta", "content_block_stop",
        "content_block_start", "input_json_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip


def test_input_tokens_that_are_known_at_once_stand_in_the_first_event() -> None:
    first = parsed(written([Began("x", "m", USAGE)], ASK))[0]
    assert first["message"]["usage"]["input_tokens"] == 10
    assert first["message"]["content"] == []


def test_citations_of_this_protocol_pass_and_others_do_not() -> None:
    own = {
        "type": "char_location", "cited_text": "x", "document_index": 0,
        "document_title": None, "file_id": None, "start_char_index": 0, "end_char_index": 1,
    }  # fmt: skip
    events: list[Event] = [Began("x", "m"), Opened(0, Text("")), Piece(0, "a"), Piece(0, citation=own)]
    events += [Piece(0, citation={"type": "url_citation"}), Closed(0), Ended(Stop.END)]
    assert assembled(written(events, ASK))["content"][0]["citations"] == [own]


def test_failures_are_error_events_in_this_protocols_words() -> None:
    events: list[Event] = [
        Began("x", "m"),
        Opened(0, Text("")),
        Piece(0, "a"),
        Failed(ApiError(429, "slow", "requests")),
    ]
    *_, last = parsed(written([*events, Ended(Stop.END)], ASK, "req_9"))
    assert last == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow"},
        "request_id": "req_9",
    }


def test_signs_of_life() -> None:
    writer = StreamWriter(ASK, "r", 1)
    assert writer.write(Alive()) == b""
    assert writer.ping() == b'event: ping\ndata: {"type": "ping"}\n\n'
    writer.write(Began("x", "m"))
    assert writer.write(Alive()) == writer.ping()
