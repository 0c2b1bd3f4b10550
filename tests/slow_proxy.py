"""A TCP proxy that is late, or silent, when it is told so. For servers that are slow without being broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

_CHUNK = 2**16


class SlowProxy:
    """`delay`: seconds by which everything comes later, in each direction; `answer_delay`: answers alone, besides.

    `silenced`: a connection on which one of these words has passed passes nothing more on.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = self.answer_delay = 0.0
        self.silenced: tuple[bytes, ...] = ()
        self.connections = 0
        self.port = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more connection."""
        self.connections += 1
        self._start(self._serve(reader, writer))

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            both = (writer, there_writer)
            self._start(self._pass_on(reader, there_writer, both))
            await self._pass_on(there_reader, writer, both)
        writer.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        """Late, but in order, and as many at once as come."""
        loop, seen, due = asyncio.get_running_loop(), b"", 0.0
        try:
            while data := await reader.read(_CHUNK):
                seen = (seen + data)[:_CHUNK]
                if any(word in seen for word in self.silenced):
                    continue
                delay = self.delay + (self.answer_delay if writer is both[0] else 0.0)
                due = max(due + 1e-6, loop.time() + delay)
                loop.call_at(due, _write, writer, data)
        except OSError:
            pass
        finally:
            for end in both:
                end.close()


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


@asynccontextmanager
async def slow_proxy(port: int) -> AsyncIterator[SlowProxy]:
    """A proxy before a port of this machine, on a free port."""
    proxy = SlowProxy(port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
