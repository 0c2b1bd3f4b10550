from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backends.move_in.documents import Document, leaves, path_text, read_yaml
from backends.move_in.litellm import parse_litellm
from backends.move_in.plan import Plan
from tests.backends.move_in import CANARY, sample
from tests.backends.move_in.reading import VALUES, accounts, backends, keys, left, routes

ENVIRON = {
    "OPENAI_API_KEY": "sk-canary-first",
    "OPENROUTER_API_KEY": "sk-or-canary",
    "ANTHROPIC_API_KEY": "sk-ant-canary",
}


def parsed(text: str, **environ: str) -> Plan:
    return parse_litellm(read_yaml(text), environ)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return parse_litellm(read_yaml(sample("litellm.yaml")), ENVIRON)


def one(params: str, name: str = "m", **environ: str) -> Plan:
    return parsed(f"model_list:\n- model_name: {name!r}\n  litellm_params: {{{params}}}\n", **environ)


def test_one_base_url_is_one_backend(plan: Plan) -> None:
    assert backends(plan) == {
        "openai": "https://api.openai.com/v1",
        "openrouter": "https://openrouter.ai/api/v1",
        "anthropic": "https://api.anthropic.com",
        "groq": "https://api.groq.com/openai/v1",
        "ollama": "http://127.0.0.1:11434/v1",
        "llm.example.com": "https://llm.example.com/v1",
        "mistral": "https://api.mistral.ai/v1",
    }


def test_the_keys_of_a_backend_are_its_pool(plan: Plan) -> None:
    assert accounts(plan) == {
        "openai": ("openai", "api_key"),
        "openai-2": ("openai", "api_key"),
        "openrouter": ("openrouter", "api_key"),
        "anthropic": ("anthropic", "api_key"),
        "groq": ("groq", "api_key"),
        "ollama": ("ollama", "none"),
        "llm.example.com": ("llm.example.com", "none"),
    }
    assert keys(plan)["openai-2"] == "sk-canary-second-0123456789"
    assert keys(plan)["groq"] == "gsk-canary-groq-0123456789", "the file's own environment_variables"


def test_model_names_are_routes_in_order_with_their_fallbacks(plan: Plan) -> None:
    smart = ["anthropic:claude-opus-4-8", "openrouter:anthropic/claude-sonnet-4", "openai:gpt-5"]
    assert routes(plan) == {
        "gpt-5": ["openai:gpt-5", "ollama:qwen3"],
        "gpt-5-mini": ["openai:gpt-5-mini", "ollama:qwen3"],
        "smart": smart,
        "fast": ["groq:llama-3.3-70b-versatile", "ollama:qwen3"],
        "local": ["ollama:qwen3"],
        "own": ["llm.example.com:org/model-1", "ollama:qwen3"],
        "embed": ["mistral:mistral-embed", "ollama:qwen3"],
        "*": ["openai", "ollama:qwen3"],
        "opus-like": smart,
        "hidden-one": ["groq:llama-3.3-70b-versatile", "ollama:qwen3"],
    }


def test_a_reference_without_a_value_makes_no_account_and_is_reported(plan: Plan) -> None:
    assert "MISTRAL_API_KEY is not in the environment" in left(plan)["model_list[8].litellm_params.api_key"]
    assert "mistral" not in accounts(plan)


def test_a_reference_keeps_its_alias_until_it_has_a_value(plan: Plan) -> None:
    without = parse_litellm(read_yaml(sample("litellm.yaml")), {})
    assert keys(without)["openai-2"] == keys(plan)["openai-2"]
    assert "openai" not in accounts(without)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("model_list[0].litellm_params.rpm", "limits"),
        ("model_list[0].litellm_params.stream_timeout", "PATCHBAY_UPSTREAM_TIMEOUTS"),
        ("model_list[0].model_info.input_cost_per_token", "price"),
        ("model_list[1].litellm_params.weight", "by its strategy"),
        ("model_list[2].model_name", "also openai-2"),
        ("router_settings.routing_strategy", "by their weights"),
        ("model_list[9]", "Ask for groq:MODEL"),
        ("model_list[11]", "no endpoint for image_generation"),
        ("model_list[12]", "openai/v1"),
        ("model_list[13]", "bedrock"),
        ("credential_list[0].credential_info.description", "no such setting"),
        ("environment_variables.LANGFUSE_HOST", "own settings"),
        ("litellm_settings.drop_params", "forwards"),
        ("litellm_settings.cache_params.host", "no answers"),
        ("litellm_settings.context_window_fallbacks", "every failure"),
        ("litellm_settings.a_setting_of_tomorrow.inner", "no such setting"),
        ("router_settings.redis_password", "Redis"),
        ("router_settings.fallbacks[0].smart[1]", "not taken"),
        ("router_settings.model_group_alias.hidden-one.hidden", "no such setting"),
        ("general_settings.master_key", "never taken over"),
        ("general_settings.database_url", "own database"),
    ],
)
def test_what_stays_behind_is_named_with_its_reason(plan: Plan, place: str, why: str) -> None:
    assert why in left(plan)[place]


def test_every_report_has_its_line_and_no_secret(plan: Plan) -> None:
    lines = sample("litellm.yaml").splitlines()
    for each in plan.not_taken:
        found = re.match(r"line (\d+): (.*)", each.where)
        assert found is not None
        last = re.sub(r"\[\d+\]", "", found[2]).rpartition(".")[2]
        assert last in lines[int(found[1]) - 1] or "- " in lines[int(found[1]) - 1]
    assert CANARY not in repr(plan)


@pytest.mark.parametrize(
    ("model", "backend", "upstream"),
    [
        ("gpt-5", "openai", "gpt-5"),
        ("claude-opus-4-8", "anthropic", "claude-opus-4-8"),
        ("openai/responses/gpt-5", "openai", "gpt-5"),
        ("together_ai/meta/llama", "together", "meta/llama"),
        ("gemini/gemini-2.5-pro", "gemini", "gemini-2.5-pro"),
        ("lm_studio/org/m", "lmstudio", "org/m"),
        ("perplexity/sonar", "perplexity", "sonar"),
    ],
)
def test_the_prefix_tells_the_provider(model: str, backend: str, upstream: str) -> None:
    plan = one(f"model: {model}, api_key: sk-12345678")
    assert routes(plan) == {"m": [f"{backend}:{upstream}"]}
    assert list(accounts(plan)) == [backend]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ("api_key: x", "no litellm_params.model"),
        ("model: mystery", "names no provider"),
        ("model: custom_openai/m", "no api_base"),
        ("model: openai/m, api_base: 'http://llm.example.com/v1'", "Plain http"),
        ("model: openai/m, api_base: 'http://169.254.169.254/v1'", "metadata"),
        ("model: openai/m, api_base: os.environ/NOWHERE", "not known"),
        ("model: 'openai/*'", "Ask for openai:MODEL"),
        ("model: mistralai/mistral-7b", "mistralai is not one that Patchbay knows"),
        ("model: bedrock/m, api_base: 'https://bedrock.example.com'", "bedrock is not one"),
    ],
)
def test_a_deployment_that_cannot_be_taken_says_why(params: str, why: str) -> None:
    plan = one(params)
    assert routes(plan) == {}
    assert any(why in each.why for each in plan.not_taken)


def test_an_unknown_provider_at_an_address_is_taken_to_speak_openai() -> None:
    plan = one("model: siliconflow/org/m, api_base: 'https://api.siliconflow.cn/v1', api_key: sk-12345678")
    assert backends(plan) == {"api.siliconflow.cn": "https://api.siliconflow.cn/v1"}
    assert routes(plan) == {"m": ["api.siliconflow.cn:org/m"]}
    assert "taken to speak OpenAI" in left(plan)["model_list[0].litellm_params.model"]


def test_the_usual_variable_of_a_provider_gives_the_key_and_the_base() -> None:
    plan = one("model: openai/m", OPENAI_API_KEY="sk-1", OPENAI_API_BASE="https://eu.example.com/v1")
    assert (backends(plan), keys(plan)) == (
        {"eu.example.com": "https://eu.example.com/v1"},
        {"eu.example.com": "sk-1"},
    )


def test_deployments_of_one_name_share_the_requests_by_weight_and_order_puts_them_in_line() -> None:
    plan = parsed(
        "model_list:\n"
        "- {model_name: m, litellm_params: {model: openai/a, api_key: k1, weight: 3}}\n"
        "- {model_name: m, litellm_params: {model: openai/a, api_key: k2, weight: 2}}\n"
        "- {model_name: m, litellm_params: {model: groq/b}}\n"
        "- {model_name: n, litellm_params: {model: xai/first, order: 1}}\n"
        "- {model_name: n, litellm_params: {model: xai/second, order: 2}}\n"
    )
    targets = {
        item.shape.pattern: [(each.spec.name, each.position, each.weight) for each in item.shape.targets]
        for item in plan.routes
    }
    assert targets == {
        "m": [("openai:a", 0, 5), ("groq:b", 0, 1)],
        "n": [("xai:first", 0, 1), ("xai:second", 1, 1)],
    }


def test_router_settings_win_over_litellm_settings() -> None:
    plan = parsed(
        "model_list:\n"
        "- {model_name: a, litellm_params: {model: openai/a}}\n"
        "- {model_name: b, litellm_params: {model: openai/b}}\n"
        "- {model_name: c, litellm_params: {model: openai/c}}\n"
        "litellm_settings: {fallbacks: [{a: [b]}]}\n"
        "router_settings: {fallbacks: [{a: [c]}, {'*': [b]}]}\n"
    )
    assert routes(plan)["a"] == ["openai:a", "openai:c"]
    assert routes(plan)["c"] == ["openai:c", "openai:b"], "* is the fallback of all others"


def test_a_name_that_is_written_twice_in_other_cases_is_one_route() -> None:
    plan = parsed(
        "model_list:\n- {model_name: A, litellm_params: {model: openai/a}}\n"
        "- {model_name: a, litellm_params: {model: openai/b}}\n"
    )
    assert routes(plan) == {"A": ["openai:a"]}
    assert "already" in left(plan)["model_list[1].model_name"]


UNKNOWN = st.dictionaries(
    st.sampled_from(["new_setting", "another", "third"]),
    st.recursive(
        st.integers(0, 9),
        lambda inner: st.dictionaries(st.sampled_from(["x", "y"]), inner, min_size=1),
        max_leaves=4,
    ),
)


@given(UNKNOWN, UNKNOWN, UNKNOWN)
def test_every_unknown_setting_is_reported(top: Any, section: Any, params: Any) -> None:
    value = {
        "model_list": [
            {"model_name": "m", "litellm_params": {"model": "openai/m", "api_key": "k", **params}}
        ],
        "router_settings": section,
        **top,
    }
    expected = {path_text(path) for path in leaves({**top, "router_settings": section})}
    expected |= {f"model_list[0].litellm_params.{path_text(path)}" for path in leaves(params)}
    assert expected == set(left(parsed(yaml.safe_dump(value))))


PARAMS = st.dictionaries(
    st.sampled_from(
        ["model", "api_key", "api_base", "order", "litellm_credential_name", "custom_llm_provider"]
    ),
    VALUES,
)
ENTRY = (
    st.dictionaries(st.sampled_from(["model_name", "litellm_params", "model_info"]), VALUES | PARAMS) | VALUES
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["model_list", "litellm_settings", "router_settings", "credential_list", "environment_variables"]
        ),
        VALUES
        | st.lists(ENTRY, max_size=3)
        | st.dictionaries(st.sampled_from(["fallbacks", "default_fallbacks", "model_group_alias"]), VALUES),
    )
)
def test_no_shape_of_a_file_breaks_the_parser(value: Any) -> None:
    plan = parse_litellm(Document(value), {"X": "https://llm.example.com/v1"})
    names = {item.shape.name for item in plan.backends}
    assert all(item.shape.backend in names for item in plan.accounts)
    assert all(target.backend in names for item in plan.routes for target in item.shape.targets)
