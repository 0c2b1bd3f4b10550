from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.bodies.pieces import LIST_MARK, RUN, cut, digest_of, listed

SYSTEM = "You are a careful assistant. " * 20
TOOLS = [{"name": "read", "input_schema": {"type": "object", "description": "d" * 300}}]


def message(number: int) -> dict[str, Any]:
    return {"role": "user" if number % 2 else "assistant", "content": f"message {number} " + "text " * 30}


def body(count: int, **more: Any) -> bytes:
    fields = {
        "model": "m",
        "system": SYSTEM,
        "tools": TOOLS,
        **more,
        "messages": [message(n) for n in range(count)],
    }
    return json.dumps(fields | {"stream": True}).encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=25,
)
conversations = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.dictionaries(st.text(), st.text(min_size=0, max_size=400), max_size=4), max_size=8
        )
    },
    optional={
        "system": st.text(max_size=600),
        "input": st.lists(json_values, max_size=4),
        "tools": json_values,
    },
)


@given(conversations | json_values, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_the_pieces_joined_are_the_body(value: Any, indent: Any, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    pieces = cut(text)
    assert b"".join(pieces) == text
    assert all(pieces)


@given(st.binary(max_size=2000))
def test_what_is_no_json_is_one_piece(data: bytes) -> None:
    assert b"".join(cut(data)) == data


@given(st.integers(0, 20), st.sampled_from([",", ":", "{", "}", '"', "x", "\\"]), st.integers(0, 4000))
def test_a_broken_body_stays_whole(count: int, noise: str, place: int) -> None:
    text = body(count)
    broken = text[:place] + noise.encode() + text[place:]
    assert b"".join(cut(broken)) == broken


@pytest.mark.parametrize("name", ["messages", "input", "contents"])
def test_the_next_turn_adds_only_its_own_messages(name: str) -> None:
    def turn(count: int) -> bytes:
        return json.dumps({"model": "m", "system": SYSTEM, name: [message(n) for n in range(count)]}).encode()

    before, after = set(cut(turn(10))), set(cut(turn(12)))
    new = after - before
    assert sorted(b"message 10" in piece or b"message 11" in piece for piece in new) == [True, True]


def test_system_and_tools_are_pieces_of_their_own() -> None:
    pieces = cut(body(2))
    assert json.dumps(SYSTEM).encode() in pieces
    assert json.dumps(TOOLS).encode() in pieces


def test_the_same_text_elsewhere_in_the_body_changes_nothing() -> None:
    repeated = {"role": "user", "content": "again " * 40}
    text = json.dumps({"note": json.dumps(repeated), "messages": [repeated, repeated, message(1)]}).encode()
    assert b"".join(cut(text)) == text


def test_a_list_to_embed_stays_whole() -> None:
    text = json.dumps({"model": "m", "input": ["word " * 60] * 50}).encode()
    assert len(cut(text)) <= 3


def test_long_lists_of_pieces_become_lists_that_turns_share() -> None:
    digests = [digest_of(b"%d" % number) for number in range(3 * RUN + 5)]
    lines, lists = listed(digests)
    assert len(lines) == 3 + 5
    told: list[str] = []
    for line in lines:
        told += lists[line[1:]].decode().split() if line.startswith(LIST_MARK) else [line]
    assert told == digests
    later, _ = listed([*digests, digest_of(b"new")])
    assert later[: len(lines)] == lines
