from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Account, Bench
from accounts.oauth import Grant
from accounts.services import account_add
from accounts.vault import Secret
from backends.models import Backend

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789abcdef"


def run(*words: str) -> str:
    out = StringIO()
    call_command("accounts", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def add_login(alias: str, seconds: float) -> None:
    account_add(alias, Backend.objects.get(), Grant(Secret("tok-canary-0123456789"), expires_in=seconds))


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture(autouse=True)
def backend() -> None:
    call_command("backend", "add", "openai", "--key", KEY, stdout=StringIO())


def test_add_pause_resume_list_remove() -> None:
    added = run_json("add", "work", "--backend", "openai", "--key", KEY)
    names = "alias backend kind status credential expiresAt expiresIn canRefresh keyHint createdAt"
    assert list(added) == names.split()
    assert (added["backend"], added["kind"], added["status"], added["keyHint"]) == (
        "openai",
        "api_key",
        "ready",
        "…cdef",
    )
    assert run_json("pause", "work")["status"] == "paused"
    assert [row["status"] for row in run_json("list")] == ["ready", "paused"]
    assert run_json("resume", "work")["status"] == "ready"
    assert run_json("remove", "work") == {"removed": "work"}
    assert Account.objects.count() == 1


def test_no_listing_shows_a_key() -> None:
    assert "canary" not in run("list") + run("list", "--json")


def test_a_duplicate_alias_is_refused() -> None:
    with pytest.raises(CommandError, match="Account openai exists") as failure:
        run("add", "openai", "--key", KEY)
    assert failure.value.returncode == 1


def test_a_provider_that_needs_a_key_is_not_added_without_one() -> None:
    with pytest.raises(CommandError, match="--key-stdin") as failure:
        run("add", "work")
    assert failure.value.returncode == 2


def test_a_key_for_a_moved_backend_shows_as_needs_login() -> None:
    row = Account.objects.get().backend
    row.base_url = "https://elsewhere.example.com/v1"
    row.save()
    assert run_json("list")[0]["status"] == "needs-login"


@pytest.mark.parametrize("verb", ["remove", "pause", "resume", "test"])
def test_an_unknown_alias_is_a_failure(verb: str) -> None:
    with pytest.raises(CommandError, match=r"There is no account 'nobody'\. Accounts: openai") as failure:
        run(verb, "nobody")
    assert failure.value.returncode == 1


def test_a_taken_alias_is_refused_before_anything_is_read() -> None:
    with pytest.raises(CommandError, match="Account openai exists"):
        run("add", "openai", "--token-file", "/nowhere")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("add", "a/b", "--caller"), 1, "alias"),
        (("add", "x", "--backend", "nowhere", "--caller"), 1, "There is no backend 'nowhere'"),
        (("add", "x", "--token-file", "/nowhere"), 1, "no token file"),
        (("add", "x", "--oauth"), 1, "PATCHBAY_OAUTH_OPENAI_CLIENT_ID"),
        (("add", "x", "--token-path", "a.b"), 2, "--token-file"),
    ],
)
def test_a_refused_account_is_not_there(words: tuple[str, ...], code: int, text: str) -> None:
    with pytest.raises(CommandError, match=text) as failure:
        run(*words)
    assert failure.value.returncode == code
    assert Account.objects.count() == 1


def test_every_way_to_a_credential(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{KEY}\n")
    assert run_json("add", "calls", "--caller")["kind"] == "caller"
    added = run_json("add", "follows", "--token-file", str(path))
    assert (added["kind"], added["status"], added["canRefresh"]) == ("token_file", "ready", False)
    path.unlink()
    add_login("plan", 7290.0)
    lines = {line.split()[0]: line for line in run("list").splitlines()[1:]}
    assert "oauth" in lines["plan"]
    assert "ready" in lines["plan"]
    assert "expires in 2h 1m" in lines["plan"]
    assert lines["calls"].split() == ["calls", "openai", "caller", "ready"]
    assert "canary" not in "".join(lines.values())


def test_an_account_for_a_server_without_keys_needs_no_option() -> None:
    call_command("backend", "add", "ollama", stdout=StringIO())
    assert run_json("add", "second", "--backend", "ollama")["kind"] == "none"


def test_an_expired_login_shows() -> None:
    add_login("plan", -7200.0)
    row = next(row for row in run_json("list") if row["alias"] == "plan")
    assert (row["status"], row["credential"], row["expiresIn"]) == ("expired", "expired", None)
    assert "expired 2 hours ago" in run("list")


def test_resume_ends_a_bench() -> None:
    now = timezone.now()
    Bench.objects.create(account=Account.objects.get(), kind="fault", reason="500", since=now, until=now)
    assert "the next request may try it" in run("resume", "openai")
    assert not Bench.objects.exists()
