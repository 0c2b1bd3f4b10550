"""What a kept answer says, as people read it."""

from __future__ import annotations

import pytest

from analytics.pages.body_view import MOST_CHARS, Part, answer_parts, request_json, shown
from backends.wire.kinds import Kind

CHAT = b"""data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello "}}],"model":"m"}

data: {"id":"c","choices":[{"index":0,"delta":{"content":"<b>you</b>"}}],"model":"m"}

"""
MESSAGE = b"""{"id":"m","type":"message","role":"assistant","model":"m","stop_reason":"tool_use",
"usage":{"input_tokens":1,"output_tokens":2},"content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Hi"},
{"type":"tool_use","id":"t","name":"look","input":{"a":1}}]}"""


def test_a_stream_is_put_together_also_when_it_was_cut() -> None:
    whole = (
        CHAT
        + b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"model":"m"}\n\ndata: [DONE]\n\n'
    )
    text = Part("text", "Hello <b>you</b>")
    assert answer_parts(Kind.CHAT, whole, is_stream=True) == [text]
    assert answer_parts(Kind.CHAT, CHAT, is_stream=True)[:1] == [text]
    assert answer_parts(Kind.CHAT, CHAT, is_stream=True)[1].what == "error"


def test_a_whole_answer_tells_thinking_text_and_calls() -> None:
    parts = answer_parts(Kind.MESSAGES, MESSAGE, is_stream=False)
    assert [part.what for part in parts] == ["thinking", "text", "call of look"]
    assert parts[2].text == '{\n  "a": 1\n}'


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"<html>", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("kind", list(Kind))
def test_nonsense_says_nothing(kind: Kind, content: bytes, is_stream: bool) -> None:
    assert [part for part in answer_parts(kind, content, is_stream=is_stream) if part.what != "error"] == []


def test_bodies_are_shown_indented_and_within_reason() -> None:
    assert shown(b'{"a":"\xc3\xa9"}') == '{\n  "a": "é"\n}'
    assert shown(b"not json") == "not json"
    assert shown(b"x" * (MOST_CHARS + 5)).endswith("… 5 more characters")
    assert request_json(b"[1]") is None
    assert request_json(b'{"model":"m"}') == {"model": "m"}
