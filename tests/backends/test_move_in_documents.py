from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backends.move_in.documents import MAX_BYTES, at, leaves, plain_json, read_json, read_yaml
from backends.move_in.plan import MoveInError

SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def bomb(levels: int) -> str:
    lines = ["a0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (bomb(9), "too many values"),
        ("a: &a [*a]", "contains itself"),
        ("- " * 500_000, "nested more than 60 deep"),
        ("[" * 500_000, "nested more than 60 deep"),
        ("a: 1\n" * 150_000, "too many values"),
        ("a: x\n" * (MAX_BYTES // 5 + 1), "larger than 1 MiB"),
        ('a: !!python/object/apply:os.system ["true"]', "line 1: could not determine a constructor"),
        ("a: 1\nb: !secret x", "line 2: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: [1", "line 1"),
        ("a: \x00", "plain text"),
        ("a: 2001-99-99", "plain text"),
    ],
)
def test_yaml_that_is_no_configuration_is_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(MoveInError, match=why) as refusal:
        read_yaml(text)
    assert "\n" not in str(refusal.value)


def test_a_refusal_names_the_line_and_never_the_text_on_it() -> None:
    for text in ("a: 1\nkey: 'sk-canary", "a: 1\n\tkey: sk-canary", "a: 1\nkey: @sk-canary"):
        with pytest.raises(MoveInError, match=r"line [23]: ") as refusal:
            read_yaml(text)
        assert "canary" not in str(refusal.value)


def test_anchors_and_merge_keys_are_read_as_yaml_means_them() -> None:
    document = read_yaml("base: &b {rpm: 1}\nmodels:\n  - <<: *b\n    name: x\n")
    assert document.value == {"base": {"rpm": 1}, "models": [{"rpm": 1, "name": "x"}]}


def test_every_setting_has_its_line() -> None:
    document = read_yaml("a:\n  - b: 1\n    c:\n      d: 2\ne: 3\n")
    assert document.where(("a", 0, "c", "d")) == "line 4: a[0].c.d"
    assert document.where(("e",)) == "line 5: e"
    assert document.where(("a", 0, "c", "not-there")) == "line 3: a[0].c.not-there"


def test_a_setting_that_is_given_twice_is_noticed() -> None:
    assert read_yaml("a: 1\nb: {c: 1, c: 2}\na: 3").repeated == (("b", "c"), ("a",))


@given(SETTINGS)
def test_yaml_and_json_of_the_same_settings_are_the_same(value: Any) -> None:
    assert read_json(json.dumps(value)).value == value
    assert read_yaml(yaml.safe_dump(value, allow_unicode=False)).value == value


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (read_yaml, read_json):
        refusal = ""
        try:
            read(text)
        except MoveInError as exc:
            refusal = str(exc)
        assert "\n" not in refusal


def noted(value: Any, note: str) -> str:
    """JSON with a note at every place where one may stand, and a comma after every last entry."""
    if isinstance(value, dict) and value:
        inner = "".join(
            f"{note}{json.dumps(key)}{note}:{noted(each, note)},{note}" for key, each in value.items()
        )
        return f"{note}{{{inner}}}{note}"
    if isinstance(value, list) and value:
        return f"{note}[{''.join(f'{noted(each, note)},{note}' for each in value)}]{note}"
    return f"{note}{json.dumps(value)}{note}"


@given(SETTINGS, st.sampled_from(["// note, ]\n", '/* a "quoted\n"]*/', " \n\t", "/***/", "//\n//\n", ""]))
def test_comments_and_trailing_commas_change_nothing(value: Any, note: str) -> None:
    text = noted(value, note)
    assert json.loads(plain_json(text)) == value
    assert plain_json(text).count("\n") == text.count("\n")


def test_json_keeps_its_lines_when_comments_go() -> None:
    with pytest.raises(MoveInError, match="line 4: "):
        read_json('{\n/* a\n*/\n"a": nothing}')


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": Infinity}', "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", "{"]
)
def test_json_that_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(MoveInError, match="The JSON"):
        read_json(text)


@given(SETTINGS)
def test_leaves_are_the_settings(value: Any) -> None:
    paths = list(leaves(value))
    assert len(set(paths)) == len(paths)
    assert not any(isinstance(at(value, path), dict) for path in paths)
