"""A request to paste elsewhere: runnable, and inert whatever is in it."""

from __future__ import annotations

import ast
import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.pages.snippets import as_curl, as_python, skeleton, snippets
from backends.wire.kinds import Kind

BASE = "http://127.0.0.1:3456"
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=60)
bodies = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts, lambda x: st.lists(x, max_size=3)
    ),
)


def words(command: str) -> list[str]:
    """What a shell makes of it: the arguments of curl."""
    script = command.replace("curl ", "printf '%s\\0' ", 1)
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, check=True, env={"PATCHBAY_API_KEY": "KEY"}
    )
    return done.stdout.decode().split("\0")[:-1]


@given(bodies)
def test_python_holds_the_body_and_nothing_that_runs(body: dict[str, Any]) -> None:
    tree = ast.parse(as_python(Kind.CHAT, BASE, body))
    call = next(
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and ast.unparse(n.func) == "client.chat.completions.create"
    )
    arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    found = arguments.pop("extra_body", {}) | arguments
    assert found == body


@pytest.mark.parametrize(
    "nasty", ["'; touch /tmp/x; '", "$(id)", "`id`", "\u202e\x1b[2J", '"', "\\", "\n", "é日"]
)
def test_a_shell_passes_the_body_on_as_it_is(nasty: str) -> None:
    body = {"model": nasty, "messages": [{"role": "user", "content": nasty}]}
    told = words(as_curl(Kind.MESSAGES, BASE, body))
    assert json.loads(told[told.index("-d") + 1]) == body
    assert "Authorization: Bearer KEY" in told
    assert f"{BASE}/v1/messages" in told
    assert all(char.isprintable() or char == "\n" for char in as_curl(Kind.MESSAGES, BASE, body))


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_frame(kind: Kind) -> None:
    body = skeleton(kind, "m", stream=kind is Kind.CHAT)
    curl, python = (snippet.text for snippet in snippets(kind, BASE, body))
    assert f"/v1{kind.path}" in curl
    ast.parse(python)
    assert 'os.environ["PATCHBAY_API_KEY"]' in python
    assert ("-N" in curl) is (kind is Kind.CHAT)
