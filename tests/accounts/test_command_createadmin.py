from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from tests.patchbay import Patchbay


def run(*words: str) -> str:
    out = StringIO()
    call_command("createadmin", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.django_db(databases=["default", "history"])
def test_the_link_opens_the_admin_once() -> None:
    url = run().splitlines()[-1]
    client = Client()
    assert client.get(url.partition("3456")[2], follow=True).redirect_chain == [("/admin/", 302)]
    assert client.get("/admin/").status_code == 200
    stranger = Client()
    again = stranger.get(url.partition("3456")[2])
    assert again.status_code == 404
    assert b"createadmin" in again.content
    assert stranger.get("/admin/").status_code == 302


@pytest.mark.django_db
def test_json_holds_the_link() -> None:
    assert json.loads(run("--json"))["url"].startswith("http://127.0.0.1:3456/admin/login-link/")


@pytest.mark.django_db
def test_a_password_is_never_taken_from_the_command_line_or_a_pipe_by_accident() -> None:
    with pytest.raises(CommandError, match="--password-stdin") as failure:
        run("--username", "ann")
    assert failure.value.returncode == 2
    assert not User.objects.exists()


def test_a_password_from_standard_input(tmp_path: Path) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    weak = patchbay.manage("createadmin", "--username", "ann", "--password-stdin", stdin="123\n", check=False)
    assert (weak.returncode, len(weak.stderr.splitlines())) == (1, 1)
    words = ("createadmin", "--username", "ann", "--password-stdin", "--json")
    made = patchbay.manage(*words, stdin="correct-horse-9\n")
    assert json.loads(made.stdout) == {"username": "ann", "created": True}
    assert json.loads(patchbay.manage(*words, stdin="battery-staple-7\n").stdout)["created"] is False
