from __future__ import annotations

import json

from analytics.bodies.words import MAX_CHARS, words_of


def test_text_is_found_and_names_of_fields_are_not() -> None:
    piece = json.dumps({"role": "user", "content": 'say "héllo"\nto\tall', "café": [1, "zwölf"]}).encode()
    words = words_of([b"," + piece])
    assert 'say "héllo"\nto\tall' in words
    assert "zwölf" in words
    assert "content" not in words


def test_images_and_other_long_runs_are_left_out() -> None:
    words = words_of([json.dumps({"data": "QUJD" * 5000, "text": "a picture"}).encode()])
    assert words.split() == ["a", "picture"]


def test_the_words_of_a_stream_are_put_together_again() -> None:
    events = [
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "search"}},
        *(
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": part}}
            for part in ("extra", "ordinary ")
        ),
        {"choices": [{"delta": {"content": "news"}}]},
        {"type": "error", "error": {"message": "overloaded now"}},
    ]
    stream = "".join(f"event: x\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    words = words_of([stream], is_stream=True)
    assert "extraordinary news" in words
    assert "search" in words
    assert "overloaded now" in words


def test_a_cut_or_broken_text_is_no_fault() -> None:
    assert words_of([b'{"content": "half a str\\u00']) == ""
    assert words_of([b'"\\u00", "\\ud800 alone"']) is not None
    assert words_of([b'data: {"delta": {"content": "x\\u12"}}'], is_stream=True) == "x\\u12"
    assert "\x00" not in words_of([b'{"a": "b\\u0000c"}'])


def test_it_is_bounded() -> None:
    assert len(words_of([json.dumps({"text": "word " * MAX_CHARS}).encode()] * 3)) <= MAX_CHARS
