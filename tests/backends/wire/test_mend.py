"""A fragment of JSON can be turned into something else by what follows it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.wire.mend import complete_object, utf8_rest

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\{é', max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=4), values, max_size=4), st.booleans(), st.data())
def test_any_fragment_of_an_object_can_be_completed(
    obj: dict[str, object], ascii_only: bool, data: st.DataObject
) -> None:
    try:
        whole = json.dumps(obj, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        whole = json.dumps(obj).encode()
    part = whole[: data.draw(st.integers(1, len(whole) - 1))]
    ending = complete_object(part, b'"error":{"x":1}')
    assert ending is not None
    assert json.loads((part + ending).decode())["error"] == {"x": 1}


def test_the_new_members_win() -> None:
    part = b'{"type":"good","choices":[{"finish_reason":"st'
    ending = complete_object(part, b'"choices":[],"type":"error"')
    assert ending is not None
    assert json.loads(part + ending) == {"type": "error", "choices": []}


@pytest.mark.parametrize(
    "part", [b"", b"{}", b'{"a":1}', b"[1,", b"[DO", b"x", b'"a', b'{"a" "b', b"{" * 20_000]
)
def test_what_is_no_fragment_of_an_object_cannot(part: bytes) -> None:
    assert complete_object(part, b'"error":1') is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.data())
def test_a_cut_character_is_completed(text: str, data: st.DataObject) -> None:
    part = text.encode()[: data.draw(st.integers(0, len(text.encode())))]
    rest = utf8_rest(part)
    assert (part + rest).decode().startswith(part.decode(errors="ignore"))
    assert len(rest) <= 3


@pytest.mark.parametrize("part", [b"abc", b"\xff", b"\xff\xe2"])
def test_nothing_is_added_where_no_character_is_cut(part: bytes) -> None:
    assert utf8_rest(part) == b""
