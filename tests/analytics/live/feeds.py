"""Readers of the live feed, over TCP: server-sent events, and the live page's WebSocket."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.operator import Operator
from tests.patchbay import Patchbay

SECONDS = 10


class EventStream:
    """`with EventStream(patchbay) as stream: stream.record(id)`."""

    def __init__(self, patchbay: Patchbay, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", patchbay.port, timeout=SECONDS)
        self._connection.request("GET", "/analytics/stream", headers=dict(headers or {}))
        self.response = self._connection.getresponse()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def parts(self) -> Iterator[dict[str, str]]:
        """Each event or comment as its fields, until the server ends the stream."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            name, _, value = line.decode().rstrip("\n").partition(":")
            if line == b"\n":
                yield fields
                fields = {}
            else:
                fields[name] = value.strip()

    def record(self, request_id: str) -> dict[str, Any]:
        """Wait for the record of this request."""
        for fields in self.parts():
            if fields.get("id") == request_id:
                found: dict[str, Any] = json.loads(fields["data"])
                return found
        raise AssertionError("the stream ended")


class LivePage:
    """The socket of a live page. `with LivePage(operator) as page: page.wait_for(…)`."""

    socket: ClientConnection
    snapshot: dict[str, Any]

    query = ""

    def __init__(self, operator: Operator, headers: Mapping[str, str] | None = None) -> None:
        self._url = f"ws://127.0.0.1:{operator.patchbay.port}/ws/live{self.query}"
        self._headers = {**operator.headers, "origin": operator.patchbay.url, **(headers or {})}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        told = connect(self._url, additional_headers=self._headers, proxy=None, open_timeout=SECONDS)
        self.socket = self._stack.enter_context(told)
        self.begin()
        return self

    def begin(self) -> None:
        """What comes first."""
        self.snapshot = self.wait_for("snapshot")

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def heard(self) -> dict[str, Any]:
        """The next message."""
        found: dict[str, Any] = json.loads(self.socket.recv(timeout=SECONDS))
        return found

    def wait_for(
        self, kind: str, fits: Callable[[dict[str, Any]], object] = lambda message: True
    ) -> dict[str, Any]:
        """The next message of a kind that fits."""
        while True:
            message = self.heard()
            if message["type"] == kind and fits(message):
                return message

    def ended(self, request_id: str) -> dict[str, Any]:
        """Wait for the end of this request; its record."""
        message = self.wait_for("ended", lambda message: message["request"]["id"] == request_id)
        found: dict[str, Any] = message["request"]
        return found

    def knows(self, request_id: str, *, seconds: float = 0.5) -> bool:
        """Whether the end of this request comes within this time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = json.loads(self.socket.recv(timeout=left))
            except TimeoutError:
                return False
            if message["type"] == "ended" and message["request"]["id"] == request_id:
                return True
        return False

    def wish(self, **wish: object) -> None:
        """Ask for something."""
        self.socket.send(json.dumps(wish))


class NewsPage(LivePage):
    """The socket of a page that looks for itself: `news`, and nothing else."""

    query = "?news"

    def begin(self) -> None:
        """Nothing: such a page has just been loaded."""

    def news(self) -> float:
        """Wait for some; the moment at which they came."""
        assert self.heard() == {"type": "news"}
        return time.monotonic()

    def more_news(self, seconds: float) -> float | None:
        """The same; None where none come within this time."""
        try:
            self.socket.recv(timeout=seconds)
        except TimeoutError:
            return None
        return time.monotonic()
