from __future__ import annotations

import json
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.analytics.history import add_record
from tests.patchbay import PROJECT, Patchbay

WRITE_A_ROW = """
import django; django.setup()
from django.utils import timezone
from analytics.models import RequestRecord
RequestRecord.objects.create(id="req_new", started_at=timezone.now(), duration_ms=1, outcome="ok", protocol="openai")
"""


def run(*words: str) -> str:
    out = StringIO()
    call_command("history", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*words, "--json").splitlines()]


@pytest.mark.django_db(databases=["history"])
def test_json_is_one_object_a_line_newest_last() -> None:
    old, new = add_record(age_s=9), add_record(age_s=1)
    assert [row["id"] for row in run_json()] == [old.id, new.id]
    assert [row["id"] for row in run_json("--limit", "1")] == [new.id]


@pytest.mark.django_db(databases=["history"])
def test_filters_reach_the_query() -> None:
    add_record(age_s=7200, model_asked="old")
    add_record(outcome="error", status=429, key="ci", session="s-42")
    assert len(run_json("--since", "1h")) == 1
    assert len(run_json("--outcome", "error", "--status", "429", "--key", "ci")) == 1
    assert [row["session"] for row in run_json("--session", "s-42")] == ["s-42"]
    assert run_json("--model", "old", "--since", "1h") == []


@pytest.mark.django_db(databases=["history"])
def test_what_a_client_sent_cannot_move_the_cursor() -> None:
    add_record(model_asked="a\x1b[2J\r\nb\u202e", error="\x07bell")
    shown = run() + run("--json")
    assert not set(shown) & set("\x1b\r\x07\u202e")
    assert len(run().splitlines()) == 1


@pytest.mark.django_db(databases=["history"])
@pytest.mark.parametrize("words", [("--since", "yesterday"), ("--status", "9"), ("--limit", "-1")])
def test_wrong_filters_are_exit_2(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as failure:
        run(*words)
    assert failure.value.returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_follow_shows_new_rows_and_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    patchbay = Patchbay(home=tmp_path / "home")
    patchbay.manage("history")
    environment = {**patchbay.environment, "DJANGO_SETTINGS_MODULE": "router_site.settings"}
    following = subprocess.Popen(
        [sys.executable, "manage.py", "history", "--follow", "--json"],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        subprocess.run(
            [sys.executable, "-c", WRITE_A_ROW], cwd=PROJECT, env=environment, check=True, timeout=60
        )
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["id"] == "req_new"
        following.send_signal(number)
        _, errors = following.communicate(timeout=30)
        assert (following.returncode, errors) == (0, b"")
    finally:
        following.kill()
        following.wait()
