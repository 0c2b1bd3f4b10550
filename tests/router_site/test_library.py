"""Patchbay from a script in an empty directory that knows nothing of Django, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.desk import Desk
from tests.on_postgres import home_settings
from tests.patchbay import PROJECT, Patchbay
from tests.servers import SimulatorThread

KEY = "sk-key-of-the-simulated-provider"


def script(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in `folder`. It has the project on its path, PATCHBAY_HOME, and nothing else of us."""
    path = folder / "script.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=folder,
        env=env(folder, environment),
        capture_output=True,
        text=True,
        timeout=50,
    )


def env(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    own = {"PYTHONPATH": str(PROJECT), "PATCHBAY_HOME": str(folder / "home"), "PATH": os.environ["PATH"]}
    return {**own, **home_settings(folder / "home", is_blank=True), **more}


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


WHOLE = """
import json, logging, os, urllib.request
from router_site.library import PatchbayError, get_access_token, get_status, list_backends, start_proxy

os.umask(0o022)
logging.basicConfig(format="mine %(message)s")
facts = {"empty": [list_backends(), get_status()]}
with start_proxy(drain_seconds=1) as proxy:
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()
    headers = {"content-type": "application/json"}
    asked = urllib.request.Request(proxy.url + "/v1/chat/completions", body, headers)
    with urllib.request.urlopen(asked) as reply:
        facts["said"] = json.load(reply)["choices"][0]["message"]["content"]
    facts["running"] = proxy.is_running
facts["ended"] = [proxy.is_running, proxy.stop()]
facts["errors"] = []
for settings in ({"drian_seconds": 1}, {"queue_max": -1}):
    try:
        start_proxy(**settings)
    except PatchbayError as exc:
        facts["errors"].append(str(exc))
for alias in (None, "nobody"):
    try:
        get_access_token(alias)
    except PatchbayError as exc:
        facts["errors"].append(str(exc))
facts["handlers"] = [handler.formatter._fmt for handler in logging.getLogger().handlers]
facts["settings"] = "PATCHBAY_DRAIN_SECONDS" in os.environ
print(json.dumps(facts))
"""


def test_everything_works_from_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "manage.py").write_text("raise SystemExit('this is another project')")
    facts = answer(script(tmp_path, WHOLE))
    assert facts["empty"] == [
        [],
        {
            "authenticated": False,
            "status": "none",
            "expiresAt": None,
            "expiresIn": None,
            "canRefresh": False,
            "accounts": [],
        },
    ]
    assert "simulated" in facts["said"]
    assert (facts["running"], facts["ended"]) == (True, [False, 0])
    unknown, wrong, none, nobody = facts["errors"]
    assert unknown == "drian_seconds is no setting. Is drain_seconds meant? docs/settings.md lists them."
    assert "PATCHBAY_QUEUE_MAX must be a whole number" in wrong
    assert "no account yet" in none
    assert "'nobody'" in nobody
    assert facts["handlers"] == ["mine %(message)s"]  # logging is the script's own affair
    assert facts["settings"] is False
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").rglob("*")}
    assert {mode for name, mode in modes.items() if "." in name or name == "secret_key"} == {0o600}
    assert modes["secrets"] == 0o700


TOKENS = """
import asyncio, json
from router_site.library import PatchbayError, get_access_token, get_status, list_backends

facts = {"backends": list_backends(), "status": get_status()}
facts["tokens"] = [get_access_token(), get_access_token("key"), get_access_token("file"), get_access_token("plan")]

async def inside_a_loop():
    return get_access_token("plan")

facts["tokens"].append(asyncio.run(inside_a_loop()))
try:
    get_access_token("free")
except PatchbayError as exc:
    facts["error"] = str(exc)
print(json.dumps(facts))
"""


def test_a_token_is_refreshed_when_it_is_due(tmp_path: Path) -> None:
    with SimulatorThread() as upstream:
        settings = upstream.oauth_settings("local")
        patchbay = Patchbay(settings, home=tmp_path / "home")
        base = f"{upstream.url}/v1"
        (tmp_path / "token").write_text("token-of-another-program")
        grant = upstream.login("ann") | {"expires_at": time.time() - 5}
        del grant["expires_in"]
        credentials = {
            "key": {"key": KEY},
            "file": {"file": str(tmp_path / "token")},
            "plan": {"oauth": grant},
        }
        patchbay.furnish()
        with Desk(patchbay) as desk:
            desk.do(
                {"do": "backend", "name": "local", "base": base, "protocol": "openai"},
                {"do": "backend", "name": "free", "base": base, "protocol": "openai"},
                {"do": "account", "alias": "free", "backend": "free", "credential": {}},
                *(
                    {"do": "account", "alias": alias, "backend": "local", "credential": credential}
                    for alias, credential in credentials.items()
                ),
            )
        facts = answer(script(tmp_path, TOKENS, **settings))
        assert len(upstream.refreshes) == 1
    first, key, file, plan, again = facts["tokens"]
    assert (key, file) == (KEY, "token-of-another-program")
    assert plan == again != grant["access_token"]
    assert first == file  # the first login of a plan, in order of alias
    assert "free has no credential of its own" in facts["error"]
    rows = {row["name"]: row for row in facts["backends"]}
    assert rows["local"]["accounts"] == ["file", "key", "plan"]
    assert (rows["local"]["protocol"], rows["local"]["baseUrl"]) == ("openai", base)
    assert {row["alias"]: row["kind"] for row in facts["status"]["accounts"]}["plan"] == "oauth"


FORGETFUL = """
import time
from router_site.library import start_proxy

proxy = start_proxy(home="other", demo=True, verbose=False, drain_seconds=1)
print(proxy.pid, flush=True)
time.sleep(60)
"""


def test_the_server_ends_with_a_script_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FORGETFUL)
    Patchbay(home=tmp_path / "other").furnish()
    started = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        cwd=tmp_path,
        env=env(tmp_path, {}),
        stdout=subprocess.PIPE,
    )
    assert started.stdout
    server = int(started.stdout.readline())
    assert (tmp_path / "other" / "secrets" / "secret_key").exists()
    started.send_signal(signal.SIGKILL)
    started.wait()
    started.stdout.close()
    deadline = time.monotonic() + 20
    while _runs(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_another_django_project_is_left_alone(tmp_path: Path) -> None:
    text = "from django.conf import settings; settings.configure()\nimport router_site.library as p\np.get_status()\n"
    done = script(tmp_path, text)
    assert done.returncode == 1
    assert "PatchbayError: This process runs another Django project" in done.stderr


@pytest.mark.parametrize("name", ["PatchbayError", "Proxy", "get_access_token", "start_proxy"])
def test_the_page_names_what_there_is(name: str) -> None:
    assert name in (PROJECT / "docs" / "library.md").read_text()
