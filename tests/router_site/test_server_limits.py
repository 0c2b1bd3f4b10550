"""How much, and how slowly, a client may send before it is refused: 413, 414, 417, 431, 408, 503."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.router_site.server_process import ServerProcess, get, head, post

LIMIT = 1_000_000
CHUNKED = head("POST /v1/messages HTTP/1.1", "Host: test", "Transfer-Encoding: chunked")


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(limits={"max_body": LIMIT, "max_bodies_in_flight": 3 * LIMIT}) as process:
        yield process


@pytest.fixture(scope="module")
def impatient() -> Iterator[ServerProcess]:
    """A server whose deadlines are short."""
    limits = {"header_seconds": 0.6, "body_seconds": 0.6, "keep_alive_seconds": 0.6, "linger_seconds": 0.5}
    with ServerProcess(limits=limits) as process:
        yield process


def declared(size: int, *headers: str) -> bytes:
    return head("POST /v1/messages HTTP/1.1", "Host: test", f"Content-Length: {size}", *headers)


def test_body_at_the_limit_passes(server: ServerProcess) -> None:
    assert server.ask(post("/", b"x" * LIMIT)).json()["length"] == LIMIT


@pytest.mark.parametrize("size", [LIMIT + 1, 10**12, 10**40])
def test_declared_body_above_the_limit_is_refused_before_it_is_read(server: ServerProcess, size: int) -> None:
    response = server.ask(declared(size))
    assert response.status == 413
    assert response.headers["connection"] == "close"
    assert response.json()["error"]["type"] == "request_too_large"


def test_client_that_sends_all_the_same_still_reads_its_413(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(declared(LIMIT + 1) + b"x" * 900_000)
        assert client.read_response().status == 413
        assert client.is_closed()


def test_client_that_never_stops_sending_is_cut(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(declared(10**9))
        assert client.read_response().status == 413
        with pytest.raises(ConnectionError):
            client.send_for_ever()


def test_chunked_body_is_counted(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(CHUNKED + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 31)
        assert client.read_response().status == 413


def test_chunk_that_announces_too_much_is_refused_at_once(server: ServerProcess) -> None:
    assert server.ask(CHUNKED + b"FFFFFFFFFFFFFFF\r\n").status == 413


def test_body_of_tiny_chunks_is_refused(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(CHUNKED + b"1\r\nx\r\n" * 70_000)
        assert client.read_response().status == 400
    assert server.is_well()


def test_moderate_number_of_tiny_chunks_passes(server: ServerProcess) -> None:
    response = server.ask(CHUNKED + b"1\r\nx\r\n" * 5_000 + b"0\r\n\r\n")
    assert response.json()["length"] == 5_000


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/", *[f"X-{number}: v" for number in range(501)]), 431),
        (get("/", "X-A: " + "a" * 17 * 1024), 431),
        (get("/", "Cookie: " + "a=b; " * 13_000), 431),
        (get("/", *[f"X-{number}: " + "a" * 8_000 for number in range(10)]), 431),
        (get("/" + "a" * 17_000), 414),
        (get("/", "Expect: magic"), 417),
    ],
    ids=["count", "line", "cookie", "block", "target", "expectation"],
)
def test_oversized_head_is_refused_with_a_status(
    server: ServerProcess, request_bytes: bytes, status: int
) -> None:
    response = server.ask(request_bytes)
    assert response.status == status
    assert response.json()["error"]["message"]
    assert server.is_well()


def test_head_without_an_end_is_refused(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 17_000)
        assert client.read_response().status == 431


def test_continue_is_sent_before_the_body(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(declared(5, "Expect: 100-continue"))
        assert client.read_response().status == 100
        client.send(b"hello")
        assert client.read_response().json()["length"] == 5


def test_refused_body_is_not_asked_for(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(declared(LIMIT + 1, "Expect: 100-continue"))
        assert client.read_response().status == 413


def test_admit_refuses_before_the_body(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(declared(5, "X-Unwanted: 1", "Expect: 100-continue"))
        response = client.read_response()
    assert response.status == 401
    server.wait_for("rejected", request_id=response.headers["x-patchbay-request-id"], status=401)


def test_bodies_in_flight_are_bounded_and_given_back(server: ServerProcess) -> None:
    holding = [server.connect() for _ in range(3)]
    for client in holding:
        client.send(declared(LIMIT) + b"x" * (LIMIT - 1))
        server.ask(get("/"))  # in the same loop: what was sent before is likely read
    deadline = time.monotonic() + 20
    while (response := server.ask(post("/", b"y" * LIMIT))).status != 503:
        assert time.monotonic() < deadline
    assert response.headers["connection"] == "close"
    for client in holding:
        client.send(b"x")
        assert client.read_response().json()["length"] == LIMIT
        client.socket.close()
    assert server.ask(post("/", b"y" * LIMIT)).status == 200


def test_slow_head_gets_408(impatient: ServerProcess) -> None:
    with impatient.connect() as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nHo")
        response = client.read_response()
    assert response.status == 408
    assert response.json()["type"] == "error"
    impatient.wait_for("rejected", request_id=response.headers["x-patchbay-request-id"], path="/v1/messages")


def test_dripping_head_gets_408_although_it_never_pauses(impatient: ServerProcess) -> None:
    with impatient.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        client.socket.settimeout(0.05)
        answered = b""
        for _ in range(400):
            client.send(b"X-A: b\r\n")
            try:
                answered = client.socket.recv(65536)
                break
            except TimeoutError:
                continue
        assert b" 408 " in answered.partition(b"\r\n")[0]


@pytest.mark.parametrize("start", [declared(100) + b"half", CHUNKED + b"5\r\nhel"], ids=["length", "chunked"])
def test_slow_body_gets_408(impatient: ServerProcess, start: bytes) -> None:
    with impatient.connect() as client:
        client.send(start)
        assert client.read_response().status == 408


def test_large_body_has_more_time(impatient: ServerProcess) -> None:
    """At 16 KiB/s, 64 KiB are allowed four seconds more."""
    with impatient.connect() as client:
        client.send(declared(65536) + b"x")
        time.sleep(1.5)
        client.send(b"x" * 65535)
        assert client.read_response().json()["length"] == 65536


def test_silent_connection_is_closed_without_an_answer(impatient: ServerProcess) -> None:
    before = impatient.count("rejected")
    with impatient.connect() as client:
        assert client.read_to_end() == b""
    assert impatient.count("rejected") == before


def test_idle_kept_connection_is_closed(impatient: ServerProcess) -> None:
    with impatient.connect() as client:
        client.send(get("/"))
        assert client.read_response().status == 200
        assert client.read_to_end() == b""


def test_deadlines_do_not_touch_a_running_response(impatient: ServerProcess) -> None:
    with impatient.connect() as client:
        client.send(get("/stream?2"))
        assert client.read_response().body.endswith(b"[end]\n")


def test_connections_are_bounded() -> None:
    with ServerProcess(limits={"max_connections": 3}) as server:
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(get("/"))
            assert client.read_response().status == 200
        with server.connect() as client:
            assert client.read_response().status == 503
        clients.pop().socket.close()
        deadline = time.monotonic() + 20
        while server.ask(get("/")).status != 200:
            assert time.monotonic() < deadline
