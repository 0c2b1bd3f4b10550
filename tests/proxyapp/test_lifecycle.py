"""Start and stop of the whole product: drain, shutdown, health, other servers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.patchbay import PROJECT, Patchbay, free_port
from tests.servers import SimulatorThread

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="module")
def server(upstream: SimulatorThread) -> Iterator[Patchbay]:
    """One home with one backend; its server is started by `patchbay`."""
    made = Patchbay()
    address = ("--base-url", f"{upstream.url}/v1")
    made.manage("backend", "add", "openai", *address, "--key-stdin", stdin="sk-key-one\n")
    yield made
    if is_running(made):
        assert made.stop() == 0


@pytest.fixture
def patchbay(server: Patchbay) -> Patchbay:
    """That server, started again if a test has ended it."""
    if not is_running(server):
        server.start()
    return server


def is_running(patchbay: Patchbay) -> bool:
    return patchbay.process is not None and patchbay.process.poll() is None


def outcomes(patchbay: Patchbay) -> list[str]:
    """How each request on this home ended, oldest first."""
    rows = patchbay.sql("history", "SELECT outcome FROM analytics_requestrecord ORDER BY started_at")
    return [outcome for (outcome,) in rows]


def open_stream(patchbay: Patchbay, model: str) -> socket.socket:
    """A running stream, after its first content."""
    body = json.dumps(
        {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    ).encode()
    client = socket.create_connection(("127.0.0.1", patchbay.port), timeout=30)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{patchbay.port}\r\nContent-Type: application/json\r\n"
    client.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    got = b""
    while b"data: " not in got:
        got += client.recv(65536)
    return client


def read_all(client: socket.socket) -> bytes:
    """What still comes, to the end."""
    got = b""
    with client:
        while chunk := client.recv(65536):
            got += chunk
    return got


def test_front_page_and_probes(patchbay: Patchbay) -> None:
    assert patchbay.request("HEAD", "/").status == 200
    assert patchbay.get("/").json()["status"] == "ok"
    page = patchbay.get("/", {"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert f"ANTHROPIC_BASE_URL={patchbay.url}" in page.body.decode()
    assert patchbay.get("/health").json()["status"] == "ok"
    assert {patchbay.get(path).status for path in ("/livez", "/readyz")} == {200}


def test_the_login_link_works_once_and_only_from_here(patchbay: Patchbay) -> None:
    *_, link = (word for word in patchbay.log.split() if "/admin/login-link/" in word)
    path = link.removeprefix(patchbay.url)
    assert patchbay.get(path, {"X-Forwarded-For": "1.2.3.4"}).status == 404
    first = patchbay.get(path)
    assert (first.status, first.headers["location"]) == (302, "/admin/")
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert "openai" not in patchbay.get("/admin/").body.decode()
    assert patchbay.get("/admin/backends/backend/", {"Cookie": cookie}).body.count(b"openai")
    assert patchbay.get(path).status == 404
    assert patchbay.get("/static/admin/css/base.css").status == 200
    assert patchbay.get("/static/../../manage.py").status == 404


def test_the_home_survives_a_restart(patchbay: Patchbay) -> None:
    before = len(patchbay.history(0))
    assert (
        patchbay.post(CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}).status == 200
    )
    assert patchbay.stop() == 0
    patchbay.start()
    assert len(patchbay.history(before + 1)) == before + 1


def test_a_stream_outlives_the_first_sigterm(patchbay: Patchbay) -> None:
    before = outcomes(patchbay)
    client = open_stream(patchbay, "gpt-4o+events=40,gap=50ms")
    assert patchbay.process is not None
    patchbay.process.send_signal(signal.SIGTERM)
    assert b"[DONE]" in read_all(client)
    assert patchbay.process.wait(20) == 0
    assert outcomes(patchbay) == [*before, "ok"]


def test_a_second_sigterm_ends_it_now(patchbay: Patchbay) -> None:
    client = open_stream(patchbay, "gpt-4o+endless,gap=50ms")
    assert patchbay.process is not None
    patchbay.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        patchbay.process.wait(0.5)
    patchbay.process.send_signal(signal.SIGTERM)
    assert patchbay.process.wait(20) == 1
    client.close()


def test_when_the_drain_time_is_up_a_stream_ends_with_an_error_event(server: Patchbay) -> None:
    if is_running(server):
        assert server.stop() == 0
    patchbay = Patchbay({"PATCHBAY_DRAIN_SECONDS": "1"}, home=server.home)
    patchbay.start()
    before = outcomes(patchbay)
    client = open_stream(patchbay, "gpt-4o+endless,gap=50ms")
    assert patchbay.process is not None
    patchbay.process.send_signal(signal.SIGTERM)
    rest = read_all(client)
    assert b'data: {"error"' in rest
    assert b"[DONE]" not in rest
    assert patchbay.process.wait(20) == 0
    assert outcomes(patchbay) == [*before, "shutdown"]


def test_the_same_application_runs_under_another_server(server: Patchbay) -> None:
    if is_running(server):
        assert server.stop() == 0
    port = free_port()
    patchbay = Patchbay(port=port, home=server.home)
    before = len(outcomes(patchbay))
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "router_site.asgi:application",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(command, cwd=PROJECT, env=patchbay.environment)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if patchbay.get("/livez").status == 200:
                    break
            except OSError:
                time.sleep(0.1)
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        assert patchbay.post(CHAT, body).status == 200
        assert b"[DONE]" in patchbay.post(CHAT, {**body, "stream": True}).body
        assert patchbay.post(CHAT, body, {"Host": "evil.com"}).status == 403
        assert patchbay.get("/admin/").status == 302
        assert len(patchbay.history(before + 2)) >= before + 2
    finally:
        process.terminate()
        process.wait(20)
