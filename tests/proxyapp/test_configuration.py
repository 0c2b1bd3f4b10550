"""What a person changes applies to the next request within a second, without a restart."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.patchbay import Patchbay
from tests.servers import SimulatorThread

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "ping"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
def patchbay() -> Iterator[Patchbay]:
    with Patchbay() as running:
        yield running


def eventually(check: Callable[[], bool], *, within: float = 5.0) -> bool:
    """The promise is one second; a busy test machine gets more."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False


def test_a_fresh_home_answers_with_the_demo_until_a_backend_is_added(
    patchbay: Patchbay, upstream: SimulatorThread
) -> None:
    demo = {**BODY, "model": "demo"}
    assert "simulated" in patchbay.post(CHAT, demo).json()["choices"][0]["message"]["content"]
    assert patchbay.post("/v1/messages", {**demo, "max_tokens": 9}).json()["type"] == "message"
    assert patchbay.post("/v1/responses", {"model": "demo-gpt", "input": "x"}).json()["object"] == "response"
    assert [model["id"] for model in patchbay.get("/v1/models").json()["data"]] == [
        "demo",
        "demo-claude",
        "demo-gpt",
    ]

    patchbay.manage(
        "backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin", stdin="sk-key-one\n"
    )
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 200)
    assert patchbay.post(CHAT, demo).status == 404


def test_accounts_pause_resume_and_removal_apply(patchbay: Patchbay, upstream: SimulatorThread) -> None:
    patchbay.manage(
        "backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin", stdin="sk-key-one\n"
    )
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 200)
    patchbay.manage("accounts", "pause", "openai")
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 503)
    assert patchbay.get("/health").status == 503
    assert "paused" in json.dumps(patchbay.get("/health").json()["reasons"])
    assert patchbay.get("/readyz").status == 200
    patchbay.manage("accounts", "resume", "openai")
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 200)


def test_client_keys_are_asked_for_from_the_first_one_on_and_revocation_is_quick(
    patchbay: Patchbay, upstream: SimulatorThread
) -> None:
    patchbay.manage(
        "backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin", stdin="sk-key-one\n"
    )
    made = json.loads(patchbay.manage("keys", "add", "laptop", "--models", "gpt-*", "--json").stdout)
    key = {"x-api-key": made["key"]}
    assert eventually(lambda: patchbay.post(CHAT, BODY).status == 401)
    assert eventually(lambda: patchbay.post(CHAT, BODY, key).status == 200)
    assert patchbay.post(CHAT, BODY, {"authorization": f"Bearer {made['key']}"}).status == 200
    assert patchbay.post(CHAT, BODY, {"x-patchbay-key": made["key"]}).status == 200
    assert patchbay.post(CHAT, {**BODY, "model": "o3"}, key).status == 403
    assert patchbay.get("/v1/models").status == 401
    assert all(model["id"].startswith("gpt-") for model in patchbay.get("/v1/models", key).json()["data"])
    assert patchbay.get("/health").status == 200
    patchbay.manage("keys", "revoke", "laptop")
    assert eventually(lambda: patchbay.post(CHAT, BODY, key).status == 401)
    assert eventually(lambda: [r["key"] for r in patchbay.history() if r["status"] == 200][-1] == "laptop")
    assert made["key"] not in patchbay.log


def test_routes_apply_and_explain_says_the_same(patchbay: Patchbay, upstream: SimulatorThread) -> None:
    patchbay.manage(
        "backend", "add", "openai", "--base-url", f"{upstream.url}/v1", "--key-stdin", stdin="sk-key-one\n"
    )
    patchbay.manage("routes", "add", "quick", "openai:gpt-4o-mini")
    assert eventually(lambda: patchbay.post(CHAT, {**BODY, "model": "Quick "}).status == 200)
    explained = json.loads(patchbay.manage("routes", "explain", "quick", "--json").stdout)
    assert "gpt-4o-mini" in json.dumps(explained)
    patchbay.manage("routes", "remove", "quick")
    assert eventually(lambda: patchbay.post(CHAT, {**BODY, "model": "quick"}).status == 404)


def test_no_secret_is_readable_in_the_home_and_modes_are_private(
    patchbay: Patchbay, upstream: SimulatorThread
) -> None:
    patchbay.manage(
        "backend",
        "add",
        "openai",
        "--base-url",
        f"{upstream.url}/v1",
        "--key-stdin",
        stdin="sk-canary-0123456789\n",
    )
    made = json.loads(patchbay.manage("keys", "add", "laptop", "--json").stdout)
    patchbay.post(CHAT, BODY, {"x-api-key": made["key"]})
    for path in [patchbay.home, *patchbay.home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0 or path.name == "server.log", path
        if path.is_file():
            content = path.read_bytes()
            assert b"sk-canary-0123456789" not in content, path
            assert made["key"].encode() not in content, path


@pytest.mark.parametrize(
    ("settings", "flags", "code", "words"),
    [
        ({}, ("--host", "0.0.0.0"), 2, "key"),
        ({"PATCHBAY_API_KEY": ""}, (), 2, "PATCHBAY_API_KEY"),
        ({}, ("--port", "0"), 2, "PATCHBAY_PORT"),
        ({}, ("--port", "x"), 2, "PATCHBAY_PORT"),
        ({"PATCHBAY_UPSTREAM_TIMEOUTS": "connect=never"}, (), 2, "PATCHBAY_UPSTREAM_TIMEOUTS"),
        ({}, ("--nonsense",), 2, "--nonsense"),
    ],
)
def test_wrong_settings_refuse_the_start_in_one_line(
    settings: dict[str, str], flags: tuple[str, ...], code: int, words: str
) -> None:
    done = Patchbay(settings=settings).manage("runproxy", *flags, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named(patchbay: Patchbay) -> None:
    other = Patchbay(port=patchbay.port)
    done = other.manage("runproxy", check=False)
    assert (done.returncode, str(patchbay.port) in done.stderr) == (1, True)
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_wrong_master_secret_refuses_the_start_and_makes_no_new_one(upstream: SimulatorThread) -> None:
    with Patchbay() as first:
        first.manage(
            "backend",
            "add",
            "openai",
            "--base-url",
            f"{upstream.url}/v1",
            "--key-stdin",
            stdin="sk-key-one\n",
        )
    secret = first.home / "secrets" / "secret_key"
    right = secret.read_text()
    secret.write_text("another-secret-altogether\n")
    done = first.manage("runproxy", check=False)
    assert done.returncode != 0
    assert "backup" in done.stderr
    assert secret.read_text() == "another-secret-altogether\n"
    secret.write_text(right)
    with first:
        assert eventually(lambda: first.post(CHAT, BODY).status == 200)


def test_a_forced_model_and_the_demo_flag(upstream: SimulatorThread) -> None:
    with Patchbay(flags=("--model", "demo", "--demo")) as patchbay:
        patchbay.manage(
            "backend",
            "add",
            "openai",
            "--base-url",
            f"{upstream.url}/v1",
            "--key-stdin",
            stdin="sk-key-one\n",
        )
        answer = patchbay.post(CHAT, {**BODY, "model": "anything"})
        assert answer.headers["x-patchbay-model"] == "demo"
        assert answer.headers["x-patchbay-mutations"] == "$.model=forced"
        assert answer.headers["x-patchbay-account"].startswith("demo-")
        without = {"messages": BODY["messages"]}
        assert patchbay.post(CHAT, without).status == 200


def test_passthrough_leaves_names_alone(upstream: SimulatorThread) -> None:
    with Patchbay(flags=("--passthrough",)) as patchbay:
        patchbay.manage(
            "backend", "add", "anthropic", "--base-url", upstream.url, "--key-stdin", stdin="sk-key-one\n"
        )
        body = {"model": "opus", "max_tokens": 9, "messages": BODY["messages"]}
        assert eventually(lambda: patchbay.post("/v1/messages", body).status == 200)
        answer = patchbay.post("/v1/messages", body)
        assert answer.headers["x-patchbay-model"] == "opus"
        assert "x-patchbay-mutations" not in answer.headers


def test_cors_is_for_the_configured_origin_only() -> None:
    with Patchbay(settings={"PATCHBAY_CORS_ORIGIN": "https://app.example"}) as patchbay:
        mine, other = {"Origin": "https://app.example"}, {"Origin": "https://app.example.evil"}
        assert (
            patchbay.get("/v1/models", mine).headers["access-control-allow-origin"] == "https://app.example"
        )
        assert "access-control-allow-origin" not in patchbay.get("/v1/models", other).headers
        assert patchbay.get("/v1/models", other).status == 403


def test_secrets_from_the_environment_and_from_a_file_and_a_database_elsewhere(tmp_path: Path) -> None:
    key_file, database = tmp_path / "key", tmp_path / "elsewhere.sqlite3"
    key_file.write_text("fixed-key-of-the-team\n")
    settings = {
        "PATCHBAY_API_KEY_FILE": str(key_file),
        "PATCHBAY_SECRET_KEY": "a-master-secret-from-outside",
        "DATABASE_URL": f"sqlite:///{database}",
    }
    demo = {**BODY, "model": "demo"}
    with Patchbay(settings=settings) as patchbay:
        assert patchbay.post(CHAT, demo).status == 401
        assert patchbay.post(CHAT, demo, {"x-api-key": "fixed-key-of-the-team"}).status == 200
        assert not (patchbay.home / "secrets" / "secret_key").exists()
        assert not (patchbay.home / "config.sqlite3").exists()
        assert "fixed-key-of-the-team" not in patchbay.log
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_two_processes_that_start_at_once_on_an_empty_home_both_serve() -> None:
    one = Patchbay(is_blank=True)
    two = Patchbay(home=one.home, is_blank=True)
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda each: each.start(), (one, two)))
    assert {each.post(CHAT, {**BODY, "model": "demo"}).status for each in (one, two)} == {200}
    assert [one.stop(), two.stop()] == [0, 0]
