"""The simulator as an HTTP server, its journal, and its process."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from backends.simulator import Journal, Simulator
from tests.backends.simulator.raw import ask, connect, exchange, post, read_all, request
from tests.servers import SimulatorThread

ROOT = Path(__file__).parents[3]


def test_connection_is_kept_and_pipelined_requests_are_answered_in_order(upstream: SimulatorThread) -> None:
    with connect(upstream.url) as connection:
        slow, fast = request(model="first+ttfb=50ms", stream=False), request(model="second", close=True)
        connection.sendall(slow + fast)
        raw = read_all(connection).raw
    assert raw.index(b'"model":"first+ttfb=50ms"') < raw.index(b'"model":"second"')
    first, second = upstream.journal.entries
    assert first.connection == second.connection
    assert (first.reused, second.reused) == (False, True)


def test_entry_holds_what_was_received(upstream: SimulatorThread) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "é"}]}).encode()
    exchange(upstream.url, post("/v1/chat/completions?beta=true", body, key="sk-k", close=True))
    entry = upstream.wait_for(lambda entry: entry.closed_at)
    assert (entry.method, entry.path, entry.query) == ("POST", "/v1/chat/completions", "beta=true")
    assert (entry.body, entry.key, entry.kind, entry.status) == (body, "sk-k", "chat", 200)
    assert entry.header("Content-Type") == "application/json"
    assert entry.started <= entry.headers_at <= entry.body_at <= entry.first_byte_at <= entry.last_byte_at
    assert entry.completed


def test_half_a_request_is_in_the_ledger_as_such(upstream: SimulatorThread) -> None:
    with connect(upstream.url) as connection:
        connection.sendall(request()[:-10])
    entry = upstream.wait_for(lambda entry: entry.closed_at)
    assert (entry.body_at, entry.closed_by, entry.status) == (None, "peer", None)


def test_api_key_header_wins_over_bearer(upstream: SimulatorThread) -> None:
    sent = request(close=True).replace(b"host: sim", b"host: sim\r\nX-Api-Key: sk-one")
    exchange(upstream.url, sent)
    assert upstream.journal[-1].key == "sk-one"


def test_compressed_request_is_understood(upstream: SimulatorThread) -> None:
    packed = gzip.compress(request().partition(b"\r\n\r\n")[2])
    sent = post("/v1/chat/completions", packed, close=True)
    received = exchange(upstream.url, sent.replace(b"host: sim", b"host: sim\r\ncontent-encoding: gzip"))
    assert received.status == 200


def test_continue_is_sent_when_expected(upstream: SimulatorThread) -> None:
    sent = request(close=True, stream=False).replace(b"host: sim", b"host: sim\r\nexpect: 100-continue")
    assert exchange(upstream.url, sent).raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_http_1_0_gets_no_chunks(upstream: SimulatorThread) -> None:
    received = exchange(upstream.url, request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert received.header("transfer-encoding") == []
    assert received.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/1.1", 200),
        (b"HEAD / HTTP/1.1", 200),
        (b"GET /v1/chat/completions HTTP/1.1", 405),
        (b"GET /nothing HTTP/1.1", 404),
        (b"GET /v1/v1/models HTTP/1.1", 404),
        (b"NONSENSE", 400),
    ],
)
def test_other_requests(upstream: SimulatorThread, line: bytes, status: int) -> None:
    received = exchange(upstream.url, line + b"\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert received.status == status
    if line.startswith(b"HEAD"):
        assert received.body == b""


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": NaN}', b"\xff"])
def test_bad_json_is_a_bad_request(upstream: SimulatorThread, body: bytes) -> None:
    assert exchange(upstream.url, post("/v1/messages", body, close=True)).status == 400


def test_same_request_gets_the_same_answer(upstream: SimulatorThread) -> None:
    first, second = (ask(upstream.url, "messages", stream=False).json for _ in range(2))
    assert first.pop("id") != second.pop("id")
    assert first == second


def test_steering_over_tcp(upstream: SimulatorThread) -> None:
    order = json.dumps({"scripts": ["status=418", "ok"], "key": "sk-test"}).encode()
    assert exchange(upstream.url, post("/_sim/script", order, close=True)).status == 200
    assert [ask(upstream.url).status for _ in range(2)] == [418, 200]
    shown = exchange(upstream.url, b"GET /_sim/journal HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    entries = [json.loads(line) for line in shown.body.splitlines()]
    assert [(entry["status"], entry["script"]) for entry in entries] == [(418, "status=418"), (200, "ok")]
    assert exchange(upstream.url, post("/_sim/script", b'{"scripts":["nope"]}', close=True)).status == 400
    assert exchange(upstream.url, post("/_sim/reset", b"", close=True)).status == 200
    assert all(entry.kind == "control" for entry in upstream.journal)


def test_web_pages_and_demo_users_cannot_steer(upstream: SimulatorThread) -> None:
    sent = post("/_sim/reset", b"", close=True)
    foreign = sent.replace(b"host: sim", b"host: sim\r\norigin: http://evil.example")
    assert exchange(upstream.url, foreign).status == 403
    with SimulatorThread(demo=True) as demo:
        assert exchange(demo.url, sent).status == 404


def test_restart_on_the_same_port_keeps_the_journal() -> None:
    with SimulatorThread() as upstream:
        ask(upstream.url)
        port = upstream.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            connect(upstream.url)
        upstream.listen_again(port)
        ask(upstream.url)
        assert upstream.journal.total == 2


async def test_journal_waits_and_gives_up_in_time() -> None:
    simulator = Simulator()
    await simulator.start()
    try:
        with pytest.raises(TimeoutError, match="No entry"):
            await simulator.journal.wait_for(lambda entry: True, timeout=0.01)
    finally:
        await simulator.stop()


def test_journal_forgets_the_oldest_and_caps_bodies() -> None:
    with SimulatorThread(journal=Journal(limit=2, body_cap=10)) as upstream:
        for _ in range(3):
            ask(upstream.url)
        first, _ = upstream.journal.entries
        assert (upstream.journal.total, first.number, len(first.body)) == (3, 2, 10)
        assert first.body_size > 10


def test_journal_keeps_bodies_within_its_budget() -> None:
    with SimulatorThread(journal=Journal(body_budget=250)) as upstream:
        for _ in range(3):
            ask(upstream.url)
        bodies = [len(entry.body) for entry in upstream.journal]
    assert bodies[0] == 0
    assert bodies[2] > 0
    assert sum(bodies) <= 250


def test_tls_when_it_is_given_a_certificate() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with SimulatorThread(ssl_context=server) as upstream:
        assert upstream.url.startswith("https://")
        with (
            connect(upstream.url.replace("https", "http")) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(request(close=True))
            assert read_all(connection).data[-1] == "[DONE]"


@pytest.mark.parametrize("loop", [[], ["--uvloop"]])
def test_process_prints_its_url_journals_and_stops(tmp_path: Path, loop: list[str]) -> None:
    file = tmp_path / "journal.jsonl"
    command = [sys.executable, "-m", "backends.simulator", "--journal", str(file), "--keys", "a,b", *loop]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        try:
            statuses = [ask(url, "messages", key=key, model="m+think").status for key in ("a", "b", "c")]
            cut = ask(url, key="a", model="m+cut@2,rst,gap=1ms")
            with connect(url) as connection:
                connection.sendall(request(key="a", model="m+endless"))
                endless = connection.recv(15)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert statuses == [200, 200, 401]
    assert (cut.ended, endless) == ("reset", b"HTTP/1.1 200 OK")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["key"] for line in lines][:4] == ["a", "b", "c", "a"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        command = [sys.executable, "-m", "backends.simulator", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert port in done.stderr
