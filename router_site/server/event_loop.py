"""The one place that knows in which order uvloop, Twisted's reactor and Daphne must be set up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from router_site.server.daphne_server import PatchbayServer


def load_server() -> type[PatchbayServer]:
    """Make uvloop the kind of loop this process creates, then import Daphne, which creates one at once."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    from router_site.server.daphne_server import PatchbayServer

    return PatchbayServer
