"""Whatever comes, only our own errors are raised."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backends.wire.conversation import (
    Began,
    CannotCarry,
    Closed,
    Ended,
    Failed,
    Foreign,
    Lost,
    Opened,
    Piece,
    Unreadable,
)
from backends.wire.errors import ApiError
from backends.wire.openai_responses import (
    StreamReader,
    StreamWriter,
    build_request,
    build_response,
    parse_error,
    parse_request,
    parse_response,
)
from backends.wire.splice import BadBody
from backends.wire.sse import encode_event
from backends.wire.target import Names, Target
from tests.backends.wire.official import check_events
from tests.backends.wire.openai_responses import upstream
from tests.backends.wire.replies import write_stream

_KEYS = st.sampled_from(
    """type role content text id call_id name arguments input output summary encrypted_content tools parameters
    format instructions tool_choice mode reasoning effort image_url file_data filename strict model namespace
    status error code message usage response item refusal include store metadata max_output_tokens part delta
    incomplete_details reason previous_response_id created_at output_index content_index""".split()  # noqa: SIM905
)
_WORDS = st.sampled_from(
    """message user assistant developer function_call function_call_output custom_tool_call reasoning input_text
    output_text input_image input_file refusal function custom namespace web_search allowed_tools json_schema
    auto required item_reference additional_tools summary_text pb1.e30= data:image/png;base64,AA f completed
    incomplete""".split()  # noqa: SIM905
)
_EVENTS = st.sampled_from(
    """response.created response.output_item.added response.output_item.done response.output_text.delta
    response.function_call_arguments.delta response.reasoning_summary_text.delta response.content_part.done
    response.reasoning_text.delta response.refusal.done response.output_text.done response.completed
    response.custom_tool_call_input.done response.in_progress response.incomplete""".split()  # noqa: SIM905
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _WORDS
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=30,
)
_OBJECTS = st.dictionaries(_KEYS, _JSON, max_size=8)


@given(_OBJECTS, _JSON)
def test_any_request_is_parsed_or_refused(fields: dict[str, Any], items: Any) -> None:
    body = {**fields, "model": "m", "input": items}
    try:
        talk = parse_request(json.dumps(body).encode())
    except (BadBody, CannotCarry):
        return
    with suppress(CannotCarry):
        build_request(talk, Target("gpt-5", "openai"), Lost())
    StreamWriter(talk, "resp_1", 0).write(Failed(ApiError(500, "x")))


@given(st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_parsed_or_refused(body: bytes) -> None:
    with suppress(BadBody, CannotCarry):
        parse_request(body)
    with suppress(Unreadable):
        parse_response(body, Names())
    error = parse_error(503, body)
    assert (error.status, bool(error.message)) == (503, True)


@given(st.lists(_OBJECTS, max_size=4), _OBJECTS)
def test_any_answer_is_parsed_or_unreadable(items: list[Any], fields: dict[str, Any]) -> None:
    body = json.dumps({**fields, "output": items}).encode()
    with suppress(Unreadable):
        reply = parse_response(body, Names())
        build_response(reply, parse_request(b'{"model": "m", "input": "x"}'))


_ITEMS = st.sampled_from(
    [*upstream.ITEMS, upstream.REFUSAL, {"type": "reasoning"}, {"type": "function_call"}]
)
_STREAMED = st.builds(
    lambda kind, at, item, fields: {**fields, "type": kind, "output_index": at, "item": item},
    _EVENTS,
    st.integers(0, 2) | st.none(),
    _ITEMS | _JSON,
    st.fixed_dictionaries(
        {},
        optional={
            "delta": st.text() | _JSON,
            "content_index": st.integers(0, 2) | _JSON,
            "summary_index": st.integers(0, 2),
            "text": st.text(),
            "part": _OBJECTS,
            "response": st.just(upstream.response(upstream.ITEMS)) | _OBJECTS,
        },
    ),
)


@given(st.lists(_STREAMED, max_size=15), st.integers(0, 400))
def test_any_stream_ends_once_and_its_blocks_do_not_overlap(objects: list[dict[str, Any]], cut: int) -> None:
    stream = b"".join(encode_event(json.dumps(fields).encode()) for fields in objects)
    reader = StreamReader(Names())
    events = [*reader.feed(stream[:cut]), *reader.feed(stream[cut:]), *reader.close()]
    assert isinstance(events[-1], Ended | Failed)
    assert sum(isinstance(event, Ended | Failed) for event in events) == 1
    assert all(isinstance(event, Began) == (at == 0) for at, event in enumerate(events[:-1]))
    opened = None
    for event in events:
        if isinstance(event, Opened):
            assert opened is None
            opened = event.index
        elif isinstance(event, Piece | Closed):
            assert event.index == opened
            opened = None if isinstance(event, Closed) else opened
    writer = StreamWriter(parse_request(b'{"model": "m", "input": "x"}'), "resp_1", 0)
    written = write_stream(writer, events)
    if not any(isinstance(event, Opened) and isinstance(event.block, Foreign) for event in events):
        check_events("openai_responses", written)  # what a backend invents is passed on as it is


def test_an_error_page_is_a_message() -> None:
    assert parse_error(502, b"<html>bad gateway</html>").message == "<html>bad gateway</html>"
    body = b'{"error": {"message": "no", "type": "invalid_request_error", "code": "x", "param": "p"}}'
    assert parse_error(400, body) == ApiError(400, "no", "invalid_request_error", "x", "p")
