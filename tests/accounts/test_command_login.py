"""`login`, `logout` and `refresh`, as processes, with and without a terminal."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command

from accounts.login_services import CallersOwn, Credential, LoginLater
from accounts.models import Account
from accounts.services import account_add
from backends.models import Backend
from backends.services import NewBackend, backend_add
from tests.patchbay import PROJECT, Patchbay, copy_home
from tests.servers import SimulatorThread
from tests.terminal import Terminal

KEY = "sk-ant-api03-canary-0123456789abcdef"
NOTICE = "login of a plan, not an API key"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(models=["alpha"]) as running:
        yield running


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that is migrated, once for all tests here."""
    home = tmp_path_factory.mktemp("empty") / "home"
    Patchbay(home=home).manage("backend", "list")
    return home


@pytest.fixture(scope="module")
def claude_home(
    empty_home: Path, simulator: SimulatorThread, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same, with a Claude backend."""
    home = tmp_path_factory.mktemp("claude") / "home"
    copy_home(empty_home, home)
    words = ("backend", "add", "anthropic", "--base-url", simulator.url, "--key-stdin")
    Patchbay(home=home).manage(*words, stdin=KEY)
    return home


@pytest.fixture
def patchbay(empty_home: Path, tmp_path: Path) -> Patchbay:
    """A home without a backend, on a machine that holds nothing."""
    copy_home(empty_home, tmp_path / "home")
    (tmp_path / "user").mkdir()
    return Patchbay({"HOME": str(tmp_path / "user")}, home=tmp_path / "home")


@pytest.fixture
def with_provider(claude_home: Path, simulator: SimulatorThread, tmp_path: Path) -> Patchbay:
    """A home with a Claude backend and an OAuth client for it."""
    copy_home(claude_home, tmp_path / "home")
    (tmp_path / "user").mkdir()
    settings = {
        "HOME": str(tmp_path / "user"),
        "PATCHBAY_OAUTH_ANTHROPIC_CLIENT_ID": "tests",
        "PATCHBAY_OAUTH_ANTHROPIC_ISSUER": simulator.url,
    }
    return Patchbay(settings, home=tmp_path / "home")


def claude_code_file(patchbay: Patchbay) -> Path:
    """The file that Claude Code keeps its login in, on this machine."""
    path = Path(patchbay.settings["HOME"]) / ".claude" / ".credentials.json"
    path.parent.mkdir()
    tokens = {"accessToken": "sk-ant-oat01-canary-0123456789", "expiresAt": 4102444800000}
    path.write_text(json.dumps({"claudeAiOauth": tokens, "mcpOAuth": {}}))
    path.chmod(0o600)
    return path


def visit(url: str) -> str | None:
    """GET; where it redirects to."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("GET", f"{where.path}?{where.query}")
        return connection.getresponse().headers.get("location")
    finally:
        connection.close()


def status(patchbay: Patchbay, alias: str = "login") -> Any:
    return json.loads(patchbay.manage("status", alias, "--json").stdout)


def run(monkeypatch: pytest.MonkeyPatch, *words: str, stdin: str = "") -> tuple[str, str]:
    """A command in this process: what it says on either stream."""
    out, err = StringIO(), StringIO()
    monkeypatch.setattr(sys, "stdin", StringIO(stdin))
    call_command(*words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def failure(patchbay: Patchbay, *words: str, stdin: str = "") -> tuple[int, str]:
    done = patchbay.manage(*words, stdin=stdin, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


# --- without a terminal ---------------------------------------------------------------------------------


def test_without_a_terminal_and_without_options_it_says_what_to_give(patchbay: Patchbay) -> None:
    claude_code_file(patchbay)
    patchbay.settings = {**patchbay.settings, "ANTHROPIC_API_KEY": KEY}
    code, said = failure(patchbay, "login")
    assert (code, len(said.splitlines())) == (2, 1)
    assert "--key-stdin" in said
    assert patchbay.manage("backend", "list", "--json").stdout.strip() == "[]"


@pytest.mark.django_db
def test_a_key_makes_the_claude_backend_and_a_second_one_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = run(monkeypatch, "login", "--key-stdin", stdin=f"{KEY}\n")
    assert "Account login is logged in at anthropic. Credential: healthy." in out
    assert "Backend anthropic (https://api.anthropic.com) was added." in err
    assert NOTICE not in err
    out, _ = run(monkeypatch, "login", "--key-stdin", "--json", stdin="sk-other-9876543210zzzz")
    again = json.loads(out)
    assert (again["alias"], again["kind"], again["keyHint"]) == ("login", "api_key", "…zzzz")


def test_a_token_file_is_followed_and_named_without_a_question(patchbay: Patchbay) -> None:
    path = claude_code_file(patchbay)
    before = path.read_bytes()
    done = patchbay.manage("login", "--token-file", "~/.claude/.credentials.json", "--json")
    assert json.loads(done.stdout)["kind"] == "token_file"
    assert NOTICE in done.stderr
    assert "never writes or refreshes it" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    answer = status(patchbay)
    assert (answer["authenticated"], answer["expiresAt"], answer["canRefresh"]) == (
        True,
        4102444800000,
        False,
    )
    patchbay.manage("logout")
    assert path.read_bytes() == before


@pytest.mark.django_db
def test_a_pasted_token_of_a_plan_comes_with_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("login", "plan", "--key-stdin")
    out, err = run(monkeypatch, *words, stdin="sk-ant-oat01-canary-0123456789")
    assert NOTICE in err
    assert "https://code.claude.com/docs/en/legal-and-compliance" in err
    assert "expires in 364d" in out
    assert "canary" not in out + err


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("login",), 2, "--key-stdin, --token-file PATH"),
        (("login", "--token-path", "a.b"), 2, "--token-path needs --token-file"),
        (("login", "--manual"), 2, "need --oauth"),
        (("login", "--key", KEY, "--no-browser"), 2, "need --oauth"),
        (("login", "--key", KEY, "--caller"), None, "not allowed with"),
        (("login", "--backend", "nowhere", "--caller"), 1, "There is no backend 'nowhere'"),
        (("login", "a/b", "--caller"), 1, "alias"),
        (("login", "--key", "two words"), 1, "spaces"),
        (("login", "--token-file", "/nowhere"), 1, "no token file"),
        (("login", "--oauth"), 1, "PATCHBAY_OAUTH_ANTHROPIC_CLIENT_ID"),
        (("login", "--oauth"), 1, "ships nobody's client id"),
        (("logout",), 1, "There is no account 'login'"),
        (("refresh", "nobody"), 1, "There is no account 'nobody'"),
    ],
)
def test_what_cannot_be_changes_nothing(words: tuple[str, ...], code: int | None, text: str) -> None:
    with pytest.raises(CommandError, match=text) as refused:
        call_command(*words, stdout=StringIO(), stderr=StringIO())
    assert code in (None, refused.value.returncode)  # a parser's own error gets its code on the way out
    assert not Backend.objects.exists()
    assert not Account.objects.exists()


@pytest.mark.django_db
def test_without_options_a_stored_key_of_any_backend_stays() -> None:
    backend = backend_add(NewBackend("own", base_url="http://127.0.0.1:9/v1"))
    sealed = account_add("work", backend, KEY).sealed_secret
    with pytest.raises(CommandError, match="--key-stdin"):
        call_command("login", "work", stdout=StringIO(), stderr=StringIO())
    assert Account.objects.get().sealed_secret == sealed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("credential", "text"),
    [
        ("sk-0123456789abcdef", "does not expire"),
        ("sk-ant-oat01-0123456789abcdef", "no refresh token"),
        (LoginLater(), "is not logged in"),
        (CallersOwn(), "each caller"),
        (None, "no credential"),
    ],
)
def test_what_has_no_token_is_not_refreshed(credential: Credential, text: str) -> None:
    account_add("work", backend_add(NewBackend("anthropic")), credential)
    with pytest.raises(CommandError, match=text) as refused:
        call_command("refresh", "work", stdout=StringIO(), stderr=StringIO())
    assert refused.value.returncode == 1


@pytest.mark.django_db
def test_logout_says_what_it_did_and_can_be_said_twice() -> None:
    account_add("login", backend_add(NewBackend("anthropic")), KEY)
    out = StringIO()
    call_command("logout", stdout=out)
    call_command("logout", stdout=out)
    first, second = out.getvalue().splitlines()
    assert "was deleted here" in first
    assert "nothing was deleted" in second
    out = StringIO()
    call_command("logout", "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert (answer["alias"], answer["kind"], answer["status"], answer["deleted"]) == (
        "login",
        "api_key",
        "needs-login",
        False,
    )


# --- OAuth ------------------------------------------------------------------------------------------------


def test_oauth_through_a_browser_then_refresh_and_logout(
    with_provider: Patchbay, simulator: SimulatorThread
) -> None:
    command = [sys.executable, "manage.py", "login", "--oauth"]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=with_provider.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = next(line for line in process.stdout if line.startswith(simulator.url)).strip()
        redirect = visit(url)
        assert redirect is not None
        visit(redirect)
        out, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, err
    assert "Account login is logged in at anthropic. Credential: healthy, expires in 59m." in out
    assert NOTICE in err
    name = simulator.journal.of(path="/oauth/token")[-1].login
    done = with_provider.manage("refresh")
    assert "The token of account login was refreshed: healthy" in done.stdout
    assert done.stderr == ""
    assert simulator.simulator.logins.refreshes[name] == 1
    simulator.simulator.logins.revoke(name)
    code, said = failure(with_provider, "refresh")
    assert (code, len(said.splitlines())) == (1, 1)
    assert status(with_provider)["status"] == "needs-login"


def test_oauth_by_paste_without_a_browser(with_provider: Patchbay, simulator: SimulatorThread) -> None:
    command = [sys.executable, "manage.py", "login", "work", "--oauth", "--manual", "--json"]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=with_provider.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        url = next(line for line in process.stderr if line.startswith(simulator.url)).strip()
        out, err = process.communicate(f"{visit(url)}\n", timeout=30)
    assert process.returncode == 0, err
    assert (json.loads(out)["status"], json.loads(out)["canRefresh"]) == ("ready", True)
    assert "code=" not in out + err


def test_tokens_from_standard_input(with_provider: Patchbay, simulator: SimulatorThread) -> None:
    given = simulator.simulator.logins.grant("imported")
    words = ("accounts", "add", "imported", "--oauth-json-stdin", "--json")
    done = with_provider.manage(*words, stdin=json.dumps(given))
    assert NOTICE in done.stderr
    assert "sim-o" not in done.stdout + done.stderr
    with_provider.manage("refresh", "imported")
    assert simulator.simulator.logins.refreshes["imported"] == 1
    code, said = failure(with_provider, "login", "--oauth-json-stdin", stdin='{"token": "canary"}')
    assert (code, "access_token" in said, "canary" in said) == (1, True, False)


@pytest.mark.django_db
def test_a_refresh_token_that_nothing_could_use_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = json.dumps({"access_token": "tok-0123456789", "refresh_token": "ref-0123456789"})
    out, err = run(monkeypatch, "login", "--oauth-json-stdin", "--json", stdin=tokens)
    assert json.loads(out)["canRefresh"] is False
    assert "The refresh token is left out" in err


# --- at a terminal --------------------------------------------------------------------------------------


def test_at_a_terminal_nothing_is_used_without_a_yes(with_provider: Patchbay) -> None:
    claude_code_file(with_provider)
    environment = {**with_provider.environment, "ANTHROPIC_API_KEY": KEY}
    with Terminal(environment, "login") as terminal:
        terminal.expect("Use the key …cdef in ANTHROPIC_API_KEY for anthropic")
        terminal.type("")
        terminal.expect(NOTICE)
        terminal.expect("Use the login of Claude Code in ")
        terminal.type("n")
        terminal.expect("Log in at http://127.0.0.1:")
        terminal.type("no")
        terminal.expect("Key for anthropic (input is hidden): ")
        terminal.type("")
        assert terminal.end() == 1
        assert "nothing was changed" in terminal.shown
    assert failure(with_provider, "status", "login")[0] == 1


def test_at_a_terminal_what_was_found_is_used_after_a_yes(patchbay: Patchbay) -> None:
    path = claude_code_file(patchbay)
    moved = path.parent.rename(path.parent.parent / "elsewhere")
    with Terminal({**patchbay.environment, "CLAUDE_CONFIG_DIR": str(moved)}, "login") as terminal:
        terminal.expect(f"Use the login of Claude Code in {moved}/.credentials.json")
        terminal.type("y")
        terminal.expect("Credential: healthy, expires in ")
        assert terminal.end() == 0
    assert status(patchbay)["authenticated"] is True


def test_at_a_terminal_a_typed_key_is_hidden(patchbay: Patchbay) -> None:
    with Terminal(patchbay.environment, "login") as terminal:
        terminal.expect("Key for anthropic (input is hidden): ")
        terminal.type(KEY)
        terminal.expect("Account login is logged in at anthropic")
        assert terminal.end() == 0
        assert "canary" not in terminal.shown
