from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from backends.online import run_online
from proxyapp.asking import DIALECTS, AskError, Question, ask
from tests.patchbay import Patchbay, free_port
from tests.servers import SimulatorThread


def question(url: str, **changes: object) -> Question:
    values: dict[str, object] = {"text": "hello", "model": "alpha", "dialect": "openai", "url": url}
    return Question(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_the_text_arrives_in_every_dialect(dialect: str, stream: bool) -> None:
    pieces: list[str] = []
    with SimulatorThread() as upstream:
        reply = run_online(ask(question(upstream.url, dialect=dialect, stream=stream), pieces.append))
    assert "You said: hello" in reply.text
    assert "".join(pieces) == reply.text
    assert (len(pieces) > 1) is stream


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_an_error_answer_is_told_in_one_line(dialect: str) -> None:
    with SimulatorThread(keys=["the-one-key"]) as upstream, pytest.raises(AskError, match="HTTP 401"):
        run_online(ask(question(upstream.url, dialect=dialect, key="another-key"), print))


def test_nobody_listening_says_how_to_start() -> None:
    with pytest.raises(AskError, match="runproxy"):
        run_online(ask(question(f"http://127.0.0.1:{free_port()}"), print))


def test_the_key_is_sent_and_never_shown() -> None:
    with SimulatorThread() as upstream:
        asked = question(upstream.url, key="pb-canary")
        run_online(ask(asked, lambda piece: None))
        [entry] = upstream.journal.entries
    assert entry.header("x-patchbay-key") == "pb-canary"
    assert "canary" not in repr(asked)


def test_ask_goes_through_the_running_server(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Patchbay(home=tmp_path / "home") as patchbay:
        shown = patchbay.manage("ask", "hello there", "--model", "demo")
        assert "You said: hello there" in shown.stdout
        assert "demo/demo" in shown.stderr
        settings.PATCHBAY_PORT, out = patchbay.port, StringIO()
        call_command("ask", "hi", "--model", "demo", "--protocol", "anthropic", "--json", stdout=out)
        answer = json.loads(out.getvalue())
        assert (answer["backend"], answer["lane"], answer["attempts"]) == ("demo", "direct", 1)
        wrong = patchbay.manage("ask", "hi", "--model", "unheard-of", check=False)
        assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)
        key = patchbay.manage("keys", "add", "laptop").stdout.splitlines()[-1]
        monkeypatch.setattr(sys, "stdin", StringIO(key))
        call_command("ask", "hi", "--model", "demo", "--key-stdin", stdout=(out := StringIO()))
        assert "You said: hi" in out.getvalue()
