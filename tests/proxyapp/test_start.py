"""How a start reads flags, settings and secrets, and when it is refused."""

from __future__ import annotations

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
def home() -> Iterator[Path]:
    """A home with the backends `openai` and `anthropic`; one server at a time runs on it."""
    with SimulatorThread() as upstream:
        patchbay = Patchbay()
        for name, base in (("openai", f"{upstream.url}/v1"), ("anthropic", upstream.url)):
            patchbay.manage(
                "backend", "add", name, "--base-url", base, "--key-stdin", stdin=f"sk-key-of-{name}\n"
            )
        yield patchbay.home


def eventually(check: Callable[[], bool], *, within: float = 5.0) -> bool:
    """The promise is one second; a busy test machine gets more."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False


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


def test_a_wrong_master_secret_refuses_the_start_and_makes_no_new_one(home: Path) -> None:
    patchbay = Patchbay(home=home)
    secret = home / "secrets" / "secret_key"
    right = secret.read_text()
    secret.write_text("another-secret-altogether\n")
    done = patchbay.manage("runproxy", check=False)
    assert done.returncode != 0
    assert "backup" in done.stderr
    assert secret.read_text() == "another-secret-altogether\n"
    secret.write_text(right)
    with patchbay:
        assert eventually(lambda: patchbay.post(CHAT, BODY).status == 200)


def test_a_forced_model_and_the_demo_flag(home: Path) -> None:
    with Patchbay(home=home, flags=("--model", "demo", "--demo")) as patchbay:
        answer = patchbay.post(CHAT, {**BODY, "model": "anything"})
        assert answer.headers["x-patchbay-model"] == "demo"
        assert answer.headers["x-patchbay-mutations"] == "$.model=forced"
        assert answer.headers["x-patchbay-account"].startswith("demo-")
        without = {"messages": BODY["messages"]}
        assert patchbay.post(CHAT, without).status == 200


@pytest.fixture(scope="module")
def plain(home: Path) -> Iterator[Patchbay]:
    """A server that leaves requests alone and lets one other origin in."""
    settings = {"PATCHBAY_CORS_ORIGIN": "https://app.example"}
    with Patchbay(settings=settings, home=home, flags=("--passthrough",)) as patchbay:
        yield patchbay


def test_passthrough_leaves_names_alone(plain: Patchbay) -> None:
    body = {"model": "opus", "max_tokens": 9, "messages": BODY["messages"]}
    assert eventually(lambda: plain.post("/v1/messages", body).status == 200)
    answer = plain.post("/v1/messages", body)
    assert answer.headers["x-patchbay-model"] == "opus"
    assert "x-patchbay-mutations" not in answer.headers


def test_cors_is_for_the_configured_origin_only(plain: Patchbay) -> None:
    mine, other = {"Origin": "https://app.example"}, {"Origin": "https://app.example.evil"}
    assert plain.get("/v1/models", mine).headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in plain.get("/v1/models", other).headers
    assert plain.get("/v1/models", other).status == 403


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
