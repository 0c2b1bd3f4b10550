from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.move_in.claude_code_router import parse_claude_code_router
from backends.move_in.documents import Document, read_json
from backends.move_in.plan import MoveInError, Plan
from tests.backends.move_in import CANARY, sample
from tests.backends.move_in.reading import VALUES, accounts, backends, keys, left, routes

ENVIRON = {"DEEPSEEK_API_KEY": "sk-canary-deepseek"}


def parsed(value: object, **environ: str) -> Plan:
    return parse_claude_code_router(read_json(json.dumps(value)), environ)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return parse_claude_code_router(read_json(sample("ccr-1.json")), ENVIRON)


def test_providers_are_backends(plan: Plan) -> None:
    assert backends(plan) == {
        "openrouter": "https://openrouter.ai/api/v1",
        "deepseek": "https://api.deepseek.com/v1",
        "ollama": "http://127.0.0.1:11434/v1",
        "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
        "Z-AI": "https://api.z.ai/api/anthropic",
    }
    assert [item.shape.protocol for item in plan.backends][-1] == "anthropic"
    assert plan.backends[1].shape.model_globs == ["deepseek-chat", "deepseek-reasoner"]


def test_each_provider_has_its_account(plan: Plan) -> None:
    assert accounts(plan) == {
        "openrouter": ("openrouter", "api_key"),
        "deepseek": ("deepseek", "api_key"),
        "ollama": ("ollama", "none"),
        "Z-AI": ("Z-AI", "api_key"),
    }
    assert keys(plan)["deepseek"] == ENVIRON["DEEPSEEK_API_KEY"]


def test_the_router_is_routes_and_aliases(plan: Plan) -> None:
    long_context = "openrouter:google/gemini-2.5-pro?min_tokens=60000"
    usual = [long_context, "deepseek:deepseek-reasoner?needs=reasoning", "deepseek:deepseek-chat"]
    assert routes(plan) == {
        "*": usual,
        "claude-*": usual,
        "claude-*haiku*": [long_context, "ollama:qwen2.5-coder:latest"],
        "web-search": ["gemini:gemini-2.5-pro"],
    }


def test_an_image_model_is_a_target_with_a_condition() -> None:
    provider = {"name": "p", "api_base_url": "https://p.example.com/v1", "api_key": "sk-1"}
    plan = parsed(
        {"Providers": [provider], "Router": {"default": "p,m", "image": "p,eyes", "longContext": "p,long"}}
    )
    assert routes(plan)["*"] == ["p:long?min_tokens=60000", "p:eyes?needs=images", "p:m"]
    assert [target.position for target in plan.routes[0].shape.targets] == [0, 1, 2]
    assert left(plan) == {}


def test_a_condition_without_a_default_is_reported() -> None:
    provider = {"name": "p", "api_base_url": "https://p.example.com/v1", "api_key": "sk-1"}
    plan = parsed({"Providers": [provider], "Router": {"longContext": "p,long", "longContextThreshold": 9}})
    assert (routes(plan), list(left(plan))) == ({}, ["Router.longContext", "Router.longContextThreshold"])


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("APIKEY", "never taken over"),
        ("HOST", "PATCHBAY_HOST"),
        ("PORT", "PATCHBAY_PORT"),
        ("LOG", "--verbose"),
        ("API_TIMEOUT_MS", "PATCHBAY_UPSTREAM_TIMEOUTS"),
        ("PROXY_URL", "no outgoing proxy"),
        ("NON_INTERACTIVE_MODE", "no such setting"),
        ("CUSTOM_ROUTER_PATH", "runs no code"),
        ("transformers", "translates"),
        ("Providers[1].transformer.deepseek-chat.use", "Left out: tooluse"),
        ("Providers[3].api_key", "GEMINI_API_KEY is not in the environment"),
        ("Providers[4].name", "Z-AI"),
        ("Providers[5]", "vertex-claude"),
        ("Router.webSearch", "the alias web-search"),
        ("Router.image", "provider was not taken"),
    ],
)
def test_what_stays_behind_is_named_with_its_reason(plan: Plan, place: str, why: str) -> None:
    assert why in left(plan)[place]


def test_nothing_of_a_plan_shows_a_secret(plan: Plan) -> None:
    assert CANARY not in repr(plan)


def test_version_2_with_its_other_spellings_and_fallbacks() -> None:
    plan = parse_claude_code_router(read_json(sample("ccr-2.json")), {})
    both = ["deepseek:deepseek-chat", "groq:llama-3.3-70b-versatile"]
    assert routes(plan) == {"*": both, "claude-*": both}
    assert list(accounts(plan)) == ["deepseek"], "{{groqKey}} is a place for a key, not a key"
    assert {"StatusLine.enabled", "fallback.think", "Providers[0].transformers"} <= set(left(plan))


def test_the_first_releases_knew_one_provider() -> None:
    plan = parsed(
        {
            "OPENAI_API_KEY": "$KEY",
            "OPENAI_BASE_URL": "https://api.deepseek.com",
            "OPENAI_MODEL": "deepseek-chat",
        },
        KEY="sk-1",
    )
    assert (keys(plan), routes(plan)["*"]) == ({"openai": "sk-1"}, ["openai:deepseek-chat"])
    assert left(plan) == {}


def newer_ones() -> list[Any]:
    providers = [{"name": "p", "api_base_url": "https://p.example.com/v1", "api_key": "k"}]
    return [
        json.loads(sample("ccr-3.json")),
        {"Providers": providers, "Router": {"rules": []}},
        {"Providers": providers, "Router": {"default": {"provider": "p", "model": "m"}}},
        {"Providers": providers, "Router": [{"when": "always"}]},
        {"Providers": providers, "virtualModelProfiles": []},
        {"Providers": providers, "version": 4},
        {"Providers": providers, "version": "3.1.0"},
    ]


@pytest.mark.parametrize("value", newer_ones())
def test_a_newer_version_is_refused_in_one_clear_line(value: object) -> None:
    with pytest.raises(MoveInError, match=r"claude-code-router 3 or newer.*backend add NAME") as refusal:
        parsed(value)
    assert "\n" not in str(refusal.value)


def test_a_preset_has_a_version_of_its_own() -> None:
    value = {
        "name": "team",
        "version": "3.1.0",
        "Providers": [{"name": "p", "HOST": "https://p.example.com/v1"}],
    }
    assert list(backends(parsed(value))) == ["p"]


def test_two_providers_of_one_name_are_two_backends() -> None:
    provider = {"name": "p", "api_base_url": "https://p.example.com/v1/chat/completions", "api_key": "sk-1"}
    plan = parsed({"Providers": [provider, provider], "Router": {"default": "p,m"}})
    assert (list(backends(plan)), routes(plan)["*"]) == (["p", "p-2"], ["p:m"])


NAMES = [
    "name",
    "NAME",
    "api_base_url",
    "HOST",
    "api_key",
    "APIKEY",
    "models",
    "transformer",
    "transformers",
    "x",
]
PROVIDER = st.dictionaries(st.sampled_from(NAMES), VALUES | st.just("https://p.example.com/v1")) | VALUES


@given(
    st.dictionaries(
        st.sampled_from(
            ["Providers", "providers", "Router", "fallback", "OPENAI_API_KEY", "OPENAI_BASE_URL", "x"]
        ),
        VALUES
        | st.lists(PROVIDER, max_size=3)
        | st.dictionaries(st.sampled_from(["default", "think"]), VALUES),
    )
)
def test_no_shape_of_a_file_breaks_the_parser(value: Any) -> None:
    try:
        plan = parse_claude_code_router(Document(value), {"X": "y"})
    except MoveInError:
        return
    names = {item.shape.name for item in plan.backends}
    assert all(item.shape.backend in names for item in plan.accounts)
    assert all(target.backend in names for item in plan.routes for target in item.shape.targets)
