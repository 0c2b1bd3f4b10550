"""Edits in TOML: the value arrives, and every other byte stays."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyapp.connect import toml_text
from proxyapp.connect.parts import ConnectError
from tests.proxyapp.test_connect_json_text import is_kept_in

TOP = {"model_provider": "patchbay"}
TABLE = ("model_providers", "patchbay")
VALUES: Mapping[str, object] = {"name": "Patchbay", "on": False, "http_headers": {"x-patchbay-key": "k"}}
CODEX = """\
#:schema config-schema.json

# which model
model = "o3"   # keep

[mcp_servers.docs]   # and this
command = "npx"

[model_providers.other]
name = "Other"
"""


def put(text: str) -> str:
    return toml_text.put(text, TOP, TABLE, VALUES)


def test_new_keys_go_to_the_top_and_a_new_table_to_the_end() -> None:
    added = (
        '\n[model_providers.patchbay]\nname = "Patchbay"\non = false\nhttp_headers = {x-patchbay-key = "k"}\n'
    )
    head = "#:schema config-schema.json\n"
    assert put(CODEX) == CODEX.replace(head, head + 'model_provider = "patchbay"\n') + added
    assert put("") == 'model_provider = "patchbay"\n' + added


def test_what_is_there_is_changed_in_its_place_and_ours_is_merged() -> None:
    old = (
        'model_provider = "openai" # mine\n[model_providers.patchbay]\nname = "Patchbay" # n\nextra = 1\n'
        + ('http_headers = {a = "b"}\n\n[z]\nq = 1\n')
    )
    new = put(old)
    assert 'model_provider = "patchbay" # mine\n[model_providers.patchbay]\nname = "Patchbay" # n\n' in new
    assert tomllib.loads(new)["model_providers"]["patchbay"] == {
        **VALUES,
        "extra": 1,
        "http_headers": {"a": "b", "x-patchbay-key": "k"},
    }
    assert put(new) == new


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = ", "no valid TOML"),
        ("a = 1\na = 2\n", "no valid TOML"),
        ('model_providers = "x"\n', "model_providers is no table"),
        ("[[model_providers]]\nname = 1\n", "model_providers is no table"),
        ('model_providers = {other = {name = "x"}}\n', "cannot be edited safely"),
    ],
)
def test_what_cannot_be_edited_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConnectError, match=says) as failure:
        put(text)
    assert "Nothing was changed" in str(failure.value)


keys = st.sampled_from(["a", "b", '"c d"', "model"])
scalars = st.sampled_from(["1", '"x" # c', "true", '["a", # c\n  "b"]', '"""\n[no.table]\n"""', "{k = 1}"])
lines = st.dictionaries(keys, scalars, max_size=3)
tables = st.dictionaries(st.sampled_from(["t", "t.u", "model_providers.x", '"q"']), lines, max_size=3)


@given(lines, tables, st.sampled_from(["", "# head\n", "# head\n\n", "\n"]))
def test_any_document_keeps_every_byte(
    top: dict[str, str], rest: dict[str, dict[str, str]], head: str
) -> None:
    parts = [head, *(f"{key} = {value}\n" for key, value in top.items())]
    for name, inside in rest.items():
        parts += [f"\n[{name}]\n", *(f"{key} = {value}\n" for key, value in inside.items())]
    text = "".join(parts)
    new = put(text)
    read = tomllib.loads(new)
    assert read["model_providers"].pop("patchbay") == VALUES
    assert read.pop("model_provider") == "patchbay"
    before = tomllib.loads(text)
    assert read == {**before, "model_providers": before.get("model_providers", {})}
    assert is_kept_in(text, new)
    assert put(new) == new


@given(st.text("ab=[]{}.#'\"1 \n", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        new = put(text)
    except ConnectError:
        return
    assert tomllib.loads(new)["model_provider"] == "patchbay"
