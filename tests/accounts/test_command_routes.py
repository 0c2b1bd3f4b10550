from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("routes", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture
def _backends() -> None:
    for words in (("add", "ollama"), ("add", "anthropic", "--key", "sk-ant-0123456789")):
        call_command("backend", *words, stdout=StringIO())


@pytest.mark.usefixtures("_backends")
def test_add_list_remove() -> None:
    assert run_json("add", "Fast", "ollama:llama3", "anthropic")["targets"] == ["ollama:llama3", "anthropic"]
    assert run_json("list") == [
        {"pattern": "fast", "targets": ["ollama:llama3", "anthropic"], "alias": True, "enabled": True}
    ]
    assert run_json("remove", " FAST ") == {"removed": "fast"}
    assert run_json("list") == []


@pytest.mark.usefixtures("_backends")
def test_explain_shows_every_target_with_lane_and_accounts() -> None:
    run("add", "fast", "ollama:llama3", "anthropic:claude-opus-4")
    call_command("accounts", "pause", "anthropic", stdout=StringIO())
    found = run_json("explain", "fast", "--protocol", "openai")
    first, second = found["targets"]
    assert (found["rule"], found["reason"]) == ("alias", "alias fast")
    assert (first["backend"], first["model"], first["changedBy"]) == ("ollama", "llama3", "alias")
    assert first["lanes"] == [{"kind": "chat", "lane": "direct"}, {"kind": "responses", "lane": "direct"}]
    chat = second["lanes"][0]
    assert (chat["kind"], chat["lane"]) == ("chat", "translated")
    assert "seed" in chat["lost"]
    assert "audio" in chat["refused"]
    assert second["accounts"] == [{"alias": "anthropic", "ready": False, "reason": "paused"}]


@pytest.mark.usefixtures("_backends")
def test_explain_without_a_protocol_takes_the_one_that_fits() -> None:
    assert run_json("explain", "claude-x")["protocol"] == "anthropic"
    assert run_json("explain", "ollama:llama3")["protocol"] == "openai"
    assert "messages: direct" in run("explain", "claude-x")


@pytest.mark.usefixtures("_backends")
def test_explain_without_a_route_fails_with_near_names() -> None:
    run("add", "fast", "ollama:llama3")
    with pytest.raises(CommandError, match="Did you mean fast") as failure:
        run("explain", "fasd")
    assert failure.value.returncode == 1


def test_explain_knows_the_simulated_backend_while_there_is_no_other() -> None:
    found = run_json("explain", "demo")
    assert found["targets"][0]["backend"] == "demo"
    assert found["targets"][0]["accounts"] == [{"alias": "demo", "ready": True, "reason": None}]


@pytest.mark.parametrize("words", [("add", "x", "nobody"), ("remove", "x")])
def test_unknown_names_are_failures(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no") as failure:
        run(*words)
    assert failure.value.returncode == 1
