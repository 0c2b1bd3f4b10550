"""Network calls from sync code: commands and admin buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from backends.upstream import current_upstream

T = TypeVar("T")


def run_online(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in an event loop of its own, and close that loop's connections at the end.

    For threads without a running loop. `work` must not touch the database: SQLite connections and
    Django's checks belong to the calling thread.
    """

    async def run() -> T:
        try:
            return await work
        finally:
            await current_upstream().aclose()

    return asyncio.run(run())
