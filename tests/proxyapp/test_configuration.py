"""What a person changes applies to the next request within a second, without a restart.

One server, from a fresh home to client keys: each test leaves it as the next one finds it, or as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}
CHAT = "/v1/chat/completions"
UPSTREAM_KEY = "sk-canary-0123456789"


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="module")
def fresh() -> Iterator[Patchbay]:
    """A server on a fresh home, until `patchbay` is asked for."""
    with Patchbay() as running:
        yield running


@pytest.fixture(scope="module")
def patchbay(fresh: Patchbay, upstream: SimulatorThread) -> Patchbay:
    """The same server with a backend, added by the command while it runs."""
    address = ("--base-url", f"{upstream.url}/v1")
    fresh.manage("backend", "add", "openai", *address, "--key-stdin", stdin=f"{UPSTREAM_KEY}\n")
    assert eventually(lambda: fresh.post(CHAT, BODY).status == 200)
    return fresh


@pytest.fixture(scope="module")
def laptop(patchbay: Patchbay) -> str:
    """The first client key. Whoever has none is refused from here on."""
    made = json.loads(patchbay.manage("keys", "add", "laptop", "--models", "gpt-*", "--json").stdout)
    return str(made["key"])


def eventually(check: Callable[[], bool], *, within: float = 5.0) -> bool:
    """The promise is one second; a busy test machine gets more."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False


DEMO = {**BODY, "model": "demo"}


def test_a_fresh_home_answers_with_the_demo(fresh: Patchbay) -> None:
    assert "simulated" in fresh.post(CHAT, DEMO).json()["choices"][0]["message"]["content"]
    assert fresh.post("/v1/messages", {**DEMO, "max_tokens": 9}).json()["type"] == "message"
    assert fresh.post("/v1/responses", {"model": "demo-gpt", "input": "x"}).json()["object"] == "response"
    assert [model["id"] for model in fresh.get("/v1/models").json()["data"]] == [
        "demo",
        "demo-claude",
        "demo-gpt",
    ]


def test_until_a_backend_is_added(patchbay: Patchbay) -> None:
    assert patchbay.post(CHAT, BODY).status == 200
    assert patchbay.post(CHAT, DEMO).status == 404


def test_accounts_pause_and_resume_apply(patchbay: Patchbay) -> None:
    patchbay.manage("accounts", "pause", "openai")
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 503)
    assert patchbay.get("/health").status == 503
    assert "paused" in json.dumps(patchbay.get("/health").json()["reasons"])
    assert patchbay.get("/readyz").status == 200
    patchbay.manage("accounts", "resume", "openai")
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 200)


def test_routes_apply_and_explain_says_the_same(patchbay: Patchbay) -> None:
    patchbay.manage("routes", "add", "quick", "openai:gpt-4o-mini")
    assert eventually(lambda: patchbay.post(CHAT, {**BODY, "model": "Quick "}).status == 200)
    explained = json.loads(patchbay.manage("routes", "explain", "quick", "--json").stdout)
    assert "gpt-4o-mini" in json.dumps(explained)
    patchbay.manage("routes", "remove", "quick")
    assert eventually(lambda: patchbay.post(CHAT, {**BODY, "model": "quick"}).status == 404)


def test_a_taken_port_is_named(patchbay: Patchbay) -> None:
    other = Patchbay(port=patchbay.port)
    done = other.manage("runproxy", check=False)
    assert (done.returncode, str(patchbay.port) in done.stderr) == (1, True)
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_secret_is_readable_in_the_home_and_modes_are_private(patchbay: Patchbay, laptop: str) -> None:
    patchbay.post(CHAT, BODY, {"x-api-key": laptop})
    for path in [patchbay.home, *patchbay.home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0 or path.name == "server.log", path
        if path.is_file():
            content = path.read_bytes()
            assert UPSTREAM_KEY.encode() not in content, path
            assert laptop.encode() not in content, path


def test_client_keys_are_asked_for_from_the_first_one_on_and_revocation_is_quick(
    patchbay: Patchbay, laptop: str
) -> None:
    key = {"x-api-key": laptop}
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 401)
    assert eventually(lambda: patchbay.post(CHAT, BODY, key).status == 200)
    assert patchbay.post(CHAT, BODY, {"authorization": f"Bearer {laptop}"}).status == 200
    assert patchbay.post(CHAT, BODY, {"x-patchbay-key": laptop}).status == 200
    assert patchbay.post(CHAT, {**BODY, "model": "o3"}, key).status == 403
    assert patchbay.get("/v1/models").status == 401
    assert all(model["id"].startswith("gpt-") for model in patchbay.get("/v1/models", key).json()["data"])
    assert patchbay.get("/health").status == 200
    patchbay.manage("keys", "revoke", "laptop")
    assert eventually(lambda: patchbay.post(CHAT, BODY, key).status == 401)
    assert eventually(lambda: [r["key"] for r in patchbay.history() if r["status"] == 200][-1] == "laptop")
    assert laptop not in patchbay.log
