"""Whether this process is leaving: set by the server, read by `/readyz`, running streams and live feeds.

Two moments, in this order: draining (no new work; what runs may finish) and shutdown (time is up; a running
stream sends its error event and ends). Both can be polled, or awaited from any event loop.
"""

from __future__ import annotations

import asyncio
import weakref


class Moment:
    """Something that happens at most once in the life of a process, and can be awaited in every event loop."""

    def __init__(self) -> None:
        self._happened = False
        self._events: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Event] = (
            weakref.WeakKeyDictionary()
        )

    def has_come(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def event(self) -> asyncio.Event:
        """An event of the running loop that is set once the moment has come. Do not set it yourself."""
        loop = asyncio.get_running_loop()
        event = self._events.get(loop)
        if event is None:
            event = self._events[loop] = asyncio.Event()
            if self._happened:
                event.set()
        return event

    def come(self) -> None:
        """It happens now. Called from the event loop whose waiters shall wake."""
        self._happened = True
        for event in list(self._events.values()):
            event.set()

    def reset(self) -> None:
        """As if it had never happened: for a second server in one process, and for tests."""
        self._happened = False
        self._events.clear()


DRAINING = Moment()
SHUTDOWN = Moment()


def draining() -> bool:
    """Whether new work is refused: `/readyz` says 503, endless feeds end."""
    return DRAINING.has_come()
