"""A client that sees bytes: raw sockets against the simulator, for what no HTTP library would show."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from typing import Any

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


@dataclass(slots=True)
class Received:
    """What came until the end. `ended`: eof, reset, or open (nothing more within the timeout)."""

    raw: bytes
    ended: str
    _head: bytes = field(init=False, default=b"")

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        """The body without chunked framing; what came of it, if it was cut."""
        body = self.raw.partition(b"\r\n\r\n")[2]
        return dechunk(body) if "transfer-encoding: chunked" in self.head else body

    @property
    def finished(self) -> bool:
        """A chunked body came to its last chunk."""
        return self.raw.endswith(b"0\r\n\r\n")

    def header(self, name: str) -> list[str]:
        lines = (line.partition(": ") for line in self.head.split("\r\n")[1:])
        return [value for key, _, value in lines if key == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> list[str]:
        """The data lines of an event stream."""
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]


def dechunk(data: bytes) -> bytes:
    """Chunked framing off, up to the first thing that is no chunk."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        try:
            length = int(size, 16)
        except ValueError:
            break
        body += data[:length]
        data = data[length + 2 :]
    return body


def request(
    kind: str = "chat", *, model: str = "m", key: str = "sk-test", stream: bool = True, close: bool = False
) -> bytes:
    """A complete request of this kind."""
    body: dict[str, Any] = {"model": model, "stream": stream, "max_tokens": 500}
    said = [{"role": "user", "content": "Hello there"}]
    body["input" if kind == "responses" else "messages"] = said
    return post(PATHS[kind], json.dumps(body).encode(), key=key, close=close)


def post(path: str, body: bytes, *, key: str = "sk-test", close: bool = False) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: sim",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(["connection: close"] if close else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def connect(url: str, timeout: float = 10.0) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout)


def read_all(connection: socket.socket, quiet: float = 10.0) -> Received:
    """Read until the server ends, or nothing comes for `quiet` seconds."""
    connection.settimeout(quiet)
    raw = b""
    try:
        while data := connection.recv(65536):
            raw += data
    except TimeoutError:
        return Received(raw, "open")
    except ConnectionResetError:
        return Received(raw, "reset")
    return Received(raw, "eof")


def exchange(url: str, sent: bytes, quiet: float = 10.0) -> Received:
    """One request on a connection of its own."""
    with connect(url) as connection:
        connection.sendall(sent)
        return read_all(connection, quiet)


def ask(url: str, kind: str = "chat", *, quiet: float = 10.0, **asked: Any) -> Received:
    """Ask with `Connection: close`, so that a whole answer ends with the connection."""
    return exchange(url, request(kind, close=True, **asked), quiet)
