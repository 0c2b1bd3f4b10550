"""A server on loopback that does exactly what a test scripts, byte by byte, also what no library would do.

    async with RawServer(script) as server:
        ... server.base, server.port, server.connections

`script(connection)` runs once per accepted connection. When it returns, the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from backends.addresses import BaseUrl, check_base_url


@dataclass(frozen=True, slots=True)
class RawRequest:
    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    def header(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        lines = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [value.strip() for key, _, value in lines if key.lower() == name.lower()]


class RawConnection:
    """One accepted connection, in the hands of the script."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number  # 0 for the first one that was accepted
        self.requests: list[RawRequest] = []
        self.bytes_sent = 0
        self.ended = asyncio.Event()  # the other side closed or reset, or the script returned

    async def request(self) -> RawRequest:
        """The next whole request. Raises IncompleteReadError if the other side closes instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        request = RawRequest(head, b"")
        if length := request.header(b"content-length"):
            request = RawRequest(head, await self.reader.readexactly(int(length[0])))
        self.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        self.bytes_sent += len(data)

    async def answer(self, body: bytes, *headers: bytes, status: bytes = b"200 OK") -> None:
        """A well-formed answer with a length."""
        lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
        await self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def gone(self) -> None:
        """Wait until the other side has closed or reset; what it still sends is thrown away."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.ended.set()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[RawConnection], Awaitable[None]]


class RawServer:
    """Listens on 127.0.0.1 while its block runs. A script that fails by itself fails the test."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.connections: list[RawConnection] = []
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    @property
    def base(self) -> BaseUrl:
        return check_base_url(f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}")

    @property
    def requests(self) -> list[RawRequest]:
        return [request for connection in self.connections for request in connection.requests]

    async def connection(self, number: int = 0) -> RawConnection:
        """The n-th accepted connection, as soon as there is one."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.connections) > number)
        return self.connections[number]

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._tls, limit=2**20)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for outcome in outcomes:
            if error is None and isinstance(outcome, Exception):
                raise outcome

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RawConnection(reader, writer, len(self.connections))
        self.connections.append(connection)
        async with self._arrived:
            self._arrived.notify_all()
        run = asyncio.get_running_loop().create_task(self._run(connection))
        self._tasks.add(run)

    async def _run(self, connection: RawConnection) -> None:
        try:
            await self._script(connection)
            connection.writer.close()
        except (asyncio.IncompleteReadError, ConnectionError):
            connection.writer.transport.abort()
        finally:
            connection.ended.set()


def repeated(answer: Callable[[RawConnection, RawRequest], Awaitable[None]]) -> Script:
    """A script that gives every request on a connection the same treatment."""

    async def script(connection: RawConnection) -> None:
        while True:
            await answer(connection, await connection.request())

    return script


def says(*parts: bytes) -> Script:
    """Take the request, send these parts one by one, close."""

    async def script(connection: RawConnection) -> None:
        await connection.request()
        for part in parts:
            await connection.send(part)
            await asyncio.sleep(0)

    return script


def says_and_stays(*parts: bytes) -> Script:
    """The same, but leave the closing to the other side."""

    async def script(connection: RawConnection) -> None:
        await says(*parts)(connection)
        await connection.gone()

    return script


def drips(start: bytes, drop: bytes) -> Script:
    """Take the request, say `start`, then `drop` again and again."""

    async def script(connection: RawConnection) -> None:
        await says(start)(connection)
        while True:
            await connection.send(drop)
            await asyncio.sleep(0.01)

    return script


@contextlib.contextmanager
def full_listener(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that takes no further connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        where = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(where)
        yield where[1]
