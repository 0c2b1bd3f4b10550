from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.pages.json_places import Step, path_text, place_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def paths(value: Any) -> list[tuple[tuple[Step, ...], Any]]:
    """Every value inside, with its path."""
    found: list[tuple[tuple[Step, ...], Any]] = [((), value)]
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, inner in entries:
        found += [((step, *path), one) for path, one in paths(inner)]
    return found


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_every_value_is_found_where_it_stands(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = "\n " + json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for path, expected in paths(value):
        place = place_of(text, path)
        assert place is not None
        assert json.loads(text[place[0] : place[1]]) == expected


@pytest.mark.parametrize("path", [("b",), ("a", "x"), ("a", 2), ("a", 0, 0), (0,)])
def test_what_is_not_there_has_no_place(path: tuple[Step, ...]) -> None:
    assert place_of('{"a": [1, {"c": 2}]}', path) is None
    assert place_of("{}", path) is None
    assert place_of("[]", ("a",)) is None


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert place_of('{"a": 1, "a": 22}', ("a",)) == (14, 16)


@pytest.mark.parametrize("text", ['{"a": nope}', '{"a": 1, "b": ', '{"b": {"d": tru'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        place_of(text, ("b", "c"))


def test_paths_as_people_write_them() -> None:
    assert path_text(("messages", 3, "content", 0, "text")) == "messages[3].content[0].text"
    assert path_text(("x-y", 'a"b', "ok")) == '["x-y"]["a\\"b"].ok'
