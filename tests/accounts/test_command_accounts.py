from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account

pytestmark = pytest.mark.django_db
KEY = "sk-canary-0123456789abcdef"


def run(*words: str) -> str:
    out = StringIO()
    call_command("accounts", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture(autouse=True)
def backend() -> None:
    call_command("backend", "add", "openai", "--key", KEY, stdout=StringIO())


def test_add_pause_resume_list_remove() -> None:
    added = run_json("add", "work", "--backend", "openai", "--key", KEY)
    assert list(added) == ["alias", "backend", "kind", "status", "keyHint", "createdAt"]
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
