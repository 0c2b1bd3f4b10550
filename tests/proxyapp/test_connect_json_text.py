"""Edits in JSON with comments: the value arrives, and every other byte stays."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyapp.connect import json_text
from proxyapp.connect.parts import ConnectError

SETTINGS = """\
// my settings
{
  // keep this
  "theme": "dark", // and this
  "env": {"PATH_LIKE": "a:b"}, /* and this */
  "list": [
    "one", // first
  ],
}
"""


def plainly(text: str) -> Any:
    """What the text says, by another way: strings are set aside, comments and trailing commas dropped."""
    strings: list[str] = []

    def aside(found: re.Match[str]) -> str:
        if found[0].startswith("/"):
            return " "
        strings.append(found[0])
        return f'"{len(strings) - 1}"'

    bare = re.sub(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', aside, text, flags=re.S)
    bare = re.sub(r",(\s*[}\]])", r"\1", bare.replace("\ufeff", ""))
    return json.loads(re.sub(r'"(\d+)"', lambda found: strings[int(found[1])], bare))


def is_kept_in(old: str, new: str) -> bool:
    """Whether `new` is `old` with something put in between. White space inside empty brackets may go."""
    rest = iter(new)
    return all(char in rest for char in old if not char.isspace())


def test_what_is_added_looks_like_what_is_there() -> None:
    new = json_text.put(SETTINGS, ["env", "ANTHROPIC_BASE_URL"], "http://127.0.0.1:3456")
    new = json_text.put(new, ["provider", "x", "name"], "Patchbay")
    assert new == SETTINGS.replace(
        '{"PATH_LIKE": "a:b"}', '{"PATH_LIKE": "a:b", "ANTHROPIC_BASE_URL": "http://127.0.0.1:3456"}'
    ).replace(
        "  ],\n}",
        '  ],\n  "provider": {\n    "x": {\n      "name": "Patchbay"\n    }\n  },\n}',
    )


def test_a_value_is_replaced_in_its_place() -> None:
    assert json_text.put(SETTINGS, ["theme"], "light") == SETTINGS.replace('"dark"', '"light"')
    assert json_text.put(SETTINGS, ["theme"], "dark") == SETTINGS


def test_items_go_to_the_end_of_a_list_behind_its_comments() -> None:
    new = json_text.append(SETTINGS, ["list"], ["two", 3])
    assert new == SETTINGS.replace('"one", // first\n', '"one", // first\n    "two",\n    3,\n')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("  \n", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("// only this\n", '// only this\n{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
        ("{ // c\n}", '{ // c\n  "a": {\n    "b": 1\n  }\n}'),
        ('{"x": 1}', '{"x": 1, "a": {"b": 1}}'),
        ('{\r\n\t"x": 1\r\n}', '{\r\n\t"x": 1,\r\n\t"a": {\r\n\t\t"b": 1\r\n\t}\r\n}'),
        ('{\n  "x": 1 // c\n  // tail\n}', '{\n  "x": 1, // c\n  "a": {\n    "b": 1\n  }\n  // tail\n}'),
        ('\ufeff{"a": {"b": 0, "b": 2}}', '\ufeff{"a": {"b": 0, "b": 1}}'),
    ],
)
def test_layouts(old: str, new: str) -> None:
    assert json_text.put(old, ["a", "b"], 1) == new


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": }', "line 1, column 7: a value is expected"),
        ('{"a": 1', "a comma or } is expected"),
        ("{a: 1}", "line 1, column 2: a value is expected"),
        ("{1: 1}", "a name in double quotes"),
        ('{"a" 1}', "a colon is expected"),
        ("{} x", "something follows the end"),
        ('{"a": "\\q"}', "not valid"),
        ("[" * 300, "nested too deeply"),
        ('{"a": 1, }}', "something follows"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ConnectError, match=re.escape(says)) as failure:
        json_text.put(text, ["a"], 1)
    assert "Nothing was changed" in str(failure.value)


@pytest.mark.parametrize("text", ['{"a": [1]}', '{"a": "x"}', "[1]", '"x"'])
def test_what_is_no_object_is_not_replaced(text: str) -> None:
    with pytest.raises(ConnectError, match="is not an object"):
        json_text.put(text, ["a", "b"], 1)


def test_what_is_no_list_is_not_appended_to() -> None:
    with pytest.raises(ConnectError, match="a is not a list"):
        json_text.append('{"a": {}}', ["a"], [1])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
gaps = st.sampled_from(["", " ", "\n", "\n  ", " // c \n", "/* , } */", "\r\n\t"])


@st.composite
def laid_out(draw: st.DrawFn, value: Any) -> str:
    """A text that says `value`, with white space, comments and trailing commas anywhere."""

    def write(value: Any) -> str:
        if not isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=draw(st.booleans()))
        if isinstance(value, dict):
            parts = [f"{json.dumps(key)}{draw(gaps)}:{draw(gaps)}{write(one)}" for key, one in value.items()]
        else:
            parts = [write(one) for one in value]
        inside = ",".join(f"{draw(gaps)}{part}{draw(gaps)}" for part in parts)
        comma = "," if parts and draw(st.booleans()) else ""
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        return f"{opening}{inside}{comma}{draw(gaps)}{closing}"

    return f"{draw(gaps)}{write(value)}{draw(gaps)}"


@given(st.data(), st.dictionaries(st.text("ab/", max_size=2), values, max_size=3), values)
def test_any_layout_keeps_every_byte_and_says_what_was_meant(
    data: st.DataObject, document: dict[str, Any], value: Any
) -> None:
    text = data.draw(laid_out(document))
    assert json_text.parse(text).value == document == plainly(text)
    new = json_text.put(text, ["new", "key"], value)
    assert plainly(new) == {**document, "new": {"key": value}}
    assert is_kept_in(text.rstrip(), new)
    assert json_text.put(new, ["new", "key"], value) == new
    grown = json_text.append(new, ["new", "list"], [value, 1])
    assert json_text.look(grown, ["new", "list"]) == [value, 1]
    assert is_kept_in(new, grown)


@given(st.text('{}[]":,/*\\ \n1atrue', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        new = json_text.put(text, ["a"], 1)
    except ConnectError:
        return
    assert json_text.look(new, ["a"]) == 1
