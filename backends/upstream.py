"""Requests to upstreams: the one module that imports the HTTP client.

Rule: no redirect is followed, no proxy is taken from the environment, nothing is retried here except a kept
connection that the upstream had closed. Whoever gets an UpstreamResponse calls its `close()`, in a `finally`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence

import httpx2 as httpx
import msgspec

from backends.addresses import BadBaseUrl, BaseUrl, check_base_url
from backends.errors import AddressRefused, TooLarge
from backends.http1.decoding import Inflater, content_encoding
from backends.http1.exchange import Exchange
from backends.http1.pool import ConnectionPool
from backends.http1.request import Deadlines, build_request

__all__ = ["Deadlines", "PoolTransport", "Upstream", "UpstreamResponse", "current_upstream"]

_CALL = "patchbay"  # the request extension that carries a _Call

_TURNS_TO_CLOSE = 4  # of the event loop, until the sockets are closed, also those below TLS


class _Call(msgspec.Struct, frozen=True):
    base: BaseUrl
    deadlines: Deadlines
    headers: Sequence[tuple[bytes, bytes]] | None = None  # as they are to go out; None: those of the request


class _RequestBody(httpx.AsyncByteStream):
    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


class _ResponseBody(httpx.AsyncByteStream):
    """The raw body as the HTTP client reads it; the client decodes it itself."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.exchange

    async def aclose(self) -> None:
        self.exchange.close()


class PoolTransport(httpx.AsyncBaseTransport):
    """Our connections under the HTTP client's interface. Raises UpstreamError, also under an AsyncClient."""

    def __init__(self, pool: ConnectionPool | None = None) -> None:
        self.pool = pool or ConnectionPool()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = await self.exchange(request)
        return httpx.Response(
            exchange.status,
            headers=exchange.headers,
            stream=_ResponseBody(exchange),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def exchange(self, request: httpx.Request) -> Exchange:
        """The same, without a response around it."""
        call = request.extensions.get(_CALL) or _call_of(request)
        target = request.extensions.get("target") or request.url.raw_path
        stream = request.stream
        body = stream.body if isinstance(stream, _RequestBody) else await request.aread()
        message = build_request(
            request.method.encode("ascii", "replace"),
            target,
            call.base.authority,
            request.headers.raw if call.headers is None else call.headers,
            body,
        )
        return await self.pool.send(call.base, message, call.deadlines)

    async def aclose(self) -> None:
        self.pool.close()
        for _ in range(_TURNS_TO_CLOSE):
            await asyncio.sleep(0)


class UpstreamResponse:
    """An answer whose headers are in. Iterate once for the decoded body, or `read()` it."""

    __slots__ = ("_body", "_exchange", "connect_seconds", "headers", "resent", "reused", "status")

    def __init__(self, exchange: Exchange) -> None:
        encoding = content_encoding(exchange.headers)
        self.status: int = exchange.status
        self.connect_seconds: float = exchange.connect_seconds
        self.reused: bool = exchange.reused  # it came over a connection that had been kept
        self.resent: bool = (
            exchange.resent
        )  # the upstream had closed the kept connection; sent again on a new one
        self.headers: list[tuple[bytes, bytes]] = exchange.headers  # names in lower case
        self._exchange = exchange
        self._body: AsyncIterator[bytes] = exchange
        if encoding:
            self._body = Inflater(exchange, encoding)
            described = (b"content-encoding", b"content-length")
            self.headers = [(name, value) for name, value in exchange.headers if name not in described]

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces as they come, none empty. Raises StreamFailed when the answer does not end well."""
        return self._body

    async def read(self, limit: int) -> bytes:
        """The whole decoded body, at most `limit` bytes. Raises TooLarge, or StreamFailed when it is cut."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > limit:
                self.close()
                raise TooLarge(f"The upstream's answer is larger than {limit} bytes. It was dropped.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if the whole answer came, else close it at once. Any time, also twice."""
        self._exchange.close()


class Upstream:
    """Sends requests from one event loop. Made there, by `current_upstream()`."""

    def __init__(self, transport: PoolTransport | None = None) -> None:
        self.transport = transport or PoolTransport()

    async def send(
        self,
        *,
        method: str,
        base: BaseUrl,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        deadlines: Deadlines,
    ) -> UpstreamResponse:
        """Returns when the response headers are in. Raises UpstreamError. `path` follows the base's own."""
        target = (base.path + path).encode()
        request = httpx.Request(
            method,
            _client_url(base, path),
            stream=_RequestBody(body),
            extensions={
                _CALL: _Call(base, deadlines, headers),
                "target": target + b"?" + query if query else target,
            },
        )
        exchange = await self.transport.exchange(request)
        try:
            return UpstreamResponse(exchange)
        except BaseException:
            exchange.close()
            raise

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        await self.transport.aclose()


_upstreams: dict[asyncio.AbstractEventLoop, Upstream] = {}


def current_upstream() -> Upstream:
    """The Upstream of the running event loop, made at its first use."""
    loop = asyncio.get_running_loop()
    upstream = _upstreams.get(loop)
    if upstream is None:
        for ended in [other for other in _upstreams if other.is_closed()]:
            del _upstreams[ended]
        upstream = _upstreams[loop] = Upstream()
    return upstream


@functools.lru_cache(maxsize=256)
def _client_url(base: BaseUrl, path: str) -> httpx.URL:
    return httpx.URL(f"{base}{path}")


def _call_of(request: httpx.Request) -> _Call:
    """For a request made by an AsyncClient: the same guard for its URL, its timeouts as our deadlines."""
    url = request.url
    try:
        base = check_base_url(f"{url.scheme}://{url.netloc.decode('ascii')}")
    except BadBaseUrl as error:
        raise AddressRefused(str(error)) from error
    timeouts = request.extensions.get("timeout", {})
    usual = Deadlines()
    read = timeouts.get("read")
    return _Call(
        base,
        Deadlines(timeouts.get("connect") or usual.connect, read or usual.first_byte, read or usual.idle),
    )
