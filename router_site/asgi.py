"""The ASGI application: gate, then the API's lean handler, static files or Django's pages; and the live WebSocket.

It depends on no server: nothing here needs lifespan events, and everything is made at its first use.
"""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import Any

os.umask(0o077)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")

from django.core.asgi import get_asgi_application  # noqa: E402  (settings first)

_pages: Any = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402
from django.conf import settings  # noqa: E402

from router_site.gate import Gate  # noqa: E402
from router_site.gate_config import GateConfig  # noqa: E402
from router_site.handler import ApiHandler  # noqa: E402
from router_site.live_socket import LiveSocket  # noqa: E402
from router_site.rejections import record_rejection  # noqa: E402
from router_site.runtime import runtime  # noqa: E402
from router_site.server.hub import Application, Receive, Scope, Send  # noqa: E402
from router_site.static_files import StaticFiles  # noqa: E402

_api: Application = ApiHandler()
_static: Application = StaticFiles()
_live: Application = SessionMiddlewareStack(LiveSocket.as_asgi())
PAGES = ("/admin/", "/dashboard/")
STREAMED = "/dashboard/playground/run"  # a page's stream: Django's own handler would hold threads for it


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Which of the applications answers a path."""
    if not runtime.is_running:
        await runtime.ensure()
    path: str = scope["path"]
    if path == STREAMED:
        await _api(scope, receive, send)
    elif path.startswith(PAGES) or path in ("/admin", "/dashboard"):
        # A fifth of a second at their first use, which no running request should have to wait for.
        await asyncio.to_thread(import_module, settings.ROOT_URLCONF)
        await _pages(scope, receive, send)
    elif path.startswith(settings.STATIC_URL):
        await _static(scope, receive, send)
    else:
        await _api(scope, receive, send)


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """The live page's; any other is refused before it is accepted."""
    if scope["path"] == "/ws/live":
        if not runtime.is_running:
            await runtime.ensure()
        await _live(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.close", "code": 1008})


application = Gate(
    ProtocolTypeRouter({"http": http, "websocket": websocket}),
    GateConfig.from_settings(),
    on_rejected=record_rejection,
)
