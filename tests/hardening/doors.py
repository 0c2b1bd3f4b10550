"""A running Patchbay as an attacker has it: raw sockets, every header as it is written here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from tests.patchbay import Patchbay
from tests.router_site.server_process import Client, Response, head

# What steers a terminal or turns a line round, and may stand in nothing that a person looks at.
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Door:
    """One request on a connection of its own. `host` and lengths are right unless a header says otherwise."""

    def __init__(self, patchbay: Patchbay) -> None:
        self.patchbay = patchbay
        self.host = f"127.0.0.1:{patchbay.port}"

    def ask(self, request: bytes) -> Response:
        """Send raw bytes, read one answer."""
        with self.connect() as client:
            client.send(request)
            return client.read_response()

    def connect(self) -> Client:
        """A connection."""
        return Client(self.patchbay.port)

    def get(self, path: str, *headers: str, method: str = "GET") -> Response:
        """A request without a body."""
        with self.connect() as client:
            client.send(self.head(method, path, *headers))
            return client.read_response(head_only=method == "HEAD")

    def post(self, path: str, body: object, *headers: str) -> Response:
        """A request with a body: bytes as they are, all else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = () if any(line.lower().startswith("content-type:") for line in headers) else (JSON,)
        return self.ask(self.head("POST", path, f"Content-Length: {len(data)}", *kind, *headers) + data)

    def head(self, method: str, path: str, *headers: str) -> bytes:
        """The head of a request, with our Host unless one is given."""
        hosts = () if _names(headers) & {"host"} else (f"Host: {self.host}",)
        return head(f"{method} {path} HTTP/1.1", *hosts, *headers)


JSON = "Content-Type: application/json"


def _names(headers: Iterable[str]) -> set[str]:
    return {line.partition(":")[0].lower() for line in headers}


def chat(model: str = "demo", **fields: object) -> dict[str, object]:
    """A chat request."""
    return {"model": model, "messages": [{"role": "user", "content": "ping"}], **fields}


def message(model: str = "demo", **fields: object) -> dict[str, object]:
    """A messages request."""
    return {**chat(model), "max_tokens": 20, **fields}
