"""Leaving: running streams finish, deadlines hold, nothing crashes, and the exit code says how it went."""

from __future__ import annotations

import resource
import signal
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


def test_kept_and_new_connections_may_bring_one_more_request() -> None:
    """A proxy cannot know that we leave before it has sent it, and may not send it to another server again."""
    with ServerProcess(drain=30) as server:
        with server.connect() as streaming, server.connect() as kept, server.connect() as new:
            streaming.send(get("/stream?1"))
            server.wait_for("stream-started")
            kept.send(get("/"))
            kept.read_response()
            server.terminate()
            server.wait_for("drain")
            for client in (kept, new):
                client.send(post("/v1/messages", b"{}"))
                response = client.read_response()
                assert (response.status, response.headers["connection"]) == (200, "close")
            streaming.send(post("/v1/messages", b"{}"))
            assert streaming.read_response().body.endswith(b"[end]\n")
            assert streaming.read_response().headers["connection"] == "close"
        assert server.wait_exit() == 0
        assert server.count("rejected") == 0


def test_a_request_that_could_be_cut_by_the_end_of_the_drain_is_refused() -> None:
    with ServerProcess(drain=3) as server:
        with server.connect() as client:
            client.send(get("/stream?2"))
            server.wait_for("stream-started")
            server.terminate()
            server.wait_for("drain")
            assert client.read_response().body.endswith(b"[end]\n")
            client.send(post("/v1/messages", b"{}"))
            response = client.read_response()
        assert response.status == 503
        assert response.headers["connection"] == "close"
        assert response.json()["type"] == "error"
        assert server.wait_exit() == 0
        assert server.count("rejected", status=503, path="/v1/messages") == 1


def test_whom_the_kernel_had_connected_is_served() -> None:
    with ServerProcess(drain=30) as server:
        server.process.send_signal(signal.SIGSTOP)
        clients = [server.connect() for _ in range(20)]
        for client in clients[::2]:
            client.send(get("/"))
        server.terminate()
        server.process.send_signal(signal.SIGCONT)
        server.wait_for("drain")
        for client in clients[1::2]:
            client.send(get("/"))
        assert {client.read_response().status for client in clients} == {200}
        assert server.wait_exit() == 0


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


def test_a_server_without_a_file_handle_to_spare_drains_all_the_same() -> None:
    with ServerProcess(drain=30) as server, server.connect() as client:
        client.send(get("/stream?1"))
        server.wait_for("stream-started")
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, 3))
        server.terminate()
        assert client.read_response().body.endswith(b"[end]\n")
        assert server.wait_exit() == 0
        assert server.errors == ""


def test_what_stays_half_sent_is_refused_and_hardly_delays_the_end() -> None:
    with ServerProcess(drain=30) as server, server.connect() as uploading, server.connect() as late:
        with server.connect() as in_head, server.connect() as in_body, server.connect() as silent:
            in_head.send(b"POST /v1/mess")
            for client in (in_body, uploading):
                client.send(head("POST /v1/messages HTTP/1.1", "Host: t", "Content-Length: 8") + b"half")
            assert server.is_well()
            started = server.terminate()
            server.wait_for("drain")
            late.send(b"POST /v1/mess")
            uploading.send(b"half")
            assert uploading.read_response().status == 200
            assert in_head.read_response().status == 503
            assert in_body.read_response().status == 503
            assert late.read_response().status == 503
            assert silent.read_to_end() == b""
            assert server.wait_exit() == 0
        assert time.monotonic() - started < SLACK
        assert server.errors == ""
