"""What holds for any input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.wire.conversation import (
    Alive,
    Began,
    CannotCarry,
    Closed,
    Conversation,
    Ended,
    Event,
    Failed,
    Lost,
    Media,
    Opened,
    OutputFormat,
    Piece,
    Reasoning,
    Reply,
    Sampling,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Unreadable,
)
from backends.wire.openai_chat import (
    StreamReader,
    StreamWriter,
    build_request,
    build_response,
    parse_request,
    parse_response,
)
from backends.wire.splice import BadBody
from backends.wire.target import QUIRKS, Names, Target, safe_call_id, safe_tool_name
from tests.backends.wire import official
from tests.backends.wire.openai_chat.build import DONE, chunk, tool_delta
from tests.backends.wire.replies import assemble, events_of

_KEY_NAMES = """
model messages role content type text image_url url tool_calls function name arguments id tool_call_id tools parameters
description strict tool_choice stop n stream stream_options include_usage response_format json_schema schema
reasoning_effort reasoning reasoning_content reasoning_details choices delta message finish_reason index usage error
prompt_tokens completion_tokens code function_call custom input refusal $ref type properties extra_content x_groq
"""
_SAMPLES = """
user assistant system tool function custom text image_url auto none required json_schema stop tool_calls length
data:image/png;base64,AA {} {"a":1} allowed_tools thinking error reasoning.text
"""
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(_SAMPLES.split())
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEY_NAMES.split()), inner, max_size=6)
    ),
    max_leaves=25,
)
presets = st.sampled_from(sorted(QUIRKS))


def overlay(base: dict[str, Any], change: Any) -> dict[str, Any]:
    return {**base, **change} if isinstance(change, dict) else base


@settings(max_examples=settings().max_examples)
@given(values, values, presets)
def test_any_json_is_parsed_or_refused_and_built_or_refused(value: Any, message: Any, preset: str) -> None:
    base = {"model": "m", "messages": [overlay({"role": "assistant"}, message), message]}
    for body in (value, overlay(base, value), base):
        try:
            talk = parse_request(json.dumps(body).encode())
            json.loads(build_request(talk, Target("m", preset), Lost()).body)
        except (BadBody, CannotCarry):
            continue


@settings(max_examples=settings().max_examples)
@given(values, values)
def test_any_answer_is_read_or_unreadable(value: Any, message: Any) -> None:
    for body in (
        value,
        {"id": "c", "choices": [{"message": message, "delta": message, "finish_reason": "stop"}]},
    ):
        data = json.dumps(body).encode()
        try:
            reply = parse_response(data, Names())
        except Unreadable:
            reply = None
        if reply is not None:
            official.check_answer("openai_chat", build_response(reply, parse_request(_ASK)))
        reader, reader_of_chunks = StreamReader(Names()), StreamReader(Names())
        check_order(reader.feed(data) + reader.close())
        event = b"data: " + data + b"\n\n"
        check_order(reader_of_chunks.feed(event * 3) + reader_of_chunks.close())


_ASK = json.dumps(
    {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
).encode()


def check_order(events: list[Event]) -> None:
    """What readers promise."""
    open_block, next_index = None, 0
    for position, event in enumerate(events):
        is_last = position == len(events) - 1
        assert isinstance(event, Ended | Failed) == is_last
        assert position == 0 or not isinstance(event, Began)
        if isinstance(event, Opened):
            assert open_block is None
            assert event.index == next_index
            open_block, next_index = event.index, next_index + 1
        elif isinstance(event, Piece | Closed):
            assert event.index == open_block
            open_block = None if isinstance(event, Closed) else open_block
        elif isinstance(event, Ended):
            assert open_block is None


STREAM = b"".join(
    [
        chunk({"role": "assistant", "content": ""}),
        b": comment\r\n\r\n",
        chunk({"reasoning": "Grüße"}),
        chunk({"content": "😀 1"}),
        chunk(tool_delta(0, id="a", name="f", arguments='{"ä"')),
        chunk(tool_delta(1, id="b", name="g")),
        chunk(tool_delta(0, arguments=':"😀"}')),
        chunk({}, "tool_calls"),
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 2}),
        DONE,
    ]
)


def fed(pieces: list[bytes]) -> list[Event]:
    reader = StreamReader(Names())
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.close()


def test_a_stream_split_at_any_byte_gives_the_same_events() -> None:
    whole = fed([STREAM])
    assert fed([STREAM[at : at + 1] for at in range(len(STREAM))]) == whole
    for at in range(len(STREAM)):
        assert fed([STREAM[:at], STREAM[at:]]) == whole


def test_a_stream_cut_at_any_byte_never_ends_well_before_its_finish() -> None:
    finish = STREAM.index(b'"finish_reason": "tool_calls"')
    for at in range(finish):
        assert isinstance(fed([STREAM[:at]])[-1], Failed)


def test_streams_that_are_read_in_turns_share_nothing() -> None:
    readers = [StreamReader(Names()) for _ in range(3)]
    found: list[list[Event]] = [[], [], []]
    for at in range(0, len(STREAM), 11):
        for reader, events in zip(readers, found, strict=True):
            events += reader.feed(STREAM[at : at + 11])
    assert found[0] == found[1] == found[2] == fed([STREAM])


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text.strip()
)
names = st.from_regex(r"[a-z_-]{1,12}", fullmatch=True)
arguments = st.dictionaries(words, st.integers() | words, max_size=3).map(json.dumps)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    blocks: list[Any] = []
    for index, kind in enumerate(draw(st.lists(st.sampled_from(["thinking", "text", "tool"]), max_size=5))):
        if kind == "tool":
            blocks.append(ToolCall(f"call_{index}", draw(names), draw(arguments)))
        elif not blocks or type(blocks[-1]).__name__.lower() != kind:
            blocks.append(Thinking(draw(words), "chat") if kind == "thinking" else Text(draw(words)))
    has_tools = any(isinstance(block, ToolCall) for block in blocks)
    return Reply("chatcmpl-1", "m", blocks, Stop.TOOLS if has_tools else Stop.END, created=5)


@given(replies())
def test_written_and_read_again_a_stream_is_the_same_reply(reply: Reply) -> None:
    writer = StreamWriter(parse_request(_ASK), "chatcmpl-1", 5)
    stream = b"".join(writer.write(event) for event in events_of(reply, 3))
    official.check_events("openai_chat", stream)
    assembly = assemble(event for event in fed([stream]) if not isinstance(event, Alive))
    assert assembly.ended
    assert assembly.reply == reply


@given(replies())
def test_a_buffered_answer_comes_back_with_the_same_text_and_calls(reply: Reply) -> None:
    body = build_response(reply, parse_request(_ASK))
    official.check_answer("openai_chat", body)
    again = parse_response(body, Names())
    for kind in (Text, Thinking):
        told = "".join(block.text for block in reply.blocks if isinstance(block, kind))
        assert "".join(block.text for block in again.blocks if isinstance(block, kind)) == told
    calls = [block for block in reply.blocks if isinstance(block, ToolCall)]
    assert [block for block in again.blocks if isinstance(block, ToolCall)] == calls
    assert again.stop is reply.stop


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """What both forms can say in one way only."""
    turns: list[Turn] = []
    for number in range(draw(st.integers(0, 4))):
        image = [Media("image", "image/png", "AAAA", detail=draw(st.sampled_from([None, "low"])))]
        turns.append(Turn("user", [Text(draw(words)), *(image if draw(st.booleans()) else [])]))
        calls = [
            ToolCall(f"c{number}_{n}", draw(names), draw(arguments)) for n in range(draw(st.integers(0, 2)))
        ]
        turns.append(Turn("assistant", [Text(draw(words)), *calls]))
        if calls:
            turns.append(Turn("user", [ToolResult(call.id, [Text(draw(words))]) for call in calls]))
    tools = [
        Tool(name, draw(st.none() | words), {"type": "object", "properties": {}})
        for name in draw(st.sets(names, min_size=1))
    ]
    return Conversation(
        "m",
        turns,
        draw(st.just([]) | words.map(lambda text: [Text(text)])),
        [*tools],
        draw(
            st.sampled_from(
                [None, ToolChoice("auto"), ToolChoice("any"), ToolChoice("one", (tools[0].name,))]
            )
        ),
        draw(st.none() | st.booleans()),
        draw(st.none() | st.integers(1, 9999)),
        draw(st.lists(words, max_size=4)),
        Sampling(temperature=draw(st.none() | st.floats(0, 2)), seed=draw(st.none() | st.integers(0, 99))),
        draw(st.sampled_from([Reasoning(), Reasoning("on", "low")])),
        draw(
            st.sampled_from(
                [None, OutputFormat("json"), OutputFormat("schema", {"type": "object"}, "n", None, True)]
            )
        ),
        stream=draw(st.booleans()),
        user=draw(st.none() | names),
    )


@given(conversations())
def test_what_both_forms_can_say_survives_there_and_back(talk: Conversation) -> None:
    lost = Lost()
    body = build_request(talk, Target("m"), lost).body
    official.check_request("openai_chat", body)
    again = parse_request(body)
    talk.include_usage = talk.stream
    assert again == talk
    assert lost.paths == []


@given(conversations(), presets)
def test_every_targets_body_is_one_that_the_sdk_could_have_sent(talk: Conversation, preset: str) -> None:
    official.check_request("openai_chat", build_request(talk, Target("m", preset), Lost()).body)


@given(st.text(max_size=100), st.sampled_from(["", "mistral", "anthropic"]))
def test_call_ids_fit_and_are_the_same_each_time(call_id: str, protocol: str) -> None:
    made = safe_call_id(call_id, protocol)
    assert made == safe_call_id(call_id, protocol) == safe_call_id(made, protocol)
    assert 0 < len(made) <= 64
    assert made.isascii()
    assert protocol != "mistral" or (len(made) == 9 and made.isalnum())


@given(st.sets(st.text(max_size=100), max_size=6), st.sampled_from([64, 128]))
def test_tool_names_fit_and_lead_back(given_names: set[str], limit: int) -> None:
    known = Names()
    sent = {name: known.upstream(name, limit=limit) for name in sorted(given_names)}
    assert len(set(sent.values())) == len(given_names)
    for name, short in sent.items():
        assert 0 < len(short) <= limit
        assert known.client(short).name == name
        assert known.upstream(name, limit=limit) == short


@pytest.mark.parametrize("name", ["a", "a-b_C9", "x" * 64])
def test_a_name_that_fits_stays(name: str) -> None:
    assert safe_tool_name(name, 64) == name
