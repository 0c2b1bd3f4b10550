"""One Patchbay full of secrets that are easy to find again: whatever comes out of it, none of them is in it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed

from tests import on_postgres
from tests.analytics.live.feeds import EventStream, LivePage
from tests.desk import Desk
from tests.hardening.doors import chat, message
from tests.operator import Operator
from tests.patchbay import PROJECT, Answer, Patchbay
from tests.servers import SimulatorThread

API_KEY = "pb-canary-of-the-environment-aaaaaaaaaaaaaaaaaaaaaa"
PROVIDER_KEYS = {
    name: f"sk-canary-of-{name}-bbbbbbbbbbbbbbbbbbbb/+x" for name in ("chat", "claude", "bad", "hidden")
}
HOOK_TOKEN = "canary-hook-cccccccccccccccccccc"
GUESSED = "sk-canary-guessed-dddddddddddddddddddddd"
MAIL = "canary.person@redacted-canary.example"
COMMANDS = [
    *(["history"], ["history", "--json"], ["history", "--export", "csv"], ["history", "--export", "har"]),
    *(["export"], ["accounts", "list", "--json"], ["backend", "list", "--json"], ["keys", "list", "--json"]),
    *(["routes", "list", "--json"], ["status"], ["usage", "--json"], ["doctor"]),
    *(["backup", "HOME/canary.tar.gz"], ["redaction", "list"], ["accounts", "test", "bad"]),
]


@dataclass
class Watched(Patchbay):
    """A Patchbay of which every answer is kept."""

    said: list[tuple[str, bytes]] = field(default_factory=list)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        answer = super().request(method, path, body, headers)
        self.said.append((f"{method} {path}", repr(answer.headers).encode() + answer.body))
        return answer


@dataclass
class Scene:
    """What there is to be found, and where it was looked for."""

    patchbay: Watched
    upstream: SimulatorThread
    secrets: dict[str, str]

    def spellings(self) -> Iterator[tuple[str, bytes]]:
        """Each secret as it is, as an address or JSON spells it, and in base64."""
        for name, secret in self.secrets.items():
            coded = base64.b64encode(secret.encode()).rstrip(b"=")
            for text in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.encode().hex()):
                yield name, text.encode()
            yield name, coded

    def found_in(self, where: str, text: bytes) -> set[tuple[str, str]]:
        """(secret, place) for each that is there."""
        return {(name, where) for name, spelling in self.spellings() if spelling in text}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(SimulatorThread())
        settings = {
            "PATCHBAY_API_KEY": API_KEY,
            "PATCHBAY_NOTIFY_URL": f"{upstream.url}/hook/{HOOK_TOKEN}?token={HOOK_TOKEN}",
            "PATCHBAY_LOG_BODIES": "on",
            "PATCHBAY_VERBOSE": "on",
            "PATCHBAY_QUEUE_SECONDS": "0",
            **upstream.oauth_settings("plan"),
        }
        patchbay = stack.enter_context(Watched(settings))
        desk = stack.enter_context(Desk(patchbay))
        tokens = upstream.login("plan", expires=3600)
        secrets = {**PROVIDER_KEYS, "environment": API_KEY, "hook": HOOK_TOKEN, "guessed": GUESSED}
        secrets |= {
            f"plan {name}": str(value)
            for name, value in tokens.items()
            if "token" in name and value != "Bearer"
        }
        secrets["client key"] = furnish(desk, upstream.url, tokens)
        master = (patchbay.home / "secrets" / "secret_key").read_text().strip()
        scene = Scene(patchbay, upstream, {**secrets, "master": master})
        traffic(scene)
        yield scene


def furnish(desk: Desk, url: str, tokens: dict[str, object]) -> str:
    """Backends with keys, a login, a redacting one, and a client key, which is returned."""
    bases = {"chat": f"{url}/v1", "bad": f"{url}/v1", "hidden": f"{url}/v1", "claude": url}
    for name, base in bases.items():
        desk.do(
            {"do": "backend", "name": name, "base": base, "redacts": name == "hidden"},
            {"do": "account", "alias": name, "backend": name, "credential": {"key": PROVIDER_KEYS[name]}},
        )
    desk.do(
        {"do": "backend", "name": "plan", "base": url, "protocol": "anthropic"},
        {"do": "account", "alias": "plan", "backend": "plan", "credential": {"oauth": tokens}},
    )
    [key] = desk.do({"do": "key", "name": "laptop"})
    desk.settle()
    return str(key)


def traffic(scene: Scene) -> None:
    """Good requests, errors of every kind, and upstreams that repeat the credential they got."""
    patchbay, upstream = scene.patchbay, scene.upstream
    keys: list[dict[str, str]] = [
        {"authorization": f"Bearer {API_KEY}"},
        {"x-api-key": scene.secrets["client key"]},
        {"x-patchbay-key": scene.secrets["client key"]},
    ]
    repeating = "echo-secret"
    scripts = ["ok", f"{repeating}=plain", f"status=401,{repeating}=split", f"status=500,{repeating}=b64"]
    for number, script in enumerate(scripts):
        for path, body in (
            ("/v1/chat/completions", chat("chat:gpt-4o", stream=number % 2 == 0)),
            ("/v1/messages", message("claude:claude-opus-4-8", stream=number % 2 == 1)),
            ("/v1/messages", message("chat:gpt-4o")),
            ("/v1/messages", message("plan:claude-opus-4-8")),
        ):
            upstream.script([script] * 3)
            patchbay.post(path, body, keys[number % 3])
            upstream.reset()
        patchbay.resume_all()
    for headers in ({"x-api-key": GUESSED}, {"authorization": f"Bearer {GUESSED}"}, {}):
        assert patchbay.post("/v1/chat/completions", chat("chat:gpt-4o"), headers).status == 401
    patchbay.get(f"/v1/models?key={GUESSED}")
    patchbay.post("/v1/chat/completions", b"{" + GUESSED.encode(), keys[0])
    upstream.script(["status=400,echo-secret=plain"] * 3, path="/oauth/token")
    upstream.expire("plan")
    patchbay.post("/v1/messages", message("plan:claude-opus-4-8"), keys[0])
    upstream.reset()
    asked = {"model": "hidden:gpt-4o", "messages": [{"role": "user", "content": f"write to {MAIL}"}]}
    assert patchbay.post("/v1/chat/completions", asked, keys[0]).status == 200


def test_no_secret_is_in_any_answer_page_or_feed(scene: Scene) -> None:
    patchbay = scene.patchbay
    operator = Operator(patchbay)
    key = {"authorization": f"Bearer {API_KEY}"}
    for path in (
        "/v1/models",
        "/health",
        "/accounts",
        "/status",
        "/analytics",
        "/metrics",
        "/openapi.json",
        "/",
    ):
        assert patchbay.get(path, key).status == 200
    pages = ["/admin/accounts/account/", "/admin/backends/backend/", "/admin/accounts/clientkey/"]
    for path in [*pages, "/admin/", "/admin/accounts/oauthprovider/", "/admin/analytics/requestrecord/"]:
        page = operator.get(path).body.decode()
        for row in sorted(set(re.findall(rf'href="({path}[^"]+/change/)"', page))):
            assert operator.get(row).status == 200
    for path in ("", "live/", "requests/", "sessions/", "accounts/", "routes/", "playground/"):
        page = operator.get(f"/dashboard/{path}").body.decode()
        for row in sorted(set(re.findall(r'href="(/dashboard/requests/[^"?]+/)"', page))):
            operator.get(row)
    with LivePage(operator) as live, EventStream(patchbay, key) as stream:
        patchbay.said.append(("/ws/live", json.dumps(live.snapshot).encode()))
        patchbay.said.append(("/analytics/stream", repr(next(stream.parts())).encode()))
        live.socket.send("nonsense")
        with contextlib.suppress(ConnectionClosed):
            patchbay.said.append(("/ws/live", json.dumps(live.heard()).encode()))
    leaked = {found for where, text in patchbay.said for found in scene.found_in(where, text)}
    assert leaked == set()
    assert len(patchbay.said) > 80


def members(backup: Path) -> Iterator[tuple[str, bytes]]:
    """Of an archive that is not needed any more. PostgreSQL has its own backups, and `backup` made none."""
    if on_postgres.is_on():
        assert not backup.exists()
        return
    with tarfile.open(backup) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            yield member.name, content.read()
    backup.unlink()


def test_no_secret_is_in_any_command_export_or_backup(scene: Scene) -> None:
    home = scene.patchbay.home
    words = [[word.replace("HOME", str(home)) for word in command] for command in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardening.command_worker"],
        cwd=PROJECT,
        env=scene.patchbay.environment,
        input=json.dumps(words),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = dict(zip(map(" ".join, words), json.loads(done.stdout), strict=True))
    assert [name for name, text in said.items() if "usage: " in text or not text.strip()] == []
    leaked = {found for where, text in said.items() for found in scene.found_in(where, text.encode())}
    for name, content in members(home / "canary.tar.gz"):
        leaked |= scene.found_in(f"backup {name}", content)
    assert leaked == set()


def test_no_secret_is_in_any_file_the_log_or_the_process_list(scene: Scene) -> None:
    home = scene.patchbay.home
    leaked = set()
    for path in home.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            leaked |= scene.found_in(str(path.relative_to(home)), path.read_bytes())
    for kind in ("config", "history"):
        for table, rows in scene.patchbay.dump(kind):
            leaked |= scene.found_in(f"{kind} {table}", repr(rows).encode())
    process = scene.patchbay.process
    assert process is not None
    leaked |= scene.found_in("argv", Path(f"/proc/{process.pid}/cmdline").read_bytes())
    assert leaked == set()
    assert "Traceback" not in scene.patchbay.log


def test_no_redacted_value_goes_up_or_into_figures_and_the_log(scene: Scene) -> None:
    posts = [entry for entry in scene.upstream.journal.entries if b"write to" in entry.body]
    assert posts
    assert not [entry for entry in posts if MAIL.encode() in entry.body]
    assert MAIL not in scene.patchbay.log
    key = {"authorization": f"Bearer {API_KEY}"}
    for path in ("/metrics", "/analytics", "/status"):
        assert MAIL.encode() not in scene.patchbay.get(path, key).body


def test_the_secrets_would_have_been_found(scene: Scene) -> None:
    """The search itself: a leak in any spelling is seen."""
    for name, spelling in scene.spellings():
        assert (name, "x") in scene.found_in("x", b"<" + spelling + b">")
    assert len(scene.secrets) >= 10
