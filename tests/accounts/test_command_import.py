from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account, ClientKey
from accounts.move_in import move_in
from accounts.services import account_add
from backends.models import Backend, ConfigVersion, Route
from backends.move_in.dotenv import parse_dotenv
from backends.move_in.providers import BY_BASE, BY_KEY
from backends.services import NewBackend, backend_add, route_add
from tests.backends.move_in import CANARY, SAMPLES
from tests.patchbay import Patchbay
from tests.servers import SimulatorThread
from tests.terminal import Terminal

pytestmark = pytest.mark.django_db
KEY = "sk-real-good-0123456789"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have keys of its own."""
    for name in (*BY_KEY, *BY_BASE):
        monkeypatch.delenv(name, raising=False)


def run(path: Path | str, *words: str) -> str:
    out = StringIO()
    call_command("import", str(path), *words, stdout=out, stderr=out)
    return out.getvalue()


def run_json(path: Path | str, *words: str) -> Any:
    return json.loads(run(path, "--json", *words))


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def rows() -> tuple[int, int, int, int]:
    return (Backend.objects.count(), Account.objects.count(), Route.objects.count(), ConfigVersion.current())


def test_it_shows_the_difference_and_makes_it() -> None:
    text = run(SAMPLES / "litellm.yaml")
    lines = text.splitlines()
    assert lines[0].endswith("litellm.yaml: LiteLLM proxy configuration")
    assert "+ backend groq (https://api.groq.com/openai/v1, openai)" in lines
    assert "+ account groq at groq (with its key)" in lines
    assert "+ account ollama at ollama (no key)" in lines
    assert "+ route fast → groq:llama-3.3-70b-versatile → ollama:qwen3" in lines
    assert any(line.startswith("! not taken: line 109: general_settings.master_key: ") for line in lines)
    assert lines[-1].startswith("Added: backend 7, account 4, route 10. Not taken: ")
    account = Account.objects.get(alias="groq")
    secret = account.open_secret()
    assert secret is not None
    assert secret.reveal() == "gsk-canary-groq-0123456789"
    assert [str(target) for target in Route.objects.get(pattern="fast").targets.all()] == [
        "groq:llama-3.3-70b-versatile",
        "ollama:qwen3",
    ]


def test_a_dry_run_shows_the_same_and_changes_nothing() -> None:
    before = rows()
    dry = run(SAMPLES / "litellm.yaml", "--dry-run").splitlines()
    assert rows() == before
    real = run(SAMPLES / "litellm.yaml").splitlines()
    assert dry[-1] == "Dry run: nothing was changed."
    assert dry[:-1] == real[:-1]


def test_a_second_import_finds_everything_there() -> None:
    run(SAMPLES / "ccr-1.json")
    before = rows()
    again = run(SAMPLES / "ccr-1.json").splitlines()
    assert rows() == before
    assert "= backend deepseek exists" in again
    assert "= route claude-* exists" in again
    assert not any(line.startswith("+") for line in again)
    assert again[-1] == "There is nothing to add."


def test_json_says_the_same() -> None:
    found = run_json(SAMPLES / "ccr-2.json", "--dry-run")
    assert (found["source"], found["dryRun"]) == ("claude-code-router configuration", True)
    expected = {
        "mark": "+",
        "what": "backend",
        "name": "groq",
        "detail": "(https://api.groq.com/openai/v1, openai)",
    }
    assert expected in found["changes"]
    assert {
        "where": "LOG_LEVEL",
        "why": "Patchbay logs to standard error; runproxy --verbose writes one line per request.",
    } in (found["notTaken"])


@pytest.mark.parametrize("name", ["litellm.yaml", "ccr-1.json", "ccr-2.json", "dario", "keys.env"])
def test_no_secret_is_printed_or_stored_in_the_open(name: str) -> None:
    said = [run(SAMPLES / name, *words) for words in (("--dry-run",), ("--json",), ())]
    models = (Backend, Account, Route, ClientKey)
    stored = repr([list(model.objects.values()) for model in models])
    assert json.loads(said[1])["changes"]
    assert CANARY not in "".join(said) + stored


def test_a_home_holds_no_secret_in_the_open(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home", settings={"OPENAI_API_KEY": "sk-canary-environment"})
    done = patchbay.manage("import", str(SAMPLES / "litellm.yaml"), "--json")
    assert {"mark": "+", "what": "account", "name": "openai", "detail": "at openai (with its key)"} in (
        json.loads(done.stdout)["changes"]
    )
    stored = b"".join(path.read_bytes() for path in patchbay.home.rglob("*") if path.is_file())
    assert CANARY.encode() not in stored + done.stdout.encode() + done.stderr.encode()


def test_an_account_that_waits_says_how_to_give_it_a_login() -> None:
    text = run(SAMPLES / "dario")
    assert "+ account work at anthropic (needs a login)" in text
    assert "Account work waits for its credential: python manage.py login work --oauth" in text
    assert Account.objects.get(alias="work").kind == Account.OAUTH
    assert Backend.objects.get(name="anthropic").strategy == "fill-first"


def test_a_name_at_another_address_is_not_taken_and_neither_is_what_hangs_on_it(tmp_path: Path) -> None:
    backend_add(NewBackend("openrouter", base_url="https://mirror.example.com/v1"))
    backend_add(NewBackend("ollama", base_url="https://mirror.example.com/v1"))
    text = run(SAMPLES / "ccr-1.json")
    refused = "! not taken: Providers[0]: backend openrouter: A backend of this name is at https://mirror.example.com/v1"
    assert refused in text
    assert "account openrouter: Its backend was not taken." in text
    assert "route claude-*haiku*: None of its backends was taken." in text
    assert "+ route * → deepseek:deepseek-reasoner?needs=reasoning → deepseek:deepseek-chat\n" in text
    assert not Account.objects.filter(alias="openrouter").exists()
    assert Backend.objects.get(name="openrouter").base_url == "https://mirror.example.com/v1"


def test_a_route_that_exists_keeps_its_targets() -> None:
    backend_add(NewBackend("openai"))
    route_add("claude-*", ["openai:o3"])
    text = run(SAMPLES / "ccr-1.json")
    refused = (
        "route claude-*: A route for it exists, and goes → openai:o3. To replace it: routes remove claude-*"
    )
    assert refused in text
    assert [str(target) for target in Route.objects.get(pattern="claude-*").targets.all()] == ["openai:o3"]


def test_a_route_loses_only_the_target_whose_backend_was_not_taken(tmp_path: Path) -> None:
    backend_add(NewBackend("groq", base_url="https://mirror.example.com/v1"))
    text = run(SAMPLES / "ccr-2.json")
    assert "+ route * → deepseek:deepseek-chat\n" in text
    assert "Router.default: target groq:llama-3.3-70b-versatile: Its backend was not taken." in text


def test_an_alias_of_another_backend_is_not_taken() -> None:
    account_add("groq", backend_add(NewBackend("openai")), KEY)
    text = run(SAMPLES / "litellm.yaml")
    assert "account groq: The account groq is at backend openai." in text


def test_patchbays_own_address_and_keys_lead_nowhere(tmp_path: Path, settings: Any) -> None:
    url = f"http://127.0.0.1:{settings.PATCHBAY_PORT}/v1"
    path = written(
        tmp_path, ".env", f"OPENAI_API_KEY=k-12345678\nOPENAI_BASE_URL={url}\nXAI_API_KEY=pb-canary\n"
    )
    text = run(path)
    assert "Patchbay's own address" in text
    assert "account xai: Its key is a client key of Patchbay" in text
    assert list(Account.objects.all()) == []


def test_an_example_key_is_not_taken(tmp_path: Path) -> None:
    text = run(written(tmp_path, ".env", "OPENAI_API_KEY=sk-xxx\n"))
    assert "line 1: OPENAI_API_KEY: account openai: That is an example key." in text


def test_keys_come_later_to_accounts_that_wait_for_them(tmp_path: Path) -> None:
    own = {"patchbay": 1, "backends": [{"name": "openai", "baseUrl": "https://api.openai.com/v1"}]}
    own["accounts"] = [{"alias": "openai", "backend": "openai"}]
    assert "login openai --key-stdin" in run(written(tmp_path, "patchbay.json", json.dumps(own)))
    assert "+ key of account openai" in run(written(tmp_path, ".env", f"OPENAI_API_KEY={KEY}\n"))
    assert Account.objects.get(alias="openai").secret_hint == "…6789"


def test_a_route_that_no_request_reaches_is_taken_with_a_warning(tmp_path: Path) -> None:
    text = "model_list:\n- {model_name: 'openai:fast', litellm_params: {model: openai/gpt-5, api_key: k-12345678}}\n"
    path = written(tmp_path, "c.yaml", text)
    warning = "route openai:fast: Names that begin with openai: ask backend openai directly"
    assert f"~ {warning}" in run(path, "--dry-run")
    assert run_json(path)["warnings"][0].startswith(warning)


def test_a_failure_in_the_middle_leaves_nothing_half_written() -> None:
    plan = parse_dotenv(f"OPENAI_API_KEY={KEY}\nGROQ_API_KEY={KEY}\n")
    first, second = plan.accounts
    broken = replace(plan, accounts=(first, replace(second, key=cast(str, 1))))  # no parser makes this
    before = rows()
    with pytest.raises(AttributeError):
        move_in(broken, dry_run=False)
    assert rows() == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ccr-3.json", "This configuration is of claude-code-router 3 or newer"),
        ("nowhere.json", "cannot be read"),
        ("__init__.py", "no configuration that Patchbay knows"),
    ],
)
def test_a_refusal_changes_nothing(name: str, why: str) -> None:
    before = rows()
    with pytest.raises(CommandError, match=why) as failure:
        run(SAMPLES / name)
    assert failure.value.returncode == 1
    assert rows() == before


def test_a_refusal_is_one_line_on_standard_error(tmp_path: Path) -> None:
    done = Patchbay(home=tmp_path / "home").manage("import", str(SAMPLES / "ccr-3.json"), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("import: This configuration is of claude-code-router 3 or newer")
    assert done.stderr.count("\n") <= 1


def test_without_a_path_it_is_wrong_use(tmp_path: Path) -> None:
    assert Patchbay(home=tmp_path / "home").manage("import", check=False).returncode == 2


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"\xff\xfe\x00")])
def test_what_is_no_text_file_is_refused(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "config.yaml")
    with pytest.raises(CommandError, match=r"no regular file|no UTF-8 text"):
        run(tmp_path / "config.yaml")


def test_a_folder_of_claude_code_router_is_read(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "ccr-2.json", tmp_path / "config.json")
    assert "+ backend deepseek" in run(tmp_path, "--dry-run")


def test_the_token_of_a_plan_comes_with_its_terms(tmp_path: Path) -> None:
    text = run(written(tmp_path, ".env", "ANTHROPIC_API_KEY=sk-ant-oat01-0123456789abcdef\n"))
    assert "legal-and-compliance" in text
    assert Account.objects.get(alias="anthropic").kind == Account.OAUTH


@pytest.mark.parametrize(("answer", "code", "last"), [("y", 0, "Added: backend 2"), ("n", 1, "Nothing was")])
def test_a_person_is_asked(answer: str, code: int, last: str, tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    patchbay.furnish()
    with Terminal(patchbay.environment, "import", str(SAMPLES / "ccr-2.json")) as terminal:
        terminal.expect("Make these changes? [y/N]")
        terminal.type(answer)
        terminal.expect(last)
        assert terminal.end() == code


def test_an_imported_router_serves_requests(tmp_path: Path) -> None:
    with (
        SimulatorThread(keys=[KEY], models=["alpha"]) as first,
        SimulatorThread(keys=[KEY], models=["beta"]) as second,
    ):
        text = f"""
model_list:
  - model_name: smart
    litellm_params: {{model: openai/alpha, api_base: "{first.url}/v1", api_key: os.environ/FIRST_KEY}}
  - model_name: other
    litellm_params: {{model: openai/beta, api_base: "{second.url}/v1", api_key: os.environ/FIRST_KEY}}
router_settings:
  fallbacks: [{{smart: [other]}}]
"""
        patchbay = Patchbay(home=tmp_path / "home", settings={"FIRST_KEY": KEY})
        patchbay.manage("import", str(written(tmp_path, "config.yaml", text)))
        first.script(["status=500"] * 3)
        with patchbay:
            body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}
            answer = patchbay.post("/v1/chat/completions", body)
            assert answer.status == 200, answer.body
            assert second.wait_for(lambda entry: entry.path.endswith("/chat/completions"))


def test_a_client_key_that_exists_is_left_alone(tmp_path: Path) -> None:
    own = {"patchbay": 1, "clientKeys": [{"name": "laptop", "modelGlobs": ["gpt-*"]}]}
    path = written(tmp_path, "patchbay.json", json.dumps(own))
    first = run_json(path)
    [made] = first["clientKeys"]
    assert made["key"].startswith("pb-")
    digest = ClientKey.objects.get(name="laptop").digest
    assert run_json(path)["clientKeys"] == []
    assert ClientKey.objects.get(name="laptop").digest == digest
