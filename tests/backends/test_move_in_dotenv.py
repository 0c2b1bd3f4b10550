from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.move_in.dotenv import parse_dotenv, read_dotenv
from backends.move_in.plan import MoveInError
from tests.backends.move_in import CANARY, sample
from tests.backends.move_in.reading import accounts, backends, keys, left, routes


def test_known_keys_become_backends_with_an_account() -> None:
    plan = parse_dotenv(sample("keys.env"))
    assert backends(plan) == {
        "anthropic": "https://api.anthropic.com",
        "llm.example.com": "https://llm.example.com/v1",
        "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
        "xai": "https://api.x.ai/v1",
        "vllm": "http://127.0.0.1:8000/v1",
    }
    assert keys(plan) == {
        "anthropic": "sk-ant-api-canary-env-01234",
        "llm.example.com": "sk-canary-env-openai-01234",
        "gemini": "canary-gemini-0123456789",
        "xai": "canary-xai-0123456789",
    }
    assert accounts(plan)["vllm"] == ("vllm", "none")
    assert routes(plan) == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("GOOGLE_API_KEY", "another name"),
        ("GROQ_API_KEY", "empty"),
        ("MISTRAL_BASE_URL", "no key beside it"),
        ("ANTHROPIC_AUTH_TOKEN", "not a key"),
        ("DATABASE_URL", "no provider key"),
        ("PRIVATE_KEY", "no provider key"),
    ],
)
def test_every_other_variable_is_named(name: str, why: str) -> None:
    plan = parse_dotenv(sample("keys.env"))
    assert why in left(plan)[name]
    assert CANARY not in repr(plan), "no part of a value, not even a line of a private key"


def test_two_keys_of_one_provider_are_a_pool() -> None:
    plan = parse_dotenv("GEMINI_API_KEY=one\nGOOGLE_API_KEY=two\n")
    assert accounts(plan) == {"gemini": ("gemini", "api_key"), "gemini-2": ("gemini", "api_key")}


def test_a_base_url_that_is_refused_is_named() -> None:
    plan = parse_dotenv("OPENAI_API_KEY=k\nOPENAI_BASE_URL=http://169.254.169.254/v1\n")
    assert (backends(plan), list(left(plan))) == ({}, ["OPENAI_BASE_URL"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("export A = b ", "b"),
        ("A='b # c'", "b # c"),
        ('A="b\\nc" # d', "b\nc"),
        ("A=b#c", "b#c"),
        ("A=b # c", "b"),
        ("A=", ""),
        ("A=#c", ""),
        ("A='b\nc'", "b\nc"),
        ("# x\r\n\r\nA=b\r\n", "b"),
    ],
)
def test_values_are_read_as_shells_write_them(text: str, value: str) -> None:
    assert read_dotenv(text)[0] == {"A": value}


@pytest.mark.parametrize("text", ["A=1\nnonsense", "A=1\nB='x", 'A=1\nB="x', "A=1\n1B=2", "A=1\nB='x'y"])
def test_a_line_that_cannot_be_read_is_named_by_its_number(text: str) -> None:
    with pytest.raises(MoveInError, match="Line 2 "):
        read_dotenv(text)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), st.text(alphabet="ab'\"\\$# \n=", max_size=8)
    )
)
def test_what_is_quoted_comes_back(values: dict[str, str]) -> None:
    quoted = {name: text.replace("\\", "\\\\").replace('"', '\\"') for name, text in values.items()}
    text = "".join(f'{name}="{value}"\n' for name, value in quoted.items())
    assert read_dotenv(text)[0] == values


@given(st.text(alphabet="AB=\"'# \\\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        values, lines = read_dotenv(text)
    except MoveInError:
        return
    assert set(values) == set(lines)
