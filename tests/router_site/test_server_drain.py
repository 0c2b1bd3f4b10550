"""Leaving: running streams finish, deadlines hold, nothing crashes, and the exit code says how it went."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.router_site.server_process import ServerProcess, get, head, post

SLACK = 10.0  # for a busy machine, on top of what is promised


def test_idle_server_ends_at_once_with_0() -> None:
    with ServerProcess(drain=60) as server:
        started = server.terminate()
        assert server.wait_exit() == 0
        assert time.monotonic() - started < SLACK
        assert [event["event"] for event in server.events] == ["ready", "drain", "stopped"]
        assert server.errors == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_streams_finish_and_new_connections_are_refused(number: int) -> None:
    with ServerProcess(drain=30) as server:
        clients = [server.connect() for _ in range(20)]
        for client in clients:
            client.send(get("/stream?2"))
        server.wait_for("stream-started", number=20)
        idle = server.connect()
        idle.send(get("/"))
        idle.read_response()
        server.terminate(number)
        server.wait_for("drain")
        assert idle.read_to_end() == b""
        with pytest.raises(ConnectionError):
            server.ask(get("/"))
        for client in clients:
            assert client.read_response().body.endswith(b"[end]\n")
        assert server.wait_exit() == 0
        assert server.count("shutdown") == 0


def test_request_on_a_kept_connection_is_refused_while_draining() -> None:
    with ServerProcess(drain=30) as server:
        with server.connect() as client:
            client.send(get("/stream?1"))
            server.wait_for("stream-started")
            server.terminate()
            server.wait_for("drain")
            client.send(post("/v1/messages", b"{}"))
            assert client.read_response().body.endswith(b"[end]\n")
            response = client.read_response()
        assert response.status == 503
        assert response.headers["connection"] == "close"
        assert response.json()["type"] == "error"
        assert server.wait_exit() == 0
        assert server.count("rejected", status=503, path="/v1/messages") == 1


def test_probes_are_answered_while_draining() -> None:
    with ServerProcess(drain=30) as server:
        with server.connect() as client:
            client.send(get("/stream?1"))
            server.wait_for("stream-started")
            server.terminate()
            server.wait_for("drain")
            client.send(get("/readyz"))
            client.read_response()
            response = client.read_response()
        assert response.json()["path"] == "/readyz"
        assert response.headers["connection"] == "close"
        assert server.wait_exit() == 0


def test_response_that_begins_while_draining_is_the_last_of_its_connection() -> None:
    with ServerProcess(drain=30) as server:
        with server.connect() as waiting, server.connect() as running:
            waiting.send(post("/wait", b"x"))
            running.send(get("/stream?1"))
            server.wait_for("waiting")
            server.wait_for("stream-started")
            waiting.socket.close()
            server.terminate()
            assert running.read_response().body.endswith(b"[end]\n")
        assert server.wait_exit() == 0


def test_half_sent_requests_are_refused_and_do_not_delay_the_end() -> None:
    with ServerProcess(drain=30) as server:
        with server.connect() as in_head, server.connect() as in_body, server.connect() as silent:
            in_head.send(b"POST /v1/mess")
            in_body.send(head("POST /v1/messages HTTP/1.1", "Host: t", "Content-Length: 99") + b"half")
            assert server.is_well()
            started = server.terminate()
            assert in_head.read_response().status == 503
            assert in_body.read_response().status == 503
            assert silent.read_to_end() == b""
            assert server.wait_exit() == 0
        assert time.monotonic() - started < SLACK
        assert server.errors == ""


def test_deadline_gives_streams_the_chance_to_say_so() -> None:
    with ServerProcess(drain=1) as server:
        with server.connect() as client:
            client.send(get("/stream?60"))
            server.wait_for("stream-started")
            started = server.terminate()
            assert client.read_response().body.endswith(b"[error]\n")
            assert server.wait_exit() == 0
        assert 1 <= time.monotonic() - started < 1 + 4 + SLACK
        assert server.count("shutdown") == 1


def test_deadline_tells_waiting_applications_and_cancels_deaf_ones() -> None:
    with ServerProcess(drain=1) as server:
        with server.connect() as waiting, server.connect() as deaf, server.connect() as stuck:
            waiting.send(post("/wait", b"x"))
            deaf.send(get("/deaf"))
            stuck.send(b"GET / HT")
            server.wait_for("waiting")
            server.wait_for("deaf-started")
            started = server.terminate()
            assert server.wait_exit() == 0
        assert time.monotonic() - started < 1 + 4 + SLACK
        assert server.count("http.disconnect") == 1
        assert server.count("deaf-ended") == 1
        assert server.count("stopped") == 1


def test_client_that_does_not_read_does_not_delay_the_end() -> None:
    with ServerProcess(drain=1) as server:
        with server.connect(receive_buffer=65536) as client:
            client.send(get("/big?50"))
            server.wait_for("sent")
            started = server.terminate()
            assert server.wait_exit() == 0
        assert time.monotonic() - started < 1 + 4 + SLACK
        assert server.count("big-ended") == 1


@pytest.mark.parametrize("path", ["/deaf", "/stream?60"])
def test_second_signal_ends_it_with_1(path: str) -> None:
    with ServerProcess(drain=600) as server:
        with server.connect() as client:
            client.send(get(path))
            server.wait_for("deaf-started" if path == "/deaf" else "stream-started")
            server.terminate()
            server.wait_for("drain")
            started = server.terminate(signal.SIGINT)
            assert server.wait_exit() == 1
        assert time.monotonic() - started < 1 + SLACK
        if path == "/deaf":
            assert server.count("deaf-ended") == 1


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "already in use"), ("192.0.2.1", "not an address"), ("no.such.host.invalid", "--host")],
)
def test_port_that_cannot_be_bound_is_one_line_and_exit_1(host: str, reason: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ServerProcess(host=host, port=port)
        assert server.wait_exit() == 1
    assert server.errors.count("\n") == 1
    assert reason in server.errors
    assert host in server.errors
    assert host != "127.0.0.1" or str(port) in server.errors
