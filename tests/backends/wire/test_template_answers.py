"""Tool names on the way down: restored wherever a call is told, and every other byte as the backend sent it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.frames import FrameReader, data_of
from backends.wire.kinds import Kind
from backends.wire.templates import ToolNames

CLIENT = {"shell": "Bash", "cat": "Read"}
ANSWERING = (Kind.MESSAGES, Kind.CHAT, Kind.RESPONSES)
SAID = 'call "shell" with {"type": "tool_use", "name": "shell"}'
ARGUMENTS = '{"name":"shell","type":"function_call"}'


def calls(kind: Kind, first: str, second: str) -> dict[str, Any]:
    """An answer that says something and calls two tools; the second only looks like one where that is possible."""
    inner = [{"name": first, "arguments": ARGUMENTS}, {"name": second, "arguments": "{}"}]
    if kind is Kind.CHAT:
        made = [{"id": str(n), "type": "function", "function": call} for n, call in enumerate(inner)]
        message = {"role": "assistant", "content": SAID, "tool_calls": made}
        return {"id": "shell", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    if kind is Kind.RESPONSES:
        items = [{"type": "function_call", "call_id": "shell", **call} for call in inner]
        tools = [{"type": "function", "name": first, "parameters": {"shell": 1}}]
        text = {"type": "message", "name": "shell", "content": [{"type": "output_text", "text": SAID}]}
        return {"object": "response", "output": [text, *items], "tools": tools, "tool_choice": "auto"}
    blocks = [
        {"type": "tool_use", "id": "shell", "name": call["name"], "input": {"name": "shell"}}
        for call in inner
    ]
    hosted = {"type": "server_tool_use", "id": "1", "name": "shell", "input": {}}
    return {"role": "assistant", "content": [{"type": "text", "text": SAID}, *blocks, hosted]}


@pytest.mark.parametrize("kind", ANSWERING)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_answer_gets_the_clients_names(kind: Kind, indent: Any) -> None:
    data = json.dumps(calls(kind, "shell", "other"), indent=indent).encode()
    restored = ToolNames(kind, CLIENT).whole(data)
    assert restored == json.dumps(calls(kind, "Bash", "other"), indent=indent).encode()


@pytest.mark.parametrize("kind", ANSWERING)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no JSON shell",
        b'{"broken": "shell"',
        b'[{"name":"shell"}]',
        b'"shell"',
        b'{"error":{"message":"shell"}}',
        b"[" * 5000,
    ],
)
def test_what_holds_no_call_is_the_same_object(kind: Kind, data: bytes) -> None:
    assert ToolNames(kind, CLIENT).whole(data) is data


def test_an_escaped_name_is_a_name_too() -> None:
    data = rb'{"content":[{"type":"tool_\u0075se","name":"\u0073hell"}]}'
    assert (
        ToolNames(Kind.MESSAGES, CLIENT).whole(data)
        == rb'{"content":[{"type":"tool_\u0075se","name":"Bash"}]}'
    )


# --- streams -----------------------------------------------------------------------------------------------------


def messages_stream(name: str) -> list[tuple[str, Any]]:
    call = {"type": "tool_use", "id": "t", "name": name, "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '"shell"'}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "shell", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAID}},
        {"type": "content_block_start", "index": 1, "content_block": call},
        {"type": "content_block_delta", "index": 1, "delta": piece},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def chat_stream(name: str) -> list[tuple[str, Any]]:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '"shell"'}}
    return [
        ("", {"choices": [{"index": 0, "delta": {"role": "assistant", "content": SAID}}]}),
        ("", {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}),
        ("", {"choices": [{"index": 0, "delta": {"tool_calls": [more]}}]}),
        ("", {"choices": []}),
    ]


def responses_stream(name: str) -> list[tuple[str, Any]]:
    item = {"type": "function_call", "id": "i", "call_id": "shell", "name": name, "arguments": ARGUMENTS}
    whole = {"tools": [{"type": "function", "name": name}], "output": [item]}
    events = [
        {"type": "response.created", "response": {**whole, "output": []}},
        {"type": "response.output_text.delta", "delta": SAID},
        {"type": "response.output_item.added", "item": item},
        {"type": "response.function_call_arguments.delta", "delta": '"shell"'},
        {"type": "response.function_call_arguments.done", "name": name, "arguments": ARGUMENTS},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return [(str(event["type"]), event) for event in events]


STREAMS = {Kind.MESSAGES: messages_stream, Kind.CHAT: chat_stream, Kind.RESPONSES: responses_stream}


def spelled(kind: Kind, name: str, newline: str = "\n", *, split: bool = False) -> bytes:
    """A stream; with `split` the data of each event run over two lines."""
    out = ": a comment" + newline * 2
    for event, data in STREAMS[kind](name):
        text = json.dumps(data)
        if split:
            text = text.replace(", ", f",{newline}data: ", 1)
        out += (f"event: {event}{newline}" if event else "") + f"data: {text}{newline}{newline}"
    return (out + (f"data: [DONE]{newline}{newline}" if kind is Kind.CHAT else "")).encode()


def fed(kind: Kind, chunks: list[bytes]) -> bytes:
    stream = ToolNames(kind, CLIENT).stream()
    return b"".join([stream.feed(chunk) for chunk in chunks]) + stream.end() + stream.end()


@pytest.mark.parametrize("kind", ANSWERING)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("split", [False, True])
def test_a_stream_gets_the_clients_names_wherever_it_is_cut(kind: Kind, newline: str, split: bool) -> None:
    data = spelled(kind, "shell", newline, split=split)
    wanted = spelled(kind, "Bash", newline, split=split)
    assert fed(kind, [data]) == wanted
    assert fed(kind, [data[at : at + 1] for at in range(len(data))]) == wanted
    for at in range(len(data)):
        assert fed(kind, [data[:at], data[at:]]) == wanted


@given(
    st.sampled_from(ANSWERING),
    st.lists(st.integers(0, 1200), max_size=8),
    st.sampled_from(["shell", "other"]),
)
def test_any_chunks_give_the_same_bytes(kind: Kind, cuts: list[int], name: str) -> None:
    data = spelled(kind, name)
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(ends)]
    assert fed(kind, chunks) == spelled(kind, CLIENT.get(name, name))


@pytest.mark.parametrize("kind", ANSWERING)
def test_whole_events_without_a_name_pass_as_the_same_object(kind: Kind) -> None:
    stream = ToolNames(kind, CLIENT).stream()
    chunk = b'data: {"type":"ping"}\n\n'
    assert stream.feed(chunk) is chunk


@pytest.mark.parametrize("kind", ANSWERING)
def test_an_event_that_is_complete_is_not_held(kind: Kind) -> None:
    data, wanted = spelled(kind, "shell"), spelled(kind, "Bash")
    stream, told = ToolNames(kind, CLIENT).stream(), b""
    for at in range(len(data)):
        told += stream.feed(data[at : at + 1])
        if data[: at + 1].endswith(b"\n\n"):
            assert told.count(b"\n\n") == data[: at + 1].count(b"\n\n")
            assert wanted.startswith(told)


@pytest.mark.parametrize("kind", ANSWERING)
def test_a_body_in_place_of_a_stream_and_an_event_that_was_not_ended(kind: Kind) -> None:
    body = json.dumps(calls(kind, "shell", "other")).encode()
    assert fed(kind, [body[:50], body[50:]]) == json.dumps(calls(kind, "Bash", "other")).encode()
    data = spelled(kind, "shell").rstrip(b"\n")
    assert fed(kind, [data]) == spelled(kind, "Bash").rstrip(b"\n")


def test_what_cannot_be_read_passes() -> None:
    odd = b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"shell"\n\ndata: shell\n\n'
    assert fed(Kind.CHAT, [odd]) == odd


# --- frames ------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.sampled_from([b"data: x", b"data:", b"\n", b"\r", b"\r\n", b": c", b"event: e"]), max_size=12
    ),
    st.integers(1, 5),
)
def test_frames_are_the_stream(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    reader = FrameReader()
    frames = [frame for at in range(0, len(data), size) for frame in reader.feed(data[at : at + size])]
    assert b"".join(frames) + reader.rest() == data
    assert len(reader) == 0


def test_offsets_in_the_data_are_offsets_in_the_frame() -> None:
    frame = b"event: x\ndata: {\ndata: 1}\nid: 7\n\n"
    start, data = data_of(frame)
    assert (start, data.split()) == (0, [b"{", b"1}"])
    assert frame[data.index(b"1}") :].startswith(b"1}")
    start, data = data_of(b"event: x\ndata: {}\n\n")
    assert (start, data) == (14, b" {}")
    assert data_of(b": nothing\n\n") == (0, b"")


def test_what_is_no_event_stream_passes_once_it_is_too_long() -> None:
    stream, chunk = ToolNames(Kind.CHAT, CLIENT).stream(), b"x" * (9 * 2**20)
    assert stream.feed(chunk) == b""
    assert len(stream.feed(chunk)) == 2 * len(chunk)
    assert stream.feed(chunk) is chunk
    assert stream.end() == b""
