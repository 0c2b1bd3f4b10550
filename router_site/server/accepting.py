"""Accepting connections when several workers listen on one socket: the one that holds the fewest takes the next.

Left alone, the event loop that wakes first empties the whole queue: of 64 clients that come together one worker may get
all, and clients stay where they are. Here each worker sees how many connections every other holds. One that does not
hold the fewest leaves a connection to the others for a moment; if it is still there then, the others are busy, and it
takes it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from backends.tasks import spawn
from router_site.crowd import ABSENT, Crowd

logger = logging.getLogger("patchbay.server")
MANNERS_SECONDS = 0.005  # so long a connection is left to the others
ERROR_SECONDS = 1.0  # before another try when the system has no file descriptor to spare


class Acceptor:
    """One worker's end of the listening socket. `held`: how many connections it has now."""

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        crowd: Crowd,
        number: int,
        held: Callable[[], int],
    ) -> None:
        self._listener, self._factory = listener, factory
        self._crowd, self._number, self._held = crowd, number, held
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._is_open = True
        self._loop.add_reader(listener, self._offered)
        self.tell()

    def tell(self) -> None:
        """Let the others know how many connections are held here. To be called now and then."""
        if self._is_open:
            self._crowd.say(self._number, self._held())

    def close(self) -> None:
        """Take no more."""
        self._is_open = False
        self._crowd.say(self._number, ABSENT)
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _offered(self) -> None:
        self.tell()
        if self._held() > self._crowd.fewest():
            self._wait(MANNERS_SECONDS)
        else:
            self._take()

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._offered)
        self._take()

    def _take(self) -> None:
        """One connection, if it is still there."""
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as exc:
            logger.error(
                "No connection can be accepted now (%s); it is tried again in a second.", exc.strerror
            )
            self._wait(ERROR_SECONDS)
            return
        sock.setblocking(False)
        spawn(self._connect(sock), name="server-accept")

    async def _connect(self, sock: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._factory, sock)
        self.tell()
