"""The gate before a small application, for any ASGI server: `uvicorn tests.router_site.gate_app:application`."""

from __future__ import annotations

import os
from typing import Any

from router_site.gate import Gate
from router_site.gate_config import GateConfig


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["patchbay"]["peer"]})
        await send({"type": "websocket.close"})
        return
    if scope["type"] == "http":
        body = f"{scope['path']} {scope['patchbay']['peer']}".encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


application = Gate(inner, GateConfig.make(host="127.0.0.1", port=int(os.environ["GATE_PORT"])))
