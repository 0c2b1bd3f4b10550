"""`connect` from beginning to end: beside a running server, at a terminal, and where it must refuse."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.key_services import key_add
from accounts.models import Account, ClientKey
from backends.models import Backend
from tests.patchbay import Patchbay, free_port
from tests.terminal import Terminal

KEY = re.compile(r"pb-[\w-]{40,}")


# --- beside a running server ---------------------------------------------------------------------------------------


@dataclass
class User:
    """Somebody with a home directory and a running Patchbay."""

    patchbay: Patchbay
    home: Path

    def connect(self, *words: str) -> Any:
        return json.loads(self.patchbay.manage("connect", *words, "--json").stdout)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    home = tmp_path_factory.mktemp("user")
    theirs = {
        "HOME": str(home),
        "SHELL": "/bin/bash",
        "XDG_CONFIG_HOME": "",
        "CODEX_HOME": "",
        "CLAUDE_CONFIG_DIR": "",
    }
    with Patchbay(settings=theirs) as patchbay:
        yield User(patchbay, home)


def test_without_keys_a_tool_is_connected_tried_and_set_back(user: User) -> None:
    path = user.home / ".claude" / "settings.json"
    done = user.connect("claude-code")
    assert [done[name] for name in ("changed", "notTested", "keyMade", "problem")] == [True, None, None, None]
    assert done["tested"][0] == "GET /v1/models: 3 models"
    assert done["tested"][1].startswith(
        "a streamed anthropic message to the simulated model demo-claude: demo/demo"
    )
    assert json.loads(path.read_text())["env"]["ANTHROPIC_BASE_URL"] == user.patchbay.url
    assert user.connect("claude-code", "--undo")["restored"] == [str(path)]
    assert not path.parent.exists()


def test_at_a_terminal_nothing_is_done_without_a_yes(user: User) -> None:
    path = user.home / ".aider.conf.yml"
    path.write_text("# mine\ndark-mode: true\n")
    with Terminal(user.patchbay.environment, "connect", "aider") as terminal:
        terminal.expect("+openai-api-key: patchbay")
        terminal.expect(f"Change {path}? [y/N]")
        terminal.type("n")
        terminal.expect("Nothing was changed.")
        assert terminal.end() == 1
    assert path.read_text() == "# mine\ndark-mode: true\n"
    with Terminal(user.patchbay.environment, "connect", "aider") as terminal:
        terminal.expect("[y/N]")
        terminal.type("y")
        terminal.expect("To undo: python manage.py connect aider --undo")
        assert terminal.end() == 0
    assert "backup: .aider.conf.yml.patchbay-" in terminal.shown
    assert "Tested: a streamed openai message to the simulated model demo" in terminal.shown
    assert path.read_text().startswith("# mine\ndark-mode: true\n")


def test_where_keys_are_needed_the_tool_gets_its_own(user: User) -> None:
    user.patchbay.manage("keys", "add", "somebody")
    path = user.home / ".codex" / "config.toml"
    shown = user.patchbay.manage("connect", "codex", "--json")
    done = json.loads(shown.stdout)
    assert (done["keyMade"], done["problem"], len(done["tested"])) == ("codex", None, 2)
    [key] = KEY.findall(path.read_text())
    assert key not in shown.stdout + shown.stderr + user.patchbay.log
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert user.patchbay.get("/v1/models", {"x-patchbay-key": key}).status == 200


def test_a_key_that_the_server_does_not_take_is_found_out(user: User) -> None:
    done = user.patchbay.manage(
        "connect", "codex", "--key-stdin", stdin="pb-not-a-key-of-this-one\n", check=False
    )
    assert done.returncode == 1
    assert "GET /v1/models answered 401" in done.stderr
    assert "not-a-key" not in done.stderr + done.stdout


# --- without a server: in this process -----------------------------------------------------------------------------


@pytest.fixture
def run(
    db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, str]]:
    """Runs `connect` for a home directory in `tmp_path`. Nothing listens where Patchbay would."""
    settings.PATCHBAY_HOME, settings.PATCHBAY_PORT = tmp_path / "patchbay", free_port()
    settings.PATCHBAY_HOME.mkdir()
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "LLM_USER_PATH", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")

    def connect(*words: str) -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        call_command("connect", *words, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    return connect


Run = Callable[..., tuple[str, str]]


def test_without_a_server_it_says_so(run: Run, tmp_path: Path) -> None:
    said, _ = run("opencode")
    assert "Not tested: nothing listens at http://127.0.0.1:" in said
    assert (tmp_path / ".config" / "opencode" / "opencode.json").exists()


def test_print_changes_nothing_and_shows_no_secret(run: Run, tmp_path: Path) -> None:
    key_add("somebody")
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text('{"env": {"GITHUB_TOKEN": "hunter2"}, "theme": "x"}')
    said, aside = run("claude-code", "--print")
    assert str(path) in aside
    assert '"GITHUB_TOKEN": "***"' in said
    assert '"ANTHROPIC_AUTH_TOKEN": "***"' in said
    assert "hunter2" in path.read_text()
    assert [row.name for row in ClientKey.objects.all()] == ["somebody"]
    lines, hint = run("shell", "--print")
    assert lines.splitlines()[0].startswith("export ANTHROPIC_BASE_URL=http://127.0.0.1:")
    assert "run `connect shell` once" in hint


def test_the_diff_shows_no_key(run: Run, tmp_path: Path) -> None:
    key_add("somebody")
    key_add("llm")
    said, _ = run("llm", "--model", "demo")
    key = json.loads((tmp_path / ".config" / "io.datasette.llm" / "keys.json").read_text())["patchbay"]
    assert KEY.fullmatch(key)
    assert key not in said
    assert "A client key llm-2 will be made; it is shown as ***." in said


def test_a_file_of_keys_is_never_shown(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("any words may be a key".replace(" ", "-")))
    said, _ = run("llm", "--key-stdin")
    keys = tmp_path / ".config" / "io.datasette.llm" / "keys.json"
    assert f"+++ {keys}\n+***\n" in said
    assert "any-words" in keys.read_text()
    assert "any-words" not in said + (tmp_path / "patchbay" / "connect" / "llm.json").read_text()
    keys.write_text("{}")
    err = StringIO()
    with pytest.raises(CommandError, match="was changed since"):
        call_command("connect", "llm", "--undo", stdout=StringIO(), stderr=err)
    assert "Only something secret in it changed." in err.getvalue()


def test_a_second_time_keeps_the_key_and_what_was_changed_since_is_not_undone(
    run: Run, tmp_path: Path
) -> None:
    key_add("somebody")
    path = tmp_path / ".codex" / "config.toml"
    made = json.loads(run("codex", "--json")[0])
    again = json.loads(run("codex", "--json")[0])
    assert (made["keyMade"], again["keyMade"], again["changed"], again["diff"]) == ("codex", None, False, [])
    [key] = KEY.findall(path.read_text())
    path.write_text(path.read_text() + "# mine now\n")
    err = StringIO()
    with pytest.raises(CommandError, match="was changed since, so nothing was undone"):
        call_command("connect", "codex", "--undo", stdout=StringIO(), stderr=err)
    assert "+# mine now" in err.getvalue()
    assert key not in err.getvalue()
    path.write_text(path.read_text().removesuffix("# mine now\n"))
    assert json.loads(run("codex", "--undo", "--json")[0]) == {
        "tool": "codex",
        "restored": [str(path)],
        "revokedKey": "codex",
    }
    assert ClientKey.objects.get(name="codex").revoked_at is not None


def test_connecting_anew_leaves_nothing_behind_of_before(run: Run, tmp_path: Path) -> None:
    path = tmp_path / ".claude" / "settings.json"
    run("claude-code")
    assert json.loads(path.read_text())["model"] == "demo-claude"
    Backend.objects.create(name="anthropic", base_url="https://api.anthropic.com", protocol="anthropic")
    run("claude-code")
    assert "demo" not in path.read_text()
    for _ in range(2):
        run("claude-code", "--undo")
    assert not path.exists()


def test_a_broken_file_is_one_line_and_stays(run: Run, tmp_path: Path) -> None:
    key_add("somebody")
    path = tmp_path / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text("model = \n")
    with pytest.raises(
        CommandError, match=rf"^{re.escape(str(path))}: it is no valid TOML.*Nothing was changed\.$"
    ):
        run("codex")
    assert path.read_text() == "model = \n"
    assert list(path.parent.iterdir()) == [path]
    assert ClientKey.objects.count() == 1


def test_when_it_cannot_be_noted_nothing_is_done(run: Run, tmp_path: Path) -> None:
    key_add("somebody")
    (tmp_path / "patchbay" / "connect").write_text("a file is in the way")
    with pytest.raises(CommandError, match=r"cannot be|Nothing was changed"):
        run("codex")
    assert not (tmp_path / ".codex").exists()
    assert ClientKey.objects.count() == 1


def test_a_model_that_leads_nowhere_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--model demp: .*Did you mean demo"):
        run("aider", "--model", "demp")
    assert not (tmp_path / ".aider.conf.yml").exists()


def test_where_there_is_a_choice_it_is_asked_for(run: Run) -> None:
    backend = Backend.objects.create(name="local", base_url="http://127.0.0.1:9/v1", protocol="openai")
    with pytest.raises(CommandError, match="Which model shall aider use"):
        run("aider")
    backend.catalog.create(model_id="qwen3:4b", seen_at="2026-01-01T00:00:00Z")
    assert "+model: openai/qwen3:4b" in run("aider")[0]
    backend.catalog.create(model_id="llama", seen_at="2026-01-01T00:00:00Z")
    with pytest.raises(CommandError, match="Known: llama, qwen3:4b"):
        run("llm")
    assert "+  model: llama" in run("continue", "--model", "llama")[0].replace("    ", "  ")


def test_a_login_that_is_passed_on_stays_where_it_is(run: Run, tmp_path: Path) -> None:
    backend = Backend.objects.create(
        name="anthropic", base_url="https://api.anthropic.com", protocol="anthropic"
    )
    Account.objects.create(alias="mine", backend=backend, kind=Account.CALLER)
    key_add("somebody")
    said, _ = run("claude-code")
    env = json.loads((tmp_path / ".claude" / "settings.json").read_text())["env"]
    assert "ANTHROPIC_AUTH_TOKEN" not in env
    assert KEY.search(env["ANTHROPIC_CUSTOM_HEADERS"])
    assert "Your own login stays in use" in said


def test_there_may_be_nothing_to_undo(run: Run) -> None:
    with pytest.raises(CommandError, match="nothing to undo"):
        run("zed", "--undo")


def test_cursor_is_told_about_and_not_written(run: Run, tmp_path: Path) -> None:
    assert "cannot be reached from there" in run("cursor")[0]
    assert json.loads(run("cursor", "--json")[0])["canConnect"] is False
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
