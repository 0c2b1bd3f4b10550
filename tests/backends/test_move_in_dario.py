from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.move_in.dario import is_dario, parse_dario
from backends.move_in.plan import MoveInError, Plan
from tests.backends.move_in import CANARY, SAMPLES
from tests.backends.move_in.reading import VALUES, accounts, backends, keys, left, routes

HOME = SAMPLES / "dario"


def read_home() -> tuple[frozenset[str], dict[str, str]]:
    files = {str(path.relative_to(HOME)): path.read_text() for path in HOME.rglob("*.json")}
    read = {name: text for name, text in files.items() if name != "oauth-config.override.json"}
    return frozenset(path.name for path in HOME.iterdir()), read


def parsed(**files: object) -> Plan:
    texts = {name.replace("__", "/") + ".json": json.dumps(value) for name, value in files.items()}
    return parse_dario(frozenset(name.partition("/")[0] for name in texts), texts)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return parse_dario(*read_home())


def test_a_home_is_told_by_its_files() -> None:
    assert is_dario(*read_home())
    assert is_dario(frozenset({"credentials.json"}), {"credentials.json": '{"claudeAiOauth": {}}'})
    assert not is_dario(frozenset({"config.json"}), {"config.json": '{"Providers": []}'})


def test_backends_come_with_their_keys(plan: Plan) -> None:
    assert backends(plan) == {
        "local": "http://127.0.0.1:11434/v1",
        "openrouter": "https://openrouter.ai/api/v1",
        "anthropic": "https://api.anthropic.com",
    }
    assert keys(plan) == {"openrouter": "sk-or-canary-dario-01234", "keyed": "sk-ant-api-canary-0123456789"}
    assert plan.backends[-1].shape.strategy == "fill-first"


def test_claude_logins_come_as_accounts_that_need_one(plan: Plan) -> None:
    found = accounts(plan)
    assert found["login"] == found["work"] == ("anthropic", "oauth")
    assert found["keyed"] == ("anthropic", "api_key")
    assert found["local"] == ("local", "none")
    places = {each.where for each in plan.not_taken}
    assert {"accounts/login.json: accessToken", "accounts/work.json: refreshToken"} <= places


def test_no_token_is_in_the_plan(plan: Plan) -> None:
    assert not any("oat" in key or "refresh" in key for key in keys(plan).values())
    assert CANARY not in repr(plan)


def test_aliases_and_the_fallback_are_routes(plan: Plan) -> None:
    assert routes(plan) == {
        "my-fast": ["openrouter:openai/gpt-5-mini"],
        "big": ["anthropic:claude-opus-4-8"],
        "claude-*": ["anthropic", "local:anthropic/claude-3.5-sonnet"],
    }


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("modelAliases.lost", "no backend"),
        ("port", "PATCHBAY_PORT"),
        ("stealth", "imitates no other product"),
        ("pacing.minMs", "PATCHBAY_MIN_INTERVAL_MS"),
        ("queue.maxQueued", "PATCHBAY_QUEUE_MAX"),
        ("overageGuard.behavior", "allowed claims"),
        ("aSettingOfTomorrow", "no such setting"),
        ("credentials.json", "accounts/login.json"),
        ("oauth-config.override.json", "OAuth client"),
    ],
)
def test_what_stays_behind_is_named_with_its_reason(plan: Plan, place: str, why: str) -> None:
    assert why in left(plan)[place]


def test_the_single_login_of_older_versions_is_the_account_login() -> None:
    plan = parsed(credentials={"claudeAiOauth": {"accessToken": "canary", "expiresAt": 1}})
    assert accounts(plan) == {"login": ("anthropic", "oauth")}
    assert "claudeAiOauth.accessToken" in left(plan)


def test_a_newer_configuration_is_refused() -> None:
    with pytest.raises(MoveInError, match=r"config.json: its version 2 is newer than 1"):
        parsed(config={"version": 2}, backends__x={"name": "x", "baseUrl": "https://x.example.com/v1"})


def test_a_file_that_cannot_be_read_refuses_the_whole_by_its_name() -> None:
    with pytest.raises(MoveInError, match=r"backends/x.json: The JSON cannot be read: line 1"):
        parse_dario(frozenset({"backends"}), {"backends/x.json": '{"apiKey": "canary'})


@given(
    st.dictionaries(
        st.sampled_from(
            ["config.json", "credentials.json", "accounts/a.json", "backends/b.json", "backends/c.json"]
        ),
        VALUES
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "baseUrl",
                    "apiKey",
                    "provider",
                    "alias",
                    "modelAliases",
                    "poolFallback",
                    "pool",
                    "version",
                ]
            ),
            VALUES | st.just("https://p.example.com/v1"),
        ),
    )
)
def test_no_shape_of_a_home_breaks_the_parser(files: Any) -> None:
    texts = {name: json.dumps(value) for name, value in files.items()}
    try:
        plan = parse_dario(frozenset(texts), texts)
    except MoveInError:
        return
    names = {item.shape.name for item in plan.backends}
    assert all(item.shape.backend in names for item in plan.accounts)
    assert all(target.backend in names for item in plan.routes for target in item.shape.targets)
