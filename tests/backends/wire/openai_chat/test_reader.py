"""Streams of OpenAI and of those who imitate it, as events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.wire.conversation import (
    Began,
    Closed,
    Ended,
    Opened,
    Piece,
    Refusal,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.target import Names
from tests.backends.wire.openai_chat.build import DONE, chunk, read, tool_delta
from tests.backends.wire.replies import assemble


def blocks(*pieces: bytes, names: Names | None = None) -> list[Any]:
    """The blocks of a stream that ends well."""
    assembly = assemble(read(*pieces, DONE, names=names))
    assert assembly.ended
    return assembly.reply.blocks


def ended(*pieces: bytes) -> Ended:
    last = read(*pieces)[-1]
    assert isinstance(last, Ended)
    return last


def test_a_plain_stream() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    events = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        chunk(usage=usage),
        DONE,
    )
    assert events[:-1] == [
        Began("chatcmpl-1", "m", created=5),
        Opened(0, Text("")),
        Piece(0, "Hel"),
        Piece(0, "lo"),
        Closed(0),
    ]
    last = events[-1]
    assert isinstance(last, Ended)
    assert last.stop is Stop.END
    assert last.usage is not None
    assert (last.usage.input_tokens, last.usage.output) == (9, 3)


def test_azures_first_chunk_and_null_deltas_pass_harmlessly() -> None:
    first = b'data: {"id":"","model":"","choices":[],"prompt_filter_results":[]}\n\n'
    nothing = b'data: {"id":"c","choices":[{"index":0,"delta":null,"finish_reason":null}]}\n\n'
    events = read(
        first,
        b": OPENROUTER PROCESSING\n\n",
        nothing,
        chunk({"content": None}),
        chunk({"content": "x"}, "stop"),
    )
    assert isinstance(events[0], Began)
    assert events[0].id == "c"
    assert events[2:4] == [Piece(0, "x"), Closed(0)]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm", "index": 0}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_reasoning_in_all_spellings(delta: dict[str, Any]) -> None:
    assert blocks(chunk(delta), chunk({"content": "a"}, "stop")) == [Thinking("hm", "chat"), Text("a")]


def test_signed_details_are_kept_whole_to_be_sent_back() -> None:
    found = blocks(
        chunk({"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}]}),
        chunk({"reasoning": "b", "reasoning_details": [{"type": "reasoning.text", "text": "b", "index": 0}]}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}),
        chunk({"content": "x"}, "stop"),
    )
    assert isinstance(found[0], Thinking)
    assert found[0].text == "ab"
    assert json.loads(found[0].encrypted or "") == [
        {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "s"}
    ]


def test_lanes_may_come_in_any_order() -> None:
    found = blocks(
        chunk({"content": "a"}),
        chunk({"reasoning": "t"}),
        chunk(tool_delta(0, id="c", name="f", arguments='{"x":')),
        chunk({"content": "b"}),
        chunk(tool_delta(0, arguments="1}")),
        chunk({"reasoning": "u"}, "tool_calls"),
    )
    assert found == [
        Text("a"),
        Thinking("t", "chat"),
        ToolCall("c", "f", '{"x":1}'),
        Text("b"),
        Thinking("u", "chat"),
    ]


def test_interleaved_calls_come_out_whole_and_in_order() -> None:
    events = read(
        chunk(tool_delta(0, id="a", name="f", arguments='{"x"')),
        chunk(tool_delta(1, id="b", name="g", arguments='{"y"')),
        chunk(tool_delta(0, arguments=":1}")),
        chunk(tool_delta(1, arguments=":2}")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert [type(event) for event in events[1:-1]] == [Opened, Piece, Piece, Closed] * 2
    assert assemble(events).reply.blocks == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}')]


def test_whole_calls_without_index_id_or_type() -> None:
    found = blocks(
        chunk(
            {"tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}, {"function": {"name": "f"}}]}
        ),
        chunk({"tool_calls": [{"function": {"name": "g", "arguments": {"b": 2}}}]}, "stop"),
    )
    assert [(call.name, call.arguments) for call in found] == [
        ("f", '{"a":1}'),
        ("f", "{}"),
        ("g", '{"b":2}'),
    ]
    assert len({call.id for call in found}) == 3


def test_calls_that_all_claim_index_zero_are_told_apart_by_id() -> None:
    found = blocks(
        chunk(tool_delta(0, id="a", name="f", arguments="{}")),
        chunk(tool_delta(0, id="b", name="f", arguments="{}"), "tool_calls"),
    )
    assert [call.id for call in found] == ["a", "b"]


def test_an_id_and_a_name_that_are_repeated_change_nothing() -> None:
    found = blocks(
        chunk(tool_delta(0, id="a", name="f", arguments='{"x')),
        chunk(tool_delta(0, id="a", name="f", arguments='":1}')),
        chunk(tool_delta(0, id="other", arguments=" "), "tool_calls"),
    )
    assert found == [ToolCall("a", "f", '{"x":1} ')]


def test_two_calls_never_share_an_id() -> None:
    found = blocks(
        chunk(tool_delta(0, id="a", name="f", arguments="{}")),
        chunk(tool_delta(1, id="a", name="g", arguments="{}"), "tool_calls"),
    )
    assert found[0].id == "a"
    assert found[1].id not in ("", "a")


def test_a_name_that_comes_late_holds_the_block_back() -> None:
    found = blocks(
        chunk(tool_delta(0, id="a", arguments='{"x"')),
        chunk(tool_delta(0, name="f", arguments=":1}"), "tool_calls"),
    )
    assert found == [ToolCall("a", "f", '{"x":1}')]


def test_no_arguments_are_an_empty_object() -> None:
    events = read(chunk(tool_delta(0, id="a", name="f", arguments=""), "tool_calls"), DONE)
    assert events[1:4] == [Opened(0, ToolCall("a", "f", "")), Piece(0, "{}"), Closed(0)]


def test_a_call_repeated_in_the_old_form_counts_once() -> None:
    both = {
        **tool_delta(0, id="a", name="f", arguments="{}"),
        "function_call": {"name": "f", "arguments": "{}"},
    }
    assert blocks(chunk(both), chunk({}, "tool_calls")) == [ToolCall("a", "f", "{}")]
    old = blocks(
        chunk({"function_call": {"name": "f", "arguments": '{"a"'}}),
        chunk({"function_call": {"arguments": ":1}"}}, "function_call"),
    )
    assert [(call.name, call.arguments) for call in old] == [("f", '{"a":1}')]


def test_names_and_custom_tools_come_back_as_the_client_knows_them() -> None:
    names = Names()
    run, shell = names.upstream("run", "ns"), names.upstream("sh", is_custom=True)
    found = blocks(
        chunk(tool_delta(0, id="a", name=run, arguments="{}")),
        chunk(tool_delta(1, id="b", name=shell, arguments='{"inp')),
        chunk(tool_delta(1, arguments='ut":"l\\ns"}'), "tool_calls"),
        names=names,
    )
    assert found == [ToolCall("a", "run", "{}", namespace="ns"), ToolCall("b", "sh", "l\ns", is_custom=True)]


def test_a_native_custom_call_is_text() -> None:
    delta = {
        "tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]
    }
    more = {"tool_calls": [{"index": 0, "custom": {"input": " -l"}}]}
    assert blocks(chunk(delta), chunk(more, "tool_calls")) == [ToolCall("a", "sh", "ls -l", is_custom=True)]


def test_thought_signatures_stay_with_their_call() -> None:
    extra = {"google": {"thought_signature": "s"}}
    delta = tool_delta(id="a", name="f", arguments="{}", extra_content=extra)
    assert blocks(chunk(delta, "stop")) == [ToolCall("a", "f", "{}", extra={"extra_content": extra})]


def test_blank_text_around_calls_makes_no_block() -> None:
    found = blocks(
        chunk({"content": "\n\n"}), chunk(tool_delta(0, id="a", name="f", arguments="{}"), "tool_calls")
    )
    assert found == [ToolCall("a", "f", "{}")]
    assert blocks(chunk({"content": "\n"}), chunk({"content": "x"}, "stop")) == [Text("\nx")]


@pytest.mark.parametrize(
    ("delta", "reason", "stop"),
    [
        ({"content": "x"}, "stop", Stop.END),
        ({"content": "x"}, "length", Stop.LENGTH),
        ({"content": "x"}, "content_filter", Stop.REFUSAL),
        ({"refusal": "no"}, "stop", Stop.REFUSAL),
        (tool_delta(0, id="a", name="f"), "stop", Stop.TOOLS),
        (tool_delta(0, id="a", name="f"), "tool_calls", Stop.TOOLS),
        (tool_delta(0, id="a", name="f", arguments="{"), "length", Stop.LENGTH),
        ({"content": "x"}, "tool_calls", Stop.END),
        ({}, "stop", Stop.END),
    ],
)
def test_the_stop_is_what_the_blocks_say(delta: dict[str, Any], reason: str, stop: Stop) -> None:
    assert ended(chunk(delta), chunk({}, reason), DONE).stop is stop
    assert ended(chunk(delta, reason)).stop is stop  # one chunk, no [DONE]


def test_a_refusal_is_a_block_of_its_own() -> None:
    assert blocks(chunk({"refusal": "no"}, "stop")) == [Refusal("no")]


def test_vllm_names_the_stop_sequence() -> None:
    body = {
        "id": "c",
        "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}],
    }
    last = ended(b"data: " + json.dumps(body).encode() + b"\n\n")
    assert (last.stop, last.stop_sequence) == (Stop.SEQUENCE, "END")


@pytest.mark.parametrize(
    "pieces",
    [
        [chunk({"content": "x"}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 2}), DONE],
        [chunk({"content": "x"}, "stop"), chunk(usage={"prompt_tokens": 5, "completion_tokens": 2})],
        [
            chunk({"content": "x"}, "stop"),
            chunk({}, x_groq={"usage": {"prompt_tokens": 5, "completion_tokens": 2}}),
        ],
        [chunk({"content": "x"}, "stop"), chunk(usage={"prompt_tokens": 5, "total_tokens": 7}), DONE],
        [
            chunk({"content": "x"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
            chunk(
                {},
                "stop",
                usage={"prompt_cache_hit_tokens": 1, "prompt_cache_miss_tokens": 4, "completion_tokens": 2},
            ),
        ],
    ],
)
def test_usage_wherever_it_comes(pieces: list[bytes]) -> None:
    usage = ended(*pieces).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output) == (5, 2)
