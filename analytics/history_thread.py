"""The one thread in which the event loop has the history read, so that a long look at it holds up nobody else.

Rule: the history's own rows are written by the recorder's thread; this one is for what endpoints ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-reader")


async def in_history_thread(work: Callable[[], T]) -> T:
    """Run work on the history database outside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_thread, work)
