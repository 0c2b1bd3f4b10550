"""The end of the drain time, the second signal, and a start that fails: what ends the server for good."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.router_site.server_process import ServerProcess, get, post
from tests.router_site.test_server_drain import SLACK


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
