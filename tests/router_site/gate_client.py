"""Asks the gate without a server: one request in, what came out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from router_site.gate import Gate
from router_site.gate_config import GateConfig

CONFIG = GateConfig.make(host="127.0.0.1", port=3456)
OUR_HOST = "127.0.0.1:3456"


class Seen:
    """What came out of the gate: whether the application was called, and the answer."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] | None = None
        self.sent: list[dict[str, Any]] = []
        self.rejected: list[tuple[Any, ...]] = []

    @property
    def passed(self) -> bool:
        return self.scope is not None

    @property
    def status(self) -> int:
        return int(self.sent[0].get("status", 403))

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0].get("headers", [])}

    def json(self) -> Any:
        return json.loads(self.sent[1]["body"])


async def ask(
    target: str = "/v1/models",
    *headers: str,
    method: str = "GET",
    host: str | None = OUR_HOST,
    client: tuple[str, int] | None = ("127.0.0.1", 5000),
    server: tuple[str, int] = ("127.0.0.1", 3456),
    config: GateConfig = CONFIG,
    kind: str = "http",
    extensions: dict[str, Any] | None = None,
) -> Seen:
    """Send one request through a gate."""
    lines = [*([f"host: {host}"] if host is not None else []), *headers]
    pairs = [line.split(": ", 1) for line in lines]
    scope: dict[str, Any] = {
        "type": kind,
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        "client": client,
        "server": server,
    }
    if kind == "http":
        scope["method"] = method
    if extensions is not None:
        scope["extensions"] = extensions
    return await _passed(scope, config)


async def _passed(scope: dict[str, Any], config: GateConfig) -> Seen:
    """What comes of a request, in front of an application that answers 200."""
    seen = Seen()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.scope = scope
        if scope["type"] == "http":
            headers = [(b"x-patchbay-lane", b"direct")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect" if scope["type"] == "websocket" else "http.request"}

    async def send(message: Any) -> None:
        seen.sent.append(message)

    gate = Gate(application, config, on_rejected=lambda *details: seen.rejected.append(details))
    await gate(scope, receive, send)
    return seen
