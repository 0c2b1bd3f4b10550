"""What the taps tell of the streams that pass them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.kinds import Kind
from backends.wire.sse import SseReader
from backends.wire.tap import StreamTap, read_response, stream_tap
from tests.backends.wire.streams import (
    MESSAGE_START,
    MESSAGES,
    RESPONSES,
    STREAMS,
    chunk,
    delta,
    event,
    response,
)


def tapped(kind: Kind, *chunks: bytes, close: bool = True) -> StreamTap:
    tap = stream_tap(kind)
    for part in chunks:
        tap.feed(part)
    if close:
        tap.close()
    return tap


def facts(tap: StreamTap) -> tuple[object, ...]:
    return tap.content_seen, tap.finished, tap.error, tap.model, tap.usage


def events_of(stream: bytes) -> list[tuple[str, dict[str, object]]]:
    return [(found.name.decode(), json.loads(found.data)) for found in SseReader().feed(stream)]


@pytest.mark.parametrize(
    ("kind", "model", "counts"),
    [
        (Kind.MESSAGES, "claude-x", (26, 7, 15)),
        (Kind.CHAT, "gpt-x", (9, 0, 3)),
        (Kind.COMPLETIONS, "gpt-x", (2, 0, 3)),
        (Kind.RESPONSES, "gpt-y", (8, 12, 8)),
    ],
)
def test_a_whole_stream_tells_model_usage_and_end(
    kind: Kind, model: str, counts: tuple[int, int, int]
) -> None:
    tap = tapped(kind, *STREAMS[kind])
    assert (tap.content_seen, tap.finished, tap.error, tap.model) == (True, True, None, model)
    assert tap.usage is not None
    assert (tap.usage.fresh_input, tap.usage.cache_read, tap.usage.output) == counts
    assert json.loads(tap.usage.raw)


@pytest.mark.parametrize("kind", STREAMS)
@given(data=st.data())
def test_the_chunks_do_not_matter(kind: Kind, data: st.DataObject) -> None:
    stream = b"".join(STREAMS[kind])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert facts(tapped(kind, *chunks)) == facts(tapped(kind, stream))


@pytest.mark.parametrize("kind", STREAMS)
def test_a_cut_stream_is_not_finished(kind: Kind) -> None:
    stream = b"".join(STREAMS[kind])
    end = stream.find(b"finish_reason") if kind in (Kind.CHAT, Kind.COMPLETIONS) else len(stream)
    for cut in range(0, end, 3):
        assert not tapped(kind, stream[:cut]).finished


@pytest.mark.parametrize(
    ("kind", "count"), [(Kind.MESSAGES, 1), (Kind.CHAT, 1), (Kind.COMPLETIONS, 0), (Kind.RESPONSES, 2)]
)
def test_the_commit_point_is_the_first_event_with_content(kind: Kind, count: int) -> None:
    stream = STREAMS[kind]
    tap = tapped(kind, b": waiting\n\n", b"event: ping\ndata: {}\n\n", *stream[:count], close=False)
    assert not tap.content_seen
    tap.feed(stream[count])
    assert tap.content_seen


@pytest.mark.parametrize(
    "part",
    [
        chunk([], prompt_filter_results=[]),
        chunk([delta(role="assistant", content="")]),
        chunk([delta(role="assistant", content=None, tool_calls=None)]),
        chunk([delta(content="", reasoning="")]),
        chunk([], usage={"prompt_tokens": 1}),
        b"data: {not json}\n\n",
        b"data: [1]\n\n",
        b"data: 5\n\n",
    ],
)
def test_a_chunk_without_content_does_not_commit(part: bytes) -> None:
    assert not tapped(Kind.CHAT, part, close=False).content_seen


@pytest.mark.parametrize(
    "part",
    [
        chunk([delta(content="a")]),
        chunk([delta(reasoning_content="a")]),
        chunk([delta(reasoning="a")]),
        chunk([delta(content=[{"type": "text", "text": "a"}])]),
        chunk([delta(refusal="no")]),
        chunk([delta(tool_calls=[{"index": 0}])]),
        chunk([delta(function_call={"name": "f"})]),
        chunk([delta("stop")]),
        chunk([{"index": None, "delta": {"content": "a"}}]),
        b"data: [DONE]\n\n",
    ],
)
def test_a_chunk_with_content_commits(part: bytes) -> None:
    assert tapped(Kind.CHAT, part, close=False).content_seen


def test_chat_is_finished_by_finish_reasons_only_at_the_end() -> None:
    tap = tapped(Kind.CHAT, chunk([delta(content="a"), delta(content="b", index=1)]), chunk([delta("stop")]))
    assert not tap.finished
    tap.feed(chunk([delta("length", index=1)]))
    assert not tap.finished
    tap.feed(chunk([delta()], usage={"prompt_tokens": 4, "completion_tokens": 2}))
    tap.close()
    assert tap.finished
    assert tap.usage is not None


@pytest.mark.parametrize("reason", [None, ""])
def test_an_empty_finish_reason_is_none(reason: str | None) -> None:
    assert not tapped(Kind.CHAT, chunk([delta(reason, content="a")])).finished


def test_done_without_its_blank_line_finishes() -> None:
    assert tapped(Kind.CHAT, chunk([delta(content="a")]), b"data: [DONE]\n").finished


def test_usage_of_a_vendor_s_own_place_is_read() -> None:
    tap = tapped(
        Kind.CHAT, chunk([delta("stop")], x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    )
    assert tap.usage is not None
    assert tap.usage.fresh_input == 3


@pytest.mark.parametrize(
    ("kind", "part", "status"),
    [
        (Kind.MESSAGES, event("error", error={"type": "overloaded_error", "message": "m"}), 529),
        (Kind.MESSAGES, b'data: {"type":"error","error":{"type":"rate_limit_error","message":"m"}}\n\n', 429),
        (Kind.CHAT, chunk([delta("error")], error={"code": 502, "message": "m"}), 502),
        (Kind.CHAT, chunk([delta("error", content="")]), 500),
        (Kind.CHAT, b'data: {"error":{"message":"m","type":"insufficient_quota"}}\n\n', 429),
        (Kind.CHAT, b'data: {"error":"m","choices":5}\n\n', 500),
        (Kind.COMPLETIONS, b'data: {"error":{"message":"m","code":"rate_limit_exceeded"}}\n\n', 429),
        (Kind.RESPONSES, event("error", code="insufficient_quota", message="m", param=None), 429),
        (Kind.RESPONSES, event("error", error={"type": "server_error", "message": "m"}), 500),
        (
            Kind.RESPONSES,
            event(
                "response.failed", response=response("failed", error={"code": "server_error", "message": "m"})
            ),
            500,
        ),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_error_event_is_an_error_before_and_after_content(
    kind: Kind, part: bytes, status: int, count: int
) -> None:
    tap = tapped(kind, *STREAMS[kind][:count], close=False)
    committed = tap.content_seen
    tap.feed(part)
    assert tap.error is not None
    assert tap.error.status == status
    assert tap.finished
    assert tap.content_seen is committed


def test_null_and_false_errors_are_none() -> None:
    assert tapped(Kind.CHAT, chunk([delta(content="a")], error=None), chunk([], error={})).error is None


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_usage_is_read_of_every_terminal_response(status: str) -> None:
    usage = {"input_tokens": 3, "output_tokens": 4}
    tap = tapped(
        Kind.RESPONSES, *RESPONSES[:4], event(f"response.{status}", response=response(status, usage=usage))
    )
    assert tap.finished
    assert tap.usage is not None
    assert tap.usage.output == 4


def test_usage_of_a_failed_response_is_read() -> None:
    failed = response("failed", usage={"input_tokens": 3, "output_tokens": 4}, error={"message": "m"})
    tap = tapped(Kind.RESPONSES, event("response.failed", response=failed))
    assert tap.usage is not None
    assert tap.error is not None


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.RESPONSES])
def test_events_without_a_name_line_are_known_by_their_data(kind: Kind) -> None:
    lines = b"".join(STREAMS[kind]).split(b"\n")
    bare = b"\n".join(line for line in lines if not line.startswith(b"event:"))
    assert facts(tapped(kind, bare)) == facts(tapped(kind, *STREAMS[kind]))


@pytest.mark.parametrize("garbage", [-1, 2**70, 1.5, "7", True, None, [], {}])
def test_garbage_in_usage_leaves_the_stream_alone(garbage: object) -> None:
    stop = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": garbage})
    tap = tapped(Kind.MESSAGES, MESSAGE_START, *MESSAGES[1:5], stop, event("message_stop"))
    assert tap.finished
    assert tap.usage is not None
    assert (tap.usage.fresh_input, tap.usage.output) == (25, 1)
    assert tapped(Kind.CHAT, chunk([delta("stop")], usage=garbage)).finished


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "choices", "delta", "index", "usage", "error", "message", "model", "response",
                         "finish_reason", "sequence_number", "text", "code", "input_tokens", "id"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
event_names = st.sampled_from(
    ["", "error", "message_start", "message_delta", "message_stop", "response.created", "response.failed",
     "response.completed", "response.output_text.delta", "ping", "other", "\u00fc"]
)  # fmt: skip


@given(st.sampled_from(list(STREAMS)), st.lists(st.tuples(event_names, json_values), max_size=6))
def test_a_tap_never_raises(kind: Kind, pairs: list[tuple[str, object]]) -> None:
    parts = [f"event: {name}\ndata: {json.dumps(value)}\n\n".encode() for name, value in pairs]
    tap = tapped(kind, *parts, b"data: \xff{\n\n", b"data: " + b"[" * 5000 + b"\n\n", b"event: x\nda")
    assert b'"error"' in SseReader().feed(tap.cut("m", "r"))[-1].data


@given(st.sampled_from(list(STREAMS)), st.binary())
def test_a_tap_bears_any_bytes(kind: Kind, noise: bytes) -> None:
    tap = tapped(kind, noise, b"data: " + noise)
    assert tap.cut("m", "r").endswith(b"\n\n")


def test_an_endless_event_becomes_an_error() -> None:
    tap = tapped(Kind.CHAT, chunk([delta(content="a")]), b"data: ")
    for _ in range(17):
        tap.feed(b"x" * 2**20)
    assert tap.error is not None
    assert tap.error.status == 502
    assert not tap.finished
    assert b'"error"' in tap.cut("m", "r")


def test_anthropic_cut() -> None:
    tap = tapped(Kind.MESSAGES, *MESSAGES[:4])
    assert events_of(tap.cut("It broke.", "req_7")) == [
        (
            "error",
            {
                "type": "error",
                "error": {
                    "type": "api_error",
                    "message": "It broke.",
                    "details": {"error_code": "stream_cut"},
                },
                "request_id": "req_7",
            },
        )
    ]


@pytest.mark.parametrize("kind", [Kind.CHAT, Kind.COMPLETIONS])
def test_chat_cut(kind: Kind) -> None:
    tap = tapped(kind, STREAMS[kind][0])
    error = {"message": "It broke.", "type": "server_error", "param": None, "code": "stream_cut"}
    assert events_of(tap.cut("It broke.", "r")) == [("", {"error": error})]


def test_responses_cut_keeps_identity_and_numbering() -> None:
    (first, error), (second, failed) = events_of(tapped(Kind.RESPONSES, *RESPONSES[:5]).cut("It broke.", "r"))
    assert (first, error["type"], error["code"], error["sequence_number"]) == (
        "error",
        "error",
        "server_error",
        5,
    )
    assert (second, failed["type"], failed["sequence_number"]) == ("response.failed", "response.failed", 6)
    assert failed["response"] == response(
        "failed", error={"code": "server_error", "message": "It broke."}
    ) | {
        "usage": None,
        "incomplete_details": None,
    }


def test_responses_cut_before_any_response_is_an_error_only() -> None:
    (name, error), *more = events_of(tapped(Kind.RESPONSES).cut("It broke.", "r"))
    assert (name, error["sequence_number"], more) == ("error", 0, [])


def test_a_cut_inside_an_event_makes_that_event_the_error() -> None:
    part = b'data: {"choices":[{"index":0,"delta":{"content":"hal'
    (found,) = events_of(part + tapped(Kind.CHAT, part).cut("It broke.", "r"))
    assert found[1]["choices"] == []
    assert found[1]["error"]


@pytest.mark.parametrize("kind", [Kind.EMBEDDINGS, Kind.COUNT_TOKENS])
def test_kinds_that_do_not_stream_have_no_tap(kind: Kind) -> None:
    with pytest.raises(ValueError, match="read_response"):
        stream_tap(kind)


@pytest.mark.parametrize(
    ("kind", "body", "model", "total"),
    [
        (
            Kind.MESSAGES,
            {"model": "c", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}},
            "c",
            3,
        ),
        (
            Kind.CHAT,
            {"model": "g", "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 1}},
            "g",
            4,
        ),
        (Kind.RESPONSES, {"model": "r", "error": None, "usage": {"input_tokens": 5}}, "r", 5),
        (
            Kind.EMBEDDINGS,
            {"model": "e", "data": [], "usage": {"prompt_tokens": 6, "total_tokens": 6}},
            "e",
            6,
        ),
        (Kind.COUNT_TOKENS, {"input_tokens": 9}, None, None),
        (Kind.CHAT, {"model": 5, "usage": "x"}, None, None),
        (Kind.CHAT, {}, None, None),
    ],
)
def test_a_buffered_body_tells_usage_and_model(
    kind: Kind, body: dict[str, object], model: str | None, total: int | None
) -> None:
    found = read_response(kind, json.dumps(body).encode())
    assert (found.valid, found.error, found.model) == (True, None, model)
    assert (found.usage.input_tokens if found.usage else None) == total


def test_the_raw_usage_of_a_body_is_kept_as_it_came() -> None:
    found = read_response(Kind.CHAT, b'{"usage": {"prompt_tokens" : 4,"x":[ ]} }')
    assert found.usage is not None
    assert found.usage.raw == b'{"prompt_tokens" : 4,"x":[ ]}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":{"code":504,"message":"m"}}', 504),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', 529),
        (b'{"error":"m"}', 500),
    ],
)
def test_an_error_in_a_good_status_is_found(body: bytes, status: int) -> None:
    found = read_response(Kind.CHAT, body)
    assert found.valid
    assert found.error is not None
    assert (found.error.status, found.error.message) == (status, "m")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"a":', b"data: {}\n\n", b"[" * 10**5, b"\xff"]
)
def test_a_body_that_is_no_object_is_not_valid(body: bytes) -> None:
    assert not read_response(Kind.CHAT, body).valid
