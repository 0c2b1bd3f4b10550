from __future__ import annotations

import json

import pytest

from backends.move_in.plan import MoveInError, Plan
from backends.move_in.recognise import Source, plan_of
from tests.backends.move_in import sample

OWN = json.dumps({"patchbay": 1, "backends": [{"name": "x", "baseUrl": "https://x.example.com/v1"}]})


def file(name: str, text: str) -> Plan:
    return plan_of(Source(is_folder=False, texts={name: text}), {})


def folder(*names: str, **texts: str) -> Plan:
    files = {
        name.replace("__", "/").replace("_json", ".json").replace("_yaml", ".yaml"): texts[name]
        for name in texts
    }
    return plan_of(Source(is_folder=True, texts=files, names=frozenset([*files, *names])), {})


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("config.yaml", sample("litellm.yaml"), "LiteLLM proxy configuration"),
        ("no-ending", sample("litellm.yaml"), "LiteLLM proxy configuration"),
        ("model_list.json", '{"model_list": []}', "LiteLLM proxy configuration"),
        ("config.json", sample("ccr-1.json"), "claude-code-router configuration"),
        ("old", sample("ccr-2.json"), "claude-code-router configuration"),
        (".env.local", sample("keys.env"), ".env file"),
        ("prod.env", "", ".env file"),
        ("secrets.txt", sample("keys.env"), ".env file"),
        ("patchbay.json", OWN, "Patchbay export"),
        ("anything", OWN, "Patchbay export"),
    ],
)
def test_a_file_is_recognised_by_what_is_in_it(name: str, text: str, source: str) -> None:
    assert file(name, text).source == source


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "services: {}"), ("a.json", "{}"), ("a.json", "[]"), ("a.txt", "hello"), ("a", "")],
)
def test_what_is_nobodys_is_refused_with_what_is_known(name: str, text: str) -> None:
    with pytest.raises(MoveInError, match=r"no configuration that Patchbay knows: a LiteLLM proxy's YAML"):
        file(name, text)


def test_a_database_of_claude_code_router_3_is_refused() -> None:
    with pytest.raises(MoveInError, match="claude-code-router 3 or newer"):
        file("config.sqlite", "SQLite format 3\x00…")
    with pytest.raises(MoveInError, match="claude-code-router 3 or newer"):
        folder("config.sqlite", "logs")


def test_a_folder_with_one_configuration_is_that_one() -> None:
    plan = folder("config.sqlite", config_json=sample("ccr-1.json"))
    assert plan.source == "claude-code-router configuration"
    assert plan.not_taken[-1].where == "config.sqlite"


def test_a_folder_with_two_configurations_asks_for_the_file() -> None:
    with pytest.raises(MoveInError, match=r"holds config.json, config.yaml. Name the file"):
        folder(config_json=sample("ccr-1.json"), config_yaml=sample("litellm.yaml"))


def test_a_folder_names_the_file_that_cannot_be_read() -> None:
    with pytest.raises(MoveInError, match=r"config.yaml: The YAML cannot be read: line 1"):
        folder(config_yaml="a: [1")


def test_a_folder_with_nothing_is_refused() -> None:
    with pytest.raises(MoveInError, match="holds no configuration"):
        folder("README.md")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"patchbay": 2, "tomorrow": {}}', "has version 2; this Patchbay reads version 1"),
        ('{"patchbay": 0}', "has version 0"),
        ('{"patchbay": "1"}', "no JSON with"),
        ('{"patchbay": 1, "tomorrow": 1}', "unknown field `tomorrow`"),
        ('{"patchbay": 1, "routes": [{"pattern": "x", "weight": 1}]}', "unknown field `weight`"),
        ('{"patchbay": 1, "backends": [{"name": "x"}]}', "required field `baseUrl`"),
        ('{"patchbay": 1, "accounts": [{"alias": 1, "backend": "x"}]}', "Expected `str`, got `int`"),
        ('{"patchbay": 1, "backends": {}}', "Expected `array`"),
    ],
)
def test_an_export_that_is_not_exactly_this_format_is_refused(text: str, why: str) -> None:
    with pytest.raises(MoveInError, match=why) as refusal:
        file("patchbay.json", text)
    assert "\n" not in str(refusal.value)
