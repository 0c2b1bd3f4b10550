"""What the load generator takes for a good answer: all of it or nothing."""

from __future__ import annotations

import json

import httptools
import pytest

from bench.client import Answer, BadAnswer, check, request_bytes
from bench.jobs import Ask, Target

PLAIN = Ask(text="Hello.")
STREAM = Ask(stream=True, events=2)


def completion(text: str, reason: str = "stop") -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": reason}]}).encode()


def stream(*contents: str, end: str = "data: [DONE]\n\n") -> bytes:
    events = (json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("", *contents))
    return ("".join(f"data: {event}\n\n" for event in events) + end).encode()


def test_the_upstreams_text_is_a_good_answer() -> None:
    assert check(Answer(200, [completion("Hello.")]), PLAIN) == 0


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (500, b'{"error":1}', "status 500"),
        (200, completion("Hello"), "not the upstream's answer"),
        (200, completion("Hello.", "length"), "not the upstream's answer"),
        (200, completion("Hello.")[:-3], "no chat completion"),
        (200, b'{"choices":[]}', "no chat completion"),
        (200, b"", "no chat completion"),
    ],
)
def test_any_other_plain_answer_is_an_error(status: int, body: bytes, why: str) -> None:
    with pytest.raises(BadAnswer, match=why):
        check(Answer(status, [body]), PLAIN)


def test_a_stream_counts_its_content_and_not_the_empty_first_piece() -> None:
    whole = stream("one", "two")
    assert check(Answer(200, [whole[:70], whole[70:]]), STREAM) == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [(stream("one", "two", end=""), "no terminal event"), (stream("one"), "1 content events instead of 2")],
)
def test_a_cut_or_short_stream_is_an_error(body: bytes, why: str) -> None:
    with pytest.raises(BadAnswer, match=why):
        check(Answer(200, [body]), STREAM)


@pytest.mark.parametrize("size", [0, 100_000, 1_000_000])
def test_a_request_is_as_large_as_asked_and_says_so(size: int) -> None:
    ask = Ask(size=size)
    body = ask.body()
    assert size * 0.9 <= len(body) <= size * 1.1 + 200
    assert json.loads(body)["messages"][-1]["role"] == "user"
    sent: dict[bytes, bytes] = {}

    class Reader:
        def on_header(self, name: bytes, value: bytes) -> None:
            sent[name] = value

    httptools.HttpRequestParser(Reader()).feed_data(request_bytes(Target("t", 80, {"x-a": "b"}), ask))
    assert int(sent[b"content-length"]) == len(body)
    assert sent[b"x-a"] == b"b"
