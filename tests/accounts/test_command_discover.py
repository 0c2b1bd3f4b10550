from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account
from accounts.services import account_add
from backends.models import Backend, CatalogModel
from backends.move_in.providers import BY_BASE, BY_KEY
from backends.services import NewBackend, backend_add
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread
from tests.terminal import Terminal

pytestmark = pytest.mark.django_db
KEY = "sk-canary-good-0123456789"
NOWHERE = "9"  # a port on which nothing listens


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have keys of its own."""
    for name in (*BY_KEY, *BY_BASE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[SimulatorThread]:
    with SimulatorThread(models=["alpha", "beta"]) as running:
        yield running


@pytest.fixture
def provider() -> Iterator[SimulatorThread]:
    with SimulatorThread(keys=[KEY], models=["gamma"]) as running:
        yield running


def port_of(running: SimulatorThread) -> str:
    return str(running.simulator.port)


def run(*words: str) -> str:
    out = StringIO()
    call_command("discover", *words, stdout=out, stderr=out)
    return out.getvalue()


def found(*words: str) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in json.loads(run("--json", *words))}


def test_without_a_terminal_it_only_shows_what_it_found(
    server: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    port = port_of(server)
    assert run("--ports", port).splitlines() == [
        "? GROQ_API_KEY: a key for groq (https://api.groq.com/openai/v1)",
        f"? local-{port} on port {port} ({server.url}/v1), 2 models",
        "Nothing was changed. To add what is marked with ?: python manage.py discover --yes",
    ]
    assert not Backend.objects.exists()


def test_yes_adds_everything_with_its_models(
    server: SimulatorThread, provider: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{provider.url}/v1")
    port = port_of(server)
    rows = found("--yes", "--ports", port)
    assert {source: (row["kind"], row["added"], row["models"]) for source, row in rows.items()} == {
        "OPENAI_API_KEY": ("key", True, 1),
        f"port {port}": ("server", True, 2),
    }
    by_key, by_port = f"127.0.0.1-{port_of(provider)}", f"local-{port}"
    assert dict(Backend.objects.values_list("name", "base_url")) == {
        by_key: f"{provider.url}/v1",
        by_port: f"{server.url}/v1",
    }
    assert dict(Account.objects.values_list("alias", "kind")) == {by_key: "api_key", by_port: "none"}
    assert set(CatalogModel.objects.values_list("model_id", flat=True)) == {"alpha", "beta", "gamma"}


def test_what_exists_is_passed_over(server: SimulatorThread) -> None:
    backend_add(NewBackend("mine", base_url=f"{server.url}/v1"))
    text = run("--yes", "--ports", port_of(server))
    assert text.startswith(f"= local-{port_of(server)} on port {port_of(server)} ")
    assert "; backend mine exists" in text
    assert Backend.objects.count() == 1


def test_a_key_is_neither_shown_nor_sent_before_the_yes(
    provider: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{provider.url}/v1")
    shown = run("--ports", NOWHERE) + run("--json", "--ports", NOWHERE)
    assert provider.journal.entries == []
    added = run("--ports", NOWHERE, "--yes")
    assert provider.journal.entries
    assert "canary" not in shown + added + repr(list(Account.objects.values()))


def test_a_key_that_the_provider_refuses_is_said(
    provider: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XAI_API_KEY", "another-key-0123456789")
    monkeypatch.setenv("XAI_BASE_URL", f"{provider.url}/v1")
    text = run("--ports", NOWHERE, "--yes")
    assert "its model list could not be read. The backend refused the key (HTTP 401)" in text


def test_patchbay_does_not_find_itself(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    patchbay.settings = {
        "ANTHROPIC_BASE_URL": patchbay.url,
        "ANTHROPIC_API_KEY": "sk-ant-for-patchbay-0123",
        "GROQ_API_KEY": "pb-0123456789abcdef",
    }
    with patchbay:
        assert found("--ports", str(patchbay.port)) == {}, "another Patchbay"
        listed = patchbay.manage("discover", "--json", "--ports", str(patchbay.port)).stdout
        assert json.loads(listed) == []


def test_a_name_or_an_alias_that_is_taken_gets_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = backend_add(NewBackend("groq", base_url="https://mirror.example.com/v1"))
    account_add("xai", mirror, "k-0123456789")
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("XAI_API_KEY", f"{KEY}x")
    names = {source: row["backend"] for source, row in found("--ports", NOWHERE).items()}
    assert names == {"GROQ_API_KEY": "groq-2", "XAI_API_KEY": "xai-2"}


@pytest.mark.parametrize(
    ("environ", "source", "why"),
    [
        ({"GEMINI_API_KEY": KEY, "GOOGLE_API_KEY": f"{KEY}2"}, "GOOGLE_API_KEY", "second key for gemini"),
        ({"OPENAI_API_KEY": "sk-xxx"}, "OPENAI_API_KEY", "example key"),
        ({"XAI_API_KEY": KEY, "XAI_BASE_URL": "http://169.254.169.254/v1"}, "XAI_API_KEY", "metadata"),
    ],
)
def test_what_cannot_be_taken_says_why(
    environ: dict[str, str], source: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert why in found("--ports", NOWHERE)[source]["problem"]


def test_a_machine_with_nothing_says_what_to_do() -> None:
    assert "python manage.py backend add NAME" in run("--ports", NOWHERE, "--yes")


@pytest.mark.parametrize("ports", ["0", "65536", "http", ""])
def test_a_port_that_is_none_is_wrong_use(ports: str) -> None:
    with pytest.raises(CommandError, match="is no list of ports"):
        run(f"--ports={ports}")


def test_a_person_is_asked_for_each(server: SimulatorThread, tmp_path: Path) -> None:
    with SimulatorThread(models=["delta"]) as second:
        patchbay = Patchbay(home=tmp_path / "home")
        patchbay.furnish()
        first_port, second_port = port_of(server), port_of(second)
        words = ("discover", "--ports", f"{first_port},{second_port}")
        with Terminal(patchbay.environment, *words) as terminal:
            question = f"Add backend local-{first_port} with what port {first_port} gives? [y/N]"
            terminal.expect(question)
            terminal.type("n")
            terminal.expect(f"Add backend local-{second_port}")
            terminal.type("y")
            terminal.expect(f"+ backend local-{second_port}: 1 model")
            assert terminal.end() == 0
        rows = json.loads(patchbay.manage("backend", "list", "--json").stdout)
        assert [row["name"] for row in rows] == [f"local-{second_port}"]
