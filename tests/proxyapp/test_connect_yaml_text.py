"""Edits in YAML: the value arrives, and every other byte stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxyapp.connect import yaml_text
from proxyapp.connect.parts import ConnectError
from tests.proxyapp.test_connect_json_text import is_kept_in

CONTINUE = """\
# mine
name: Local
version: 1.0.0
schema: v1
models:
  - name: Other   # keep
    provider: ollama
    model: "qwen"

# about rules
rules:
  - be brief
"""
ITEM = {"name": "Patchbay", "model": "m", "roles": ["chat"]}


def test_an_item_goes_behind_the_others() -> None:
    new = yaml_text.merge_items(CONTINUE, "models", "name", [ITEM])
    added = '    model: "qwen"\n  - name: Patchbay\n    model: m\n    roles: ["chat"]\n'
    assert new == CONTINUE.replace('    model: "qwen"\n', added)


def test_an_item_that_is_there_is_changed_in_its_place() -> None:
    new = yaml_text.merge_items(CONTINUE, "models", "name", [{"name": "Other", "model": "x", "apiKey": "k"}])
    assert new == CONTINUE.replace('model: "qwen"\n', "model: x\n    apiKey: k\n")
    assert yaml_text.merge_items(new, "models", "name", [{"name": "Other", "model": "x"}]) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "models:\n  - name: P\n"),
        ("# c\n", "# c\nmodels:\n  - name: P\n"),
        ("a: 1", "a: 1\nmodels:\n  - name: P\n"),
        ("models: []  # c\na: 1\n", "models:\n  - name: P  # c\na: 1\n"),
        ("models:\na: 1\n", "models:\n  - name: P\na: 1\n"),
        ("models: [{name: x}] # c\n", 'models: [{name: x}, {"name": "P"}] # c\n'),
        (
            "models:\n- name: x\n  t: |\n    a\n    b\n",
            "models:\n- name: x\n  t: |\n    a\n    b\n- name: P\n",
        ),
        ("models:\n- name: x\nb: 1\n", "models:\n- name: x\n- name: P\nb: 1\n"),
    ],
)
def test_layouts_of_a_list(old: str, new: str) -> None:
    assert yaml_text.merge_items(old, "models", "name", [{"name": "P"}]) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "model: openai/x\n"),
        ("# c\nmodel: y # d\nz: 1\n", "# c\nmodel: openai/x # d\nz: 1\n"),
        ("a: 1\n\n# tail\n", "a: 1\nmodel: openai/x\n\n# tail\n"),
        ("model:\nz: 1\n", "model: openai/x\nz: 1\n"),
        ("{a: 1}\n", '{a: 1, "model": "openai/x"}\n'),
        ("'model': 'openai/x'\n", "'model': 'openai/x'\n"),
    ],
)
def test_layouts_of_a_mapping(old: str, new: str) -> None:
    assert yaml_text.put(old, {"model": "openai/x"}) == new


@pytest.mark.parametrize(
    "value", ["true", "12", "1.0", "a: b", "- x", "*x", "***", "#c", "", " x ", "ü", "a\nb"]
)
def test_text_stays_text(value: str) -> None:
    assert yaml.safe_load(yaml_text.put("a: 1\n", {"key": value})) == {"a": 1, "key": value}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "line 1, column 6"),
        ("a: 1\n b: 2\n", "line 2"),
        ("a: !!python/object:x {}\n", "no valid YAML"),
        ("- a\n", "no mapping"),
        ("just text", "no mapping"),
        ("a: 1\n---\nb: 2\n", "no valid YAML"),
    ],
)
def test_what_cannot_be_edited_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConnectError, match=says) as failure:
        yaml_text.put(text, {"key": "value"})
    assert "Nothing was changed" in str(failure.value)


@pytest.mark.parametrize("text", ["models: {a: 1}\n", "models: x\n"])
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConnectError, match="models is no list"):
        yaml_text.merge_items(text, "models", "name", [ITEM])


simple = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc #:-'\"", max_size=5)
values = st.recursive(
    simple,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3),
    st.sampled_from([None, True, False]),
    st.sampled_from(["", "# c\n", "\n"]),
)
def test_any_document_keeps_every_byte(document: dict[str, Any], flow: bool | None, around: str) -> None:
    text = around + (yaml.safe_dump(document, default_flow_style=flow) if document else "") + around
    new = yaml_text.merge_items(yaml_text.put(text, {"model": "x"}), "models", "name", [ITEM])
    assert yaml.safe_load(new) == {**document, "model": "x", "models": [ITEM]}
    assert is_kept_in(text.rstrip(), new)
    assert yaml_text.merge_items(new, "models", "name", [ITEM]) == new


@given(st.text("ab:-[]{}#'\"|> \n", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        new = yaml_text.put(text, {"key": "value"})
    except ConnectError:
        return
    assert yaml.safe_load(new)["key"] == "value"
