from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.client_auth import digest_of
from accounts.models import ClientKey

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("keys", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_the_key_stands_alone_on_the_last_line() -> None:
    key = run("add", "laptop").splitlines()[-1]
    assert ClientKey.objects.get(digest=digest_of(key)).name == "laptop"


def test_json_holds_name_id_and_key() -> None:
    added = run_json("add", "laptop", "--models", "gpt-*", "--expires", "90d")
    assert list(added) == ["name", "id", "key"]
    row = ClientKey.objects.get(digest=digest_of(added["key"]))
    assert (row.name, row.model_globs) == ("laptop", ["gpt-*"])


def test_a_listing_never_shows_the_key() -> None:
    key = run_json("add", "laptop")["key"]
    shown = run("list") + run("list", "--json")
    assert key[:7] in shown
    assert key[:12] not in shown


def test_revoking_is_final_and_can_be_repeated() -> None:
    run("add", "laptop")
    assert run_json("revoke", "laptop")["status"] == "revoked"
    first = run_json("list")[0]["revokedAt"]
    assert run_json("revoke", "laptop")["revokedAt"] == first


@pytest.mark.parametrize("words", [("add", "x", "--expires", "soon"), ("revoke", "nobody"), ("add", "a b")])
def test_what_cannot_be_done_is_exit_1(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as failure:
        run(*words)
    assert failure.value.returncode == 1
