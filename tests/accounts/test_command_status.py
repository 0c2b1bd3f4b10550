from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.login_services import LoginLater
from accounts.oauth import Grant
from accounts.services import account_add
from accounts.vault import Secret
from backends.services import NewBackend, backend_add

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789abcdef"


def run(*words: str) -> str:
    out = StringIO()
    call_command("status", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.fixture
def accounts() -> None:
    claude, openai = backend_add(NewBackend("anthropic")), backend_add(NewBackend("openai"))
    grant = Grant(Secret("tok-canary-0123456789"), expires_in=11 * 3600 + 42 * 60 + 30)
    account_add("login", claude, grant)
    account_add("later", claude, LoginLater())
    account_add("work", openai, KEY)


def test_health_and_expiry_of_all(accounts: None) -> None:
    lines = run().splitlines()
    assert lines[0].split() == ["ALIAS", "BACKEND", "KIND", "STATUS", "EXPIRY", "WHAT", "TO", "DO"]
    assert [line.split()[0] for line in lines[1:]] == ["later", "login", "work"]
    assert "needs-login" in lines[1]
    assert "healthy  " in lines[2]
    assert "expires in 11h 42m" in lines[2]
    assert "canary" not in "".join(lines)


def test_one_account_in_one_line(accounts: None) -> None:
    assert run("login") == "login (anthropic, oauth): healthy, expires in 11h 42m\n"
    assert run("later").startswith("later (anthropic, oauth): needs-login: ")


def test_json_is_what_the_endpoint_says(accounts: None) -> None:
    answer = json.loads(run("--json"))
    assert (answer["authenticated"], answer["status"], answer["expiresIn"]) == (True, "healthy", "11h 42m")
    assert [(row["alias"], row["kind"], row["status"]) for row in answer["accounts"]] == [
        ("later", "oauth", "needs-login"),
        ("login", "oauth", "healthy"),
        ("work", "api_key", "healthy"),
    ]
    one = json.loads(run("work", "--json"))
    assert (one["status"], [row["alias"] for row in one["accounts"]]) == ("healthy", ["work"])


def test_without_accounts() -> None:
    assert run() == ""
    assert json.loads(run("--json"))["status"] == "none"


def test_an_unknown_alias_is_a_failure() -> None:
    with pytest.raises(CommandError, match="There is no account 'nobody'") as failure:
        run("nobody")
    assert failure.value.returncode == 1
