"""Background work inside the event loop: named, referenced, with an empty context.

Rule: a task started while a request runs must not inherit that request's context. Django keeps a
thread-sensitive context there, and an ORM call made after the request ended raises in it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

logger = logging.getLogger("patchbay.tasks")
T = TypeVar("T")
_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Run `work` as a task of its own. A failure is logged with its traceback, never lost."""
    task = asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()):
        logger.error("Background task %s failed.", task.get_name(), exc_info=error)


_database_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="config-db")


async def in_database_thread(work: Callable[[], T]) -> T:
    """Run ORM work outside the event loop, in the one thread that is kept for it."""
    return await asyncio.get_running_loop().run_in_executor(_database_thread, work)
