"""Streams get the values back, wherever the events and the network cut them, and keep all other bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.wire.conversation import Reply, Stop, Text, ToolCall
from backends.wire.kinds import Kind
from backends.wire.redaction import Restorer, Vault
from backends.wire.sse import encode_event
from backends.wire.target import Names
from tests.backends.wire import official
from tests.backends.wire.pairs import PACKAGES, every, writer
from tests.backends.wire.redacting import KEY, KINDS
from tests.backends.wire.redacting_answers import (
    MAIL,
    QUOTED,
    VALUES,
    VAULT,
    data_of,
    plain,
    restored,
    written,
)
from tests.backends.wire.replies import assemble, content_of, events_of, read_stream, write_stream
from tests.backends.wire.streams import STREAMS, chunk, completion, delta, event

some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@every
@some
@given(replies=written(), size=st.integers(1, 40), data=st.data())
def test_a_stream_says_what_the_model_would_have_said(
    protocol: str, replies: tuple[Reply, Reply], size: int, data: st.DataObject
) -> None:
    answer, truth = replies
    stream = write_stream(writer(protocol), events_of(answer, size))
    cuts = data.draw(st.lists(st.integers(1, len(stream)), max_size=20))
    arrived = restored(KINDS[protocol], stream, cuts)
    assert arrived == restored(KINDS[protocol], stream)
    official.check_events(protocol, arrived)
    expected = write_stream(writer(protocol), events_of(truth, size))
    found, wanted = (
        assemble(read_stream(PACKAGES[protocol].StreamReader(Names()), told)).reply
        for told in (arrived, expected)
    )
    assert content_of(found) == content_of(wanted)


TOLD = f"Mail {MAIL}, or {QUOTED}{MAIL} HTTP"
ARGUMENTS = json.dumps({"to": MAIL, MAIL: [QUOTED, "P"]})
CORPUS = {
    protocol: write_stream(
        writer(protocol),
        events_of(Reply("m", "x", [Text(TOLD), ToolCall("c", "t", ARGUMENTS)], Stop.TOOLS, created=1), size),
    )
    for protocol, size in (("anthropic", 9), ("openai_chat", 11), ("openai_responses", 13))
}


@every
def test_every_cut_of_the_bytes_gives_the_same_stream(protocol: str) -> None:
    kind, stream = KINDS[protocol], CORPUS[protocol]
    whole = restored(kind, stream)
    assert b"PB_" not in whole
    assert restored(kind, stream, range(len(stream))) == whole
    for cut in range(1, len(stream), 9):
        assert restored(kind, stream, [cut]) == whole


@every
@pytest.mark.parametrize("size", range(1, 32))
def test_every_cut_of_the_text_gives_the_same_text(protocol: str, size: int) -> None:
    reply = Reply("m", "x", [Text(TOLD), ToolCall("c", "t", ARGUMENTS)], Stop.TOOLS, created=1)
    arrived = restored(KINDS[protocol], write_stream(writer(protocol), events_of(reply, size)))
    text, call = assemble(read_stream(PACKAGES[protocol].StreamReader(Names()), arrived)).reply.blocks
    assert isinstance(text, Text)
    assert text.text == plain(TOLD)
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"to": VALUES[0], VALUES[0]: [VALUES[1], "P"]}


@every
def test_the_official_helpers_read_a_restored_stream(protocol: str) -> None:
    message = json.dumps(official.assembled(protocol, restored(KINDS[protocol], CORPUS[protocol])))
    assert "PB_" not in message
    assert json.dumps(plain(TOLD))[1:-1] in message


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_does_not_concern_us_keeps_its_bytes(kind: Kind, ends: bytes) -> None:
    stream = b"\xef\xbb\xbf: hello\n\n" + b"".join(STREAMS[kind]) + b'data: {not json P"\n\nid: 7\n\nevent: x'
    stream = stream.replace(b"\n", ends)
    assert restored(kind, stream) == stream
    assert restored(kind, stream, range(len(stream))) == stream


@pytest.mark.parametrize("kind", STREAMS)
def test_chunks_that_do_not_concern_us_pass_as_the_same_objects(kind: Kind) -> None:
    restorer = Restorer(kind, VAULT)
    assert all(restorer.feed(told) is told for told in STREAMS[kind])
    idle, odd = Restorer(kind, Vault(KEY)), b"data: PB_EMAIL"
    assert idle.feed(odd) is odd
    assert idle.end() == b""


def test_only_the_letters_that_may_begin_a_placeholder_wait() -> None:
    restorer = Restorer(Kind.MESSAGES, VAULT)
    first = event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"so {MAIL[:9]}"})
    assert data_of(restorer.feed(first))[0]["delta"]["text"] == "so "
    ping = event("ping")
    assert restorer.feed(ping) == ping
    second = event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{MAIL[9:]}!"})
    assert data_of(restorer.feed(second))[0]["delta"]["text"] == "a@example.com!"
    assert restorer.end() == b""


def test_what_was_no_placeholder_comes_before_the_blocks_end() -> None:
    restorer = Restorer(Kind.MESSAGES, VAULT)
    text = event("content_block_delta", index=3, delta={"type": "text_delta", "text": "an MVP"})
    assert data_of(restorer.feed(text))[0]["delta"]["text"] == "an MV"
    stop = event("content_block_stop", index=3)
    rest = event("content_block_delta", index=3, delta={"type": "text_delta", "text": "P"})
    assert restorer.feed(stop) == rest.replace(b'": ', b'":').replace(b", ", b",") + stop


@pytest.mark.parametrize("name", ["content_block_start", "message_delta", "message_stop", "error"])
def test_a_text_whose_end_upstream_forgot_to_tell_comes_before_what_follows(name: str) -> None:
    text = event("content_block_delta", index=3, delta={"type": "text_delta", "text": "an MVP"})
    first, rest, _ = data_of(restored(Kind.MESSAGES, text + event(name, index=4)))
    assert (first["delta"]["text"], rest["delta"]["text"]) == ("an MV", "P")


def test_a_stream_that_breaks_off_gives_what_it_held() -> None:
    restorer = Restorer(Kind.CHAT, VAULT)
    sent = restorer.feed(chunk([delta(content="an MVP", role="assistant")]) + b'data: {"choices": [{"del')
    assert data_of(sent)[0]["choices"][0]["delta"] == {"content": "an MV", "role": "assistant"}
    held, cut = restorer.end().split(b"\n\n")
    [choice] = json.loads(held.removeprefix(b"data: "))["choices"]
    assert choice == {"index": 0, "delta": {"content": "P"}, "finish_reason": None}
    assert cut == b'data: {"choices": [{"del'
    assert restorer.end() == b""


def test_a_choice_ends_in_the_event_that_says_so() -> None:
    one = chunk([delta(content="MV")])
    last = chunk([delta("stop", content="P")])
    assert restored(Kind.CHAT, one + last) == one + last
    apart = restored(Kind.CHAT, chunk([delta(content="MVP")]) + chunk([delta("stop")]) + b"data: [DONE]\n\n")
    told = [event["choices"][0] for event in data_of(apart)[:-1]]
    assert [choice["delta"] for choice in told] == [{"content": "MV"}, {"content": "P"}, {}]
    assert [choice["finish_reason"] for choice in told] == [None, None, "stop"]


def test_a_stream_may_begin_with_a_byte_order_mark() -> None:
    told = b"\xef\xbb\xbf" + chunk([delta(content=MAIL)]) + chunk([delta(content="x")])
    assert restored(Kind.CHAT, told) == told.replace(MAIL.encode(), VALUES[0].encode())


def test_the_end_marker_comes_last_also_where_no_choice_was_finished() -> None:
    told = data_of(restored(Kind.CHAT, chunk([delta(content="MVP")]) + b"data: [DONE]\n\n"))
    assert [told[0]["choices"][0]["delta"], told[1]["choices"][0]["delta"]] == [
        {"content": "MV"},
        {"content": "P"},
    ]
    assert told[2:] == ["[DONE]"]


def test_text_does_not_come_behind_the_call_that_follows_it() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    stream = chunk([delta(content="MVP")]) + chunk([delta(tool_calls=[call])]) + chunk([delta("tool_calls")])
    deltas = [event["choices"][0]["delta"] for event in data_of(restored(Kind.CHAT, stream))]
    assert deltas == [{"content": "MV"}, {"content": "P"}, {"tool_calls": [call]}, {}]


def _argument(index: int, text: str) -> bytes:
    return chunk([delta(tool_calls=[{"index": index, "function": {"arguments": text}}])])


def test_calls_and_choices_that_take_turns_are_restored_apart() -> None:
    stream = _argument(0, '{"a":"' + QUOTED[:6]) + _argument(1, '["' + MAIL[:5])
    stream += chunk([delta(content=MAIL[:7], index=1)]) + _argument(0, QUOTED[6:] + '"}')
    stream += chunk([delta(content=MAIL[7:], index=1)]) + _argument(1, MAIL[5:] + '"]') + b"data: [DONE]\n\n"
    texts: dict[Any, str] = {}
    for told in data_of(restored(Kind.CHAT, stream))[:-1]:
        [choice] = told["choices"]
        for call in choice["delta"].get("tool_calls", ()):
            texts[call["index"]] = texts.get(call["index"], "") + call["function"]["arguments"]
        texts["text"] = texts.get("text", "") + choice["delta"].get("content", "")
    assert json.loads(texts[0]) == {"a": VALUES[1]}
    assert json.loads(texts[1]) == [VALUES[0]]
    assert texts["text"] == VALUES[0]


def test_completions_are_restored() -> None:
    stream = completion(f"to {MAIL[:4]}", None) + completion(MAIL[4:], None) + completion("P", "stop")
    told = data_of(restored(Kind.COMPLETIONS, stream))
    assert [event["choices"][0]["text"] for event in told] == ["to ", VALUES[0], "P"]


def test_unsigned_reasoning_is_restored_and_signed_is_not() -> None:
    thought = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": MAIL})
    assert restored(Kind.MESSAGES, thought) == thought
    summary = event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta=MAIL)
    assert restored(Kind.RESPONSES, summary) == summary
    loose = chunk([delta(reasoning_content=MAIL[:8])]) + chunk([delta(reasoning_content=MAIL[8:])])
    told = [
        event["choices"][0]["delta"]["reasoning_content"] for event in data_of(restored(Kind.CHAT, loose))
    ]
    assert told == ["", VALUES[0]]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("response.function_call_arguments.delta", json.dumps(VALUES[1])[1:-1]),
        ("response.mcp_call_arguments.delta", json.dumps(VALUES[1])[1:-1]),
        ("response.custom_tool_call_input.delta", VALUES[1]),
        ("response.code_interpreter_call_code.delta", VALUES[1]),
        ("response.output_text.delta", VALUES[1]),
        ("response.refusal.delta", VALUES[1]),
        ("response.audio.delta", QUOTED),
    ],
)
def test_each_delta_of_responses_is_escaped_for_what_it_is_a_piece_of(name: str, wanted: str) -> None:
    place = {"item_id": "i", "output_index": 1, "sequence_number": 5}
    pieces = [event(name, **place, delta=part) for part in (QUOTED[:12], QUOTED[12:])]
    whole = b"".join(pieces)
    assert "".join(told["delta"] for told in data_of(restored(Kind.RESPONSES, whole))) == wanted


def test_the_rest_of_a_responses_text_comes_before_its_done_event_under_the_same_number() -> None:
    place = {"item_id": "i", "output_index": 1, "content_index": 0}
    piece = event("response.output_text.delta", **place, sequence_number=5, delta="MVP", logprobs=[])
    done = event("response.output_text.done", **place, sequence_number=6, text=f"MVP {MAIL}")
    first, rest, last = data_of(restored(Kind.RESPONSES, piece + done))
    assert first["delta"] + rest["delta"] == "MVP"
    assert rest == first | {"delta": "P"}
    assert last["text"] == f"MVP {VALUES[0]}"


def test_data_over_several_lines_are_restored_in_their_lines() -> None:
    told = (
        b'event: ping\r\ndata: {"delta":\r\ndata:  {"type": "text_delta",\r\ndata: "text": "%s"}, \r\n'
        % MAIL.encode()
    )
    told += b'data: "type": "content_block_delta"}\r\n\r\n'
    assert restored(Kind.MESSAGES, told) == told.replace(MAIL.encode(), VALUES[0].encode())


def test_a_whole_body_instead_of_a_stream_is_restored_too() -> None:
    body = json.dumps({"choices": [{"message": {"content": MAIL}}]}).encode()
    assert restored(Kind.CHAT, body, [9]) == body.replace(MAIL.encode(), VALUES[0].encode())


def test_a_flood_without_events_passes_and_is_not_kept() -> None:
    restorer = Restorer(Kind.CHAT, VAULT)
    flood = b"x" * 2**20
    assert b"".join(restorer.feed(flood) for _ in range(20)) == flood * 20


@some
@given(
    kind=st.sampled_from([*STREAMS]),
    parts=st.lists(
        st.binary(max_size=20)
        | st.sampled_from(
            [b"data: ", b'{"choices":[{"delta":', b'"PB_', b'P"', b"\n\n", b"\r", b"[DONE]", b'{"delta":"P"}']
        )
        | st.sampled_from([told for stream in STREAMS.values() for told in stream]),
        max_size=12,
    ),
)
def test_no_bytes_of_an_upstream_make_it_fail(kind: Kind, parts: list[bytes]) -> None:
    stream = b"".join(parts)
    assert restored(kind, stream, range(len(stream))) == restored(kind, stream)


def test_json_too_deep_to_be_read_passes() -> None:
    deep = encode_event(b'{"delta":' + b"[" * 50_000 + b'"' + MAIL.encode() + b'"' + b"]" * 50_000 + b"}")
    assert restored(Kind.MESSAGES, deep) == deep
