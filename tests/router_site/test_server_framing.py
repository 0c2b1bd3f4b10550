"""What the server makes of a request's bytes: whatever could be read in two ways is refused with 400."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.router_site.server_process import ServerProcess, get, head, post


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process


CHUNKED = ("POST /echo HTTP/1.1", "Host: test", "Transfer-Encoding: chunked")
BAD = {
    "both lengths": head("POST / HTTP/1.1", "Host: t", "Content-Length: 4", "Transfer-Encoding: chunked"),
    "two lengths": head("POST / HTTP/1.1", "Host: t", "Content-Length: 4", "Content-Length: 5"),
    "two equal lengths": head("POST / HTTP/1.1", "Host: t", "Content-Length: 4", "Content-Length: 4"),
    "length list": head("POST / HTTP/1.1", "Host: t", "Content-Length: 4, 4"),
    "signed length": head("POST / HTTP/1.1", "Host: t", "Content-Length: +4"),
    "negative length": head("POST / HTTP/1.1", "Host: t", "Content-Length: -1"),
    "hex length": head("POST / HTTP/1.1", "Host: t", "Content-Length: 0x4"),
    "empty length": head("POST / HTTP/1.1", "Host: t", "Content-Length:"),
    "unknown coding": head("POST / HTTP/1.1", "Host: t", "Transfer-Encoding: xchunked"),
    "identity coding": head("POST / HTTP/1.1", "Host: t", "Transfer-Encoding: identity"),
    "two codings": head("POST / HTTP/1.1", "Host: t", "Transfer-Encoding: gzip, chunked"),
    "space before colon": head("POST / HTTP/1.1", "Host: t", "Transfer-Encoding : chunked"),
    "chunked in 1.0": head("POST / HTTP/1.0", "Host: t", "Transfer-Encoding: chunked"),
    "chunk size 0x4": head(*CHUNKED) + b"0x4\r\nabcd\r\n0\r\n\r\n",
    "chunk size with space": head(*CHUNKED) + b" 4\r\nabcd\r\n0\r\n\r\n",
    "chunk size negative": head(*CHUNKED) + b"-4\r\nabcd\r\n0\r\n\r\n",
    "line feed in extension": head(*CHUNKED) + b"4;a\nb\r\nabcd\r\n0\r\n\r\n",
    "chunk too long": head(*CHUNKED) + b"4\r\nabcdef\r\n0\r\n\r\n",
    "endless size line": head(*CHUNKED) + b"4;" + b"a" * 2000,
    "line feed in trailer": head(*CHUNKED) + b"0\r\na: b\nc: d\r\n\r\n",
    "nul in value": head("GET / HTTP/1.1", "Host: t", "X-A: a\0b"),
    "vertical tab in value": head("GET / HTTP/1.1", "Host: t", "X-A: a\x0bb"),
    "next line in value": head("GET / HTTP/1.1", "Host: t", "X-A: a\x85b"),
    "bare return in value": head("GET / HTTP/1.1", "Host: t", "X-A: a\rb"),
    "bare feed in value": head("GET / HTTP/1.1", "Host: t", "X-A: a\nX-B: b"),
    "only line feeds": b"GET / HTTP/1.1\nHost: t\n\n",
    "folded line": head("GET / HTTP/1.1", "Host: t", "X-A: a", " b"),
    "no colon": head("GET / HTTP/1.1", "Host: t", "nonsense"),
    "empty name": head("GET / HTTP/1.1", "Host: t", ": v"),
    "path not ascii": head("GET /\xe9 HTTP/1.1", "Host: t"),
    "space in path": head("GET /a b HTTP/1.1", "Host: t"),
    "fragment": head("GET /#x HTTP/1.1", "Host: t"),
    "no slash": head("GET v1 HTTP/1.1", "Host: t"),
    "authority form": head("CONNECT evil:443 HTTP/1.1", "Host: evil:443"),
    "other host in target": head("GET http://evil/v1/models HTTP/1.1", "Host: t"),
    "http 9.9": head("GET / HTTP/9.9", "Host: t"),
    "http 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no host": head("GET / HTTP/1.1"),
    "two hosts": head("GET / HTTP/1.1", "Host: a", "Host: a"),
    "two keys": head("GET / HTTP/1.1", "Host: t", "Authorization: Bearer a", "authorization: Bearer b"),
    "two x-api-keys": head("GET / HTTP/1.1", "Host: t", "x-api-key: a", "X-Api-Key: a"),
    "two types": head("POST / HTTP/1.1", "Host: t", "Content-Type: a/b", "Content-Type: a/b"),
    "upgrade with a body": head(
        "GET /ws HTTP/1.1", "Host: t", "Upgrade: websocket", "Connection: Upgrade", "Content-Length: 5"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_ambiguous_request_is_refused_and_the_connection_closed(server: ServerProcess, name: str) -> None:
    with server.connect() as client:
        client.send(BAD[name] + get("/smuggled"))
        response = client.read_response()
        assert response.status == 400
        assert response.headers["connection"] == "close"
        assert response.json()["error"]["message"]
        assert client.read_to_end() == b""
    server.wait_for("rejected", request_id=response.headers["x-patchbay-request-id"])
    assert server.is_well()


@pytest.mark.parametrize(
    "name", ["both lengths", "chunk size 0x4", "only line feeds", "no host", "folded line"]
)
def test_verdict_does_not_depend_on_packets(server: ServerProcess, name: str) -> None:
    for at in range(1, len(BAD[name])):
        with server.connect() as client:
            client.send(BAD[name][:at])
            with contextlib.suppress(ConnectionError):
                client.send(BAD[name][at:])
            assert client.read_response().status == 400


@pytest.mark.parametrize(
    "request_bytes",
    [
        post("/echo", b"hello", "X-A: b"),
        head(*CHUNKED) + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
        b"\r\n" + post("/echo", b"hello"),
    ],
    ids=["length", "chunked", "blank line first"],
)
def test_good_request_is_read_alike_however_it_is_split(server: ServerProcess, request_bytes: bytes) -> None:
    with server.connect() as client:
        for at in range(1, len(request_bytes)):
            client.send_split(request_bytes, at)
            seen = client.read_response().json()
            assert (seen["path"], seen["length"]) == ("/echo", 5)


def test_one_byte_at_a_time(server: ServerProcess) -> None:
    with server.connect() as client:
        for byte in post("/echo", b"hello"):
            client.send(bytes([byte]))
        assert client.read_response().json()["length"] == 5


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(
            b"".join([get("/stream?0.2"), post("/a", b"x"), get("/b"), get("/c", "Connection: close")])
        )
        assert client.read_response().body.endswith(b"[end]\n")
        assert [client.read_response().json()["path"] for _ in range(3)] == ["/a", "/b", "/c"]
        assert client.read_to_end() == b""


def test_many_pipelined_requests_beyond_the_buffer(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(get("/stream?0.3") + get("/n") * 2000)
        client.read_response()
        for _ in range(2000):
            assert client.read_response().json()["path"] == "/n"


def test_a_bad_pipelined_request_does_not_touch_the_answer_before_it(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(get("/stream?0.2") + BAD["both lengths"])
        assert client.read_response().body.endswith(b"[end]\n")
        assert client.read_response().status == 400


def test_headers_arrive_lower_case_and_without_spaces(server: ServerProcess) -> None:
    seen = server.ask(get("/x%20y?a=%20b", "X-CaSe: \t v a l \t", "X-Twice: 1", "x-twice: 2")).json()
    assert (seen["path"], seen["query"]) == ("/x y", "a=%20b")
    assert [pair for pair in seen["headers"] if pair[0] != "host"] == [
        ["x-case", "v a l"],
        ["x-twice", "1"],
        ["x-twice", "2"],
    ]


def test_underscore_names_and_root_path_never_reach_the_application(server: ServerProcess) -> None:
    hidden = ("X_Forwarded_For: 1", "X-Api_Key: k", "Daphne-Root-Path: /admin")
    seen = server.ask(get("/admin/v1", *hidden)).json()
    assert [name for name, _ in seen["headers"]] == ["host"]
    assert seen["path"] == "/admin/v1"


def test_absolute_target_with_our_host_is_its_path(server: ServerProcess) -> None:
    seen = server.ask(head("GET http://TEST/a?b=c HTTP/1.1", "Host: test")).json()
    assert (seen["path"], seen["query"]) == ("/a", "b=c")
    assert server.ask(head("GET http://test HTTP/1.1", "Host: test")).json()["path"] == "/"


def test_options_of_the_whole_server(server: ServerProcess) -> None:
    assert server.ask(head("OPTIONS * HTTP/1.1", "Host: test")).json()["path"] == "*"


def test_http_1_0_is_answered_and_closed(server: ServerProcess) -> None:
    with server.connect() as client:
        client.send(head("GET /stream?0.05 HTTP/1.0", "Host: test"))
        response = client.read_response()
    assert response.headers["connection"] == "close"
    assert "transfer-encoding" not in response.headers
    assert response.body.endswith(b"[end]\n")


@pytest.mark.parametrize("option", ["close", "Close, X-Secret", "keep-alive, close"])
def test_connection_close_is_honoured(server: ServerProcess, option: str) -> None:
    with server.connect() as client:
        client.send(get("/", f"Connection: {option}"))
        assert client.read_response().headers["connection"] == "close"
        assert client.read_to_end() == b""


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/messages", "anthropic"),
        ("/messages/count_tokens?beta=true", "anthropic"),
        ("/v1/messagesx", "openai"),
        ("/v1/chat/completions", "openai"),
    ],
)
def test_refusal_has_the_shape_of_the_path(server: ServerProcess, path: str, shape: str) -> None:
    response = server.ask(head(f"POST {path} HTTP/1.1", "Host: t", "Content-Length: x"))
    body = json.loads(response.body)
    assert response.headers["content-type"] == "application/json"
    assert ("type" in body) == (shape == "anthropic")
    noted = server.wait_for("rejected", request_id=response.headers["x-patchbay-request-id"])
    assert (noted["method"], noted["path"], noted["peer"]) == ("POST", path.partition("?")[0], "loopback")
