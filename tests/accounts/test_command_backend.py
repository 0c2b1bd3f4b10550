from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account
from accounts.real_tests import small_model
from backends.catalog import store_models
from backends.config import CatalogEntry
from backends.models import Backend
from backends.services import NewBackend, ServiceError, backend_add
from backends.snapshot import load_routing
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

pytestmark = pytest.mark.django_db
KEY = "sk-real-good-0123456789"


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(keys=[KEY], models=["alpha"]) as running:
        yield running


def run(*words: str) -> str:
    out = StringIO()
    call_command("backend", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_add_with_a_key_and_list() -> None:
    added = run_json("add", "openai", "--key", KEY, "--models", "gpt-*,o3", "--responses", "no")
    assert (added["account"], added["accountKind"], added["responses"]) == ("openai", "api_key", False)
    assert "good" not in json.dumps(added)
    [listed] = run_json("list")
    assert listed["modelGlobs"] == ["gpt-*", "o3"]
    assert listed["accounts"] == 1


def test_a_listing_for_a_pipe_is_plain_and_never_cut() -> None:
    url = f"https://llm.example.com/{'long-' * 30}path/v1"
    run("add", "far", "--base-url", url)
    lines = run("list").splitlines()
    assert lines[0].split() == ["NAME", "PROTOCOL", "BASE", "URL", "ACCOUNTS", "MODELS", "REDACTS", "ENABLED"]
    assert url in lines[1]


def test_test_answers_for_every_account(simulator: SimulatorThread) -> None:
    run("add", "sim", "--base-url", f"{simulator.url}/v1", "--key", KEY)
    assert run_json("test", "sim")[0]["ok"] is True
    call_command("accounts", "add", "bad", "--key", "sk-real-wrong-12345678", stdout=StringIO())
    with pytest.raises(CommandError, match="1 of 2 accounts failed: bad") as failure:
        run("test", "sim")
    assert failure.value.returncode == 1


def test_models_asks_now(simulator: SimulatorThread) -> None:
    run("add", "sim", "--base-url", f"{simulator.url}/v1", "--key", KEY)
    assert [entry["id"] for entry in run_json("models", "sim")] == ["alpha"]


def test_remove_takes_the_accounts_along() -> None:
    run("add", "ollama")
    assert run_json("remove", "ollama") == {"removed": "ollama", "accounts": ["ollama"], "routes": []}
    assert not Backend.objects.exists()
    assert not Account.objects.exists()


def test_backends_is_the_same_command() -> None:
    out = StringIO()
    call_command("backends", "add", "ollama", "--json", stdout=out)
    assert json.loads(out.getvalue())["name"] == "ollama"


@pytest.mark.parametrize("words", [("remove", "nobody"), ("test", "nobody"), ("models", "nobody")])
def test_an_unknown_backend_is_a_failure(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no backend 'nobody'") as failure:
        run(*words)
    assert failure.value.returncode == 1


def test_the_key_comes_from_standard_input_and_appears_nowhere(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    done = patchbay.manage("backend", "add", "openai", "--key-stdin", stdin="sk-canary-0123456789abcdef\n")
    listed = patchbay.manage("accounts", "list", "--json").stdout
    assert json.loads(listed)[0]["keyHint"] == "…cdef"
    files = b"".join(path.read_bytes() for path in patchbay.home.rglob("*") if path.is_file())
    assert b"sk-canary" not in done.stdout.encode() + done.stderr.encode() + listed.encode() + files


def test_an_empty_standard_input_is_refused(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    done = patchbay.manage("backend", "add", "openai", "--key-stdin", check=False)
    assert done.returncode == 1
    assert "empty" in done.stderr
    assert patchbay.manage("backend", "list", "--json").stdout.strip() == "[]"


def test_a_real_test_is_only_made_on_request_and_names_its_cost(simulator: SimulatorThread) -> None:
    run("add", "sim", "--base-url", f"{simulator.url}/v1", "--key", KEY)
    run("test", "sim")
    assert not [entry for entry in simulator.journal.entries if entry.method == "POST"]
    [result] = run_json("test", "sim", "--real")
    assert (result["ok"], result["model"], result["status"]) == (True, "alpha", 200)
    assert result["inputTokens"] > 0
    assert (
        f"It cost {result['inputTokens']} input and {result['outputTokens']} output tokens."
        == result["message"]
    )
    [entry] = [entry for entry in simulator.journal.entries if entry.method == "POST"]
    assert json.loads(entry.body)["max_tokens"] == 1
    with pytest.raises(CommandError, match="for --real"):
        run("test", "sim", "--model", "alpha")


def test_a_real_test_that_fails_says_what_the_provider_said(simulator: SimulatorThread) -> None:
    run("add", "sim", "--base-url", f"{simulator.url}/v1", "--key", KEY)
    simulator.script(["status=400,msg=no%20such%20thing"])
    with pytest.raises(CommandError, match="1 of 1 accounts failed"):
        run("test", "sim", "--real", "--model", "beta")


def test_a_small_model_is_preferred(simulator: SimulatorThread) -> None:
    row = backend_add(NewBackend("x", base_url="http://127.0.0.1:9/v1"))
    names = ["text-embedding-3-small", "gpt-5", "gpt-4o-mini", "tts-1"]
    store_models("x", [CatalogEntry(name) for name in names])
    assert small_model(load_routing().backends["x"]) == "gpt-4o-mini"
    store_models("x", [CatalogEntry("text-embedding-3-small")])
    with pytest.raises(ServiceError, match="--model"):
        small_model(load_routing().backends[row.name])
