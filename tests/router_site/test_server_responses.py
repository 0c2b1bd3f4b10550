"""What the server makes of an application's messages, and what the application learns of its client."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.router_site.server_process import PATIENCE, Client, ServerProcess, get, head, post


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(limits={"application_close_seconds": 1.0}) as process:
        yield process


def reset(client: Client) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


def fin(client: Client) -> None:
    client.socket.close()


def half_close(client: Client) -> None:
    client.socket.shutdown(socket.SHUT_WR)


def test_whole_response_has_a_length_and_the_connection_stays(server: ServerProcess) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.send(post("/", b"x"))
            response = client.read_response()
            assert int(response.headers["content-length"]) == len(response.body)
            assert "connection" not in response.headers
            assert "server" not in response.headers
            assert response.headers["date"].endswith(" GMT")


def test_stream_is_chunked_and_each_piece_comes_at_once(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(get("/stream?1"))
        response = client.read_head()
        assert response.headers["transfer-encoding"] == "chunked"
        assert client.read_exactly(10) == b"5\r\ntick\n\r\n"
        assert b"[end]" in client.read_until(b"0\r\n\r\n")


def test_large_body_in_one_message(server: ServerProcess) -> None:
    response = server.ask(get("/whole?8"))
    assert int(response.headers["content-length"]) == 8 * 2**20
    assert response.body == b"y" * 8 * 2**20


def test_head_has_the_length_and_no_body(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(head("HEAD /headers?short HTTP/1.1", "Host: test"))
        assert client.read_response(head_only=True).headers["content-length"] == "10"
        client.send(head("HEAD /stream?0 HTTP/1.1", "Host: test"))
        assert client.read_response(head_only=True).status == 200
        client.send(get("/next"))
        assert client.read_response().json()["path"] == "/next"


def test_status_without_a_body(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(get("/headers?204"))
        response = client.read_response()
        assert response.status == 204
        assert not {"content-length", "transfer-encoding"} & set(response.headers)
        client.send(get("/next"))
        assert client.read_response().json()["path"] == "/next"


def test_framing_is_the_servers_own(server: ServerProcess) -> None:
    response = server.ask(get("/headers"))
    assert response.headers["x-upper"] == "1"
    assert "transfer-encoding" not in response.headers
    assert response.body == b"plain"


def test_application_may_close(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(get("/headers?close"))
        assert client.read_response().headers["connection"] == "close"
        assert client.read_to_end() == b""


@pytest.mark.parametrize("path", ["/fail", "/fail?start", "/fail?silent", "/headers?inject"])
def test_failing_application_is_500_in_the_shape_of_the_path(server: ServerProcess, path: str) -> None:
    response = server.ask(get(path))
    assert response.status == 500
    assert response.json()["error"]["message"]
    assert response.headers["x-patchbay-request-id"].startswith("req_")
    assert b"broken on purpose" not in response.body
    assert server.is_well()


@pytest.mark.parametrize("path", ["/fail?body", "/headers?short", "/headers?long"])
def test_broken_off_response_never_looks_complete(server: ServerProcess, path: str) -> None:
    with server.connect() as client:
        client.send(get(path))
        with pytest.raises((EOFError, ConnectionError)):
            client.read_response()
    assert server.is_well()


def test_failure_is_logged_with_its_traceback() -> None:
    with ServerProcess() as server:
        server.ask(get("/fail"))
        server.terminate()
        server.wait_exit()
        assert "RuntimeError: broken on purpose" in server.errors


@pytest.mark.parametrize("leave", [fin, reset, half_close])
def test_application_learns_at_once_that_its_client_left(server: ServerProcess, leave: object) -> None:
    before = server.count("http.disconnect")
    waiting = server.count("waiting")
    client = server.connect()
    client.send(post("/wait", b"x"))
    server.wait_for("waiting", number=waiting + 1)
    leave(client)  # type: ignore[operator]
    server.wait_for("http.disconnect", number=before + 1)
    client.socket.close()


def test_client_that_leaves_in_mid_request_is_no_error() -> None:
    with ServerProcess() as server:
        for part in (b"GE", head("POST / HTTP/1.1", "Host: test", "Content-Length: 9") + b"x"):
            for leave in (fin, reset, half_close):
                client = server.connect()
                client.send(part)
                leave(client)
                client.socket.close()
        assert server.is_well()
        server.terminate()
        assert server.wait_exit() == 0
        assert server.errors == ""
        assert server.count("rejected") == 0


def test_application_that_ignores_disconnect_is_stopped(server: ServerProcess) -> None:
    started, ended = server.count("deaf-started"), server.count("deaf-ended")
    with server.connect() as client:
        client.send(get("/deaf"))
        server.wait_for("deaf-started", number=started + 1)
    server.wait_for("deaf-ended", number=ended + 1)


def test_reader_that_stops_stops_the_application() -> None:
    """50 MB are offered; all buffers on the way together hold a small part of that."""
    with ServerProcess(limits={"stall_seconds": 60.0}) as server:
        with server.connect(receive_buffer=65536) as client:
            client.send(get("/big?50"))
            server.wait_for("sent")
            total = settled_total(server)
            assert total < 4 * 2**20
            assert server.is_well()
            response = client.read_response()
            assert len(response.body) == 50 * 2**20
        assert server.wait_for("big-ended")["total"] == 50 * 2**20


def test_reader_that_never_reads_is_cut_after_the_stall_limit() -> None:
    with ServerProcess(limits={"stall_seconds": 1.0}) as server:
        with server.connect(receive_buffer=65536) as client:
            client.send(get("/big?50"))
            server.wait_for("big-ended")  # nobody is left to wait for
            assert client.is_closed()
            assert client.received() < 4 * 2**20
        assert server.is_well()


def settled_total(server: ServerProcess) -> int:
    """How much the application could send before it had to wait: the count once it has stopped growing."""
    deadline, last, since = time.monotonic() + PATIENCE, -1, time.monotonic()
    while time.monotonic() < deadline:
        total = server.events[-1].get("total", 0)
        if total != last:
            last, since = total, time.monotonic()
        elif time.monotonic() - since > 0.7:
            return last
        time.sleep(0.02)
    raise AssertionError("the application was never stopped")
