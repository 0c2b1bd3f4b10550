"""Background work inside the event loop: named, referenced, with an empty context.

Rule: a task started while a request runs must not inherit that request's context. Django keeps a
thread-sensitive context there, and an ORM call made after the request ended raises in it. What runs as long as the
server is supervised: it is never silently dead.
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
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
SETTLED_SECONDS = 5.0  # a task that runs so long after a failure is well again
_running: set[asyncio.Task[Any]] = set()
_down: dict[str, str] = {}


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


def supervise(
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    name: str,
    first_pause: float = FIRST_PAUSE_SECONDS,
    settled: float = SETTLED_SECONDS,
) -> asyncio.Task[None]:
    """Run `work()` as a task, and start it anew whenever it fails: after `first_pause` seconds, doubling to a minute.

    Until it has run for `settled` seconds again, `task_problems()` tells of it. A return is no failure and ends it.
    """
    return spawn(_keep_alive(work, name, first_pause, settled), name=name)


async def _keep_alive(
    work: Callable[[], Coroutine[Any, Any, None]], name: str, first_pause: float, settled: float
) -> None:
    pause = first_pause
    loop = asyncio.get_running_loop()
    try:
        while True:
            began = loop.time()
            settling = loop.call_later(settled, _down.pop, name, None)
            try:
                return await work()
            except Exception as exc:
                pause = first_pause if loop.time() - began > settled + pause else pause
                _down[name] = type(exc).__name__
                logger.exception("Background task %s failed. It is started anew in %.3g s.", name, pause)
            finally:
                settling.cancel()
            await asyncio.sleep(pause)
            pause = min(pause * 2, max(first_pause, LONGEST_PAUSE_SECONDS))
    finally:
        _down.pop(name, None)


def task_problems() -> list[str]:
    """Which supervised tasks are down, in words for people; empty when none is."""
    return [
        f"background task {name} failed ({why}) and is started anew; the log says more"
        for name, why in sorted(_down.items())
    ]


_database_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="config-db")


async def in_database_thread(work: Callable[[], T]) -> T:
    """Run ORM work outside the event loop, in the one thread that is kept for it."""
    return await asyncio.get_running_loop().run_in_executor(_database_thread, work)
