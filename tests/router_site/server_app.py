"""A server in a process of its own, with a plain ASGI application.

Run as `python -m tests.router_site.server_app JSON`.

Twisted's reactor exists once per process, so each test server gets its own. It reports what happens as JSON
lines on stdout: {"event": "ready", "port": …}, {"event": "rejected", …}, and what the application notes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
import time
from typing import Any

from proxyapp.drain import SHUTDOWN
from router_site.refusals import Refusal
from router_site.server import BindError, Limits, bind, serve

CHUNK = 64 * 1024


def note(event: str, **details: Any) -> None:
    """One line for the test to read."""
    sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
    sys.stdout.flush()


async def read_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send: Any, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """What arrived, as JSON."""
    body = await read_body(receive)
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    await respond(send, json.dumps(seen).encode(), 200, (b"content-type", b"application/json"))


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Ticks every 20 ms for `?SECONDS`, then `[end]`; on shutdown `[error]` instead."""
    await read_body(receive)
    note("stream-started")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    shutdown, deadline = SHUTDOWN.event(), time.monotonic() + float(scope["query_string"])
    while time.monotonic() < deadline and not shutdown.is_set():
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
        await asyncio.sleep(0.02)
    last = b"[error]\n" if shutdown.is_set() else b"[end]\n"
    await send({"type": "http.response.body", "body": last})


async def big(scope: Any, receive: Any, send: Any) -> None:
    """`?MEGABYTES` in pieces, counting those that were accepted."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    total = 0
    try:
        for _ in range(int(scope["query_string"]) * 16):
            await send({"type": "http.response.body", "body": b"x" * CHUNK, "more_body": True})
            total += CHUNK
            note("sent", total=total)
        await send({"type": "http.response.body", "body": b""})
    finally:
        note("big-ended", total=total)


async def whole(scope: Any, receive: Any, send: Any) -> None:
    """`?MEGABYTES` in one message."""
    await respond(send, b"y" * int(scope["query_string"]) * 2**20)


async def wait(scope: Any, receive: Any, send: Any) -> None:
    """Waits for http.disconnect and tells when it came."""
    await read_body(receive)
    note("waiting")
    message = await receive()
    note(message["type"])


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Hears nothing; only cancelling ends it."""
    note("deaf-started")
    try:
        await asyncio.sleep(3600)
    finally:
        note("deaf-ended")


async def fail(scope: Any, receive: Any, send: Any) -> None:
    """Raises, after `?start` or `?body` has been sent if that is asked for."""
    when = scope["query_string"]
    if when in (b"start", b"body"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
    if when == b"body":
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
    if when != b"silent":
        raise RuntimeError("broken on purpose")


async def headers(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what the query says: a status, and whether a length is declared or lied about."""
    kind = scope["query_string"]
    if kind == b"204":
        await respond(send, b"", 204)
    elif kind == b"inject":
        await respond(send, b"", 200, (b"x-a", b"1\r\nx-b: 2"))
    elif kind == b"short":
        await respond(send, b"abc", 200, (b"content-length", b"10"))
    elif kind == b"long":
        await respond(send, b"abcdef", 200, (b"content-length", b"3"))
    elif kind == b"close":
        await respond(send, b"bye", 200, (b"Connection", b"close"))
    else:
        await respond(send, b"plain", 200, (b"Transfer-Encoding", b"gzip"), (b"X-Upper", b"1"))


ROUTES = {
    "/stream": stream,
    "/big": big,
    "/whole": whole,
    "/wait": wait,
    "/deaf": deaf,
    "/fail": fail,
    "/headers": headers,
}


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    """Echoes text; `flood` is answered with messages until the client is gone."""
    await receive()
    if scope["path"] == "/ws/refused":
        await send({"type": "websocket.close", "code": 4403})
        return
    note("websocket", headers=[name.decode() for name, _ in scope["headers"]], root_path=scope["root_path"])
    await send({"type": "websocket.accept"})
    message: Any = {}
    try:
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "flood":
                await flood(send)
            if message["text"] == "sleep":
                await asyncio.sleep(3600)
            await send({"type": "websocket.send", "text": message["text"]})
    finally:
        note("websocket-ended", code=message.get("code"))


async def flood(send: Any) -> None:
    """Messages for as long as the client takes them."""
    count = 0
    while True:
        await send({"type": "websocket.send", "text": "z" * 30_000})
        count += 30_000
        if count < 20_000_000:
            note("sent", total=count)


async def application(scope: Any, receive: Any, send: Any) -> None:
    run = websocket if scope["type"] == "websocket" else ROUTES.get(scope["path"], echo)
    await run(scope, receive, send)


def admit(scope: Any) -> Refusal | None:
    """Refuses before the body whoever says `x-unwanted`."""
    return Refusal(401, "unwanted") if any(name == b"x-unwanted" for name, _ in scope["headers"]) else None


def rejected(method: str, path: str, status: int, message: str, request_id: str, peer: str) -> None:
    note(
        "rejected", method=method, path=path, status=status, message=message, request_id=request_id, peer=peer
    )


async def stopped() -> None:
    note("stopped")


def main() -> int:
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    limits = Limits(**options.get("limits", {}))
    host, port = options.get("host", "127.0.0.1"), options.get("port", 0)
    listener = None
    if not port:
        try:
            listener = bind(host, 0, socket_buffer=limits.socket_buffer)
        except BindError as exc:
            sys.stderr.write(f"{exc}\n")
            return 1
        port = listener.getsockname()[1]
    return serve(
        application,
        host=host,
        port=port,
        limits=limits,
        drain_seconds=options.get("drain", 5),
        on_ready=lambda: note("ready", port=port),
        on_drain=lambda: note("drain"),
        on_shutdown=lambda: note("shutdown"),
        on_stop=stopped,
        on_rejected=rejected,
        admit=admit,
        listener=listener,
    )


if __name__ == "__main__":
    sys.exit(main())
