"""Static files for the pages, served outside Django: a sync middleware would hold a thread for each request.

The files come from the apps themselves (no `collectstatic` step) and are looked up at the first request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders

from router_site.server.hub import Receive, Scope, Send


class StaticFiles:
    """ASGI application for everything below STATIC_URL."""

    def __init__(self) -> None:
        self._server: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._server is None:
            self._server = await asyncio.to_thread(_server)
        await self._server(scope, receive, send)


def _server() -> Any:
    """ServeStatic over every app's files; 404 for the rest."""
    from servestatic import ServeStaticASGI  # at the first page: the import takes 40 ms of every start

    server = ServeStaticASGI(None, max_age=3600)
    for finder in get_finders():
        for storage in getattr(finder, "storages", {}).values():
            server.add_files(storage.location, prefix=settings.STATIC_URL)
    return server
