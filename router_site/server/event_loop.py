"""The one place that knows in which order uvloop, Twisted's reactor and Daphne must be set up, and without what."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from router_site.server.daphne_server import PatchbayServer

# Twisted's TLS (ours is asyncio's), autobahn's compiled helpers for large WebSocket messages (ours are small) and its
# binary serializer and coloured terminal lines: together 8 MB and a seventh of a start's CPU. Each of them is optional
# where it is imported.
_LEFT_OUT = ("OpenSSL", "_nvx_utf8validator", "_nvx_xormasker", "cbor2", "click")


def load_server() -> type[PatchbayServer]:
    """Make uvloop the kind of loop this process creates, then import Daphne, which creates one at once."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    with _without(_LEFT_OUT):
        from router_site.server.daphne_server import PatchbayServer

    return PatchbayServer


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Importing one of these modules fails in here as if it were not installed; one that is imported already stays.

    Python's import system: a None in `sys.modules` stops the search.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
