"""Requests as the pipeline makes them, and the same connections under the HTTP client."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx2 as httpx
import pytest

from backends.addresses import BaseUrl, check_base_url
from backends.errors import (
    AddressRefused,
    BadEncoding,
    FirstByteTimeout,
    HeaderRefused,
    StreamCut,
    TooLarge,
)
from backends.upstream import Deadlines, PoolTransport, Upstream, UpstreamResponse, current_upstream
from tests.raw_server import RawConnection, RawRequest, RawServer, repeated, says_and_stays

PATIENT = Deadlines(connect=20, first_byte=20, idle=20)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = current_upstream()
    yield upstream
    await upstream.aclose()
    assert upstream.transport.pool.open_connections == 0


async def post(
    upstream: Upstream, base: BaseUrl, *headers: tuple[bytes, bytes], body: bytes = b"{}", query: bytes = b""
) -> UpstreamResponse:
    return await upstream.send(
        method="POST", base=base, path="/messages", query=query, headers=headers, body=body, deadlines=PATIENT
    )


async def text(response: UpstreamResponse) -> bytes:
    return b"".join([piece async for piece in response])


async def ok(connection: RawConnection, _: RawRequest) -> None:
    await connection.answer(b'{"ok":1}', b"Content-Type: application/json")


async def test_a_request_reaches_the_upstream_as_it_was_given(upstream: Upstream) -> None:
    async with RawServer(repeated(ok)) as server:
        base = check_base_url(f"http://127.0.0.1:{server.port}/api/v1/")
        query = b"beta=true&x=%2F&y=a+b&z=\xff"
        response = await post(upstream, base, (b"x-api-key", b"k"), (b"anthropic-beta", b"a"), query=query)
        assert response.status == 200
        assert (b"content-type", b"application/json") in response.headers
        assert await response.read(100) == b'{"ok":1}'
        response.close()
        request = server.requests[0]
        assert request.line == b"POST /api/v1/messages?beta=true&x=%2F&y=a+b&z=%FF HTTP/1.1"
        assert request.head.lower().split(b"\r\n")[1:-2] == [
            b"host: 127.0.0.1:%d" % server.port,
            b"x-api-key: k",
            b"anthropic-beta: a",
            b"content-length: 2",
            b"accept-encoding: identity",
        ]


async def test_a_stream_comes_piece_by_piece(upstream: Upstream) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        for event in (b"one", b"two"):
            await connection.send(b"3\r\n" + event + b"\r\n")
            await taken.wait()
            taken.clear()
        await connection.send(b"0\r\n\r\n")
        await connection.gone()

    taken = asyncio.Event()
    async with RawServer(script) as server:
        got = []
        async for piece in await post(upstream, server.base):
            got.append(piece)
            taken.set()
        assert got == [b"one", b"two"]


async def test_reuse_is_told(upstream: Upstream) -> None:
    async with RawServer(repeated(ok)) as server:
        flags = []
        for _ in range(2):
            response = await post(upstream, server.base)
            flags.append((response.reused, response.resent))
            await response.read(100)
        assert flags == [(False, False), (True, False)]


async def test_a_redirect_is_an_answer_like_any_other(upstream: Upstream) -> None:
    async with RawServer(repeated(ok)) as target:

        async def redirect(connection: RawConnection, _: RawRequest) -> None:
            where = b"location: http://127.0.0.1:%d/steal" % target.port
            await connection.answer(b"", where, status=b"307 Temporary Redirect")

        async with RawServer(repeated(redirect)) as server:
            response = await post(upstream, server.base, (b"authorization", b"Bearer secret"))
            assert response.status == 307
            assert await response.read(100) == b""
            assert target.connections == []


async def test_a_proxy_of_the_environment_is_not_used(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawServer(repeated(ok)) as server, RawServer(repeated(ok)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await (await post(upstream, server.base)).read(100) == b'{"ok":1}'
        assert proxy.connections == []


async def test_a_key_with_a_line_break_goes_nowhere(upstream: Upstream) -> None:
    async with RawServer(repeated(ok)) as server:
        with pytest.raises(HeaderRefused) as caught:
            await post(upstream, server.base, (b"x-api-key", b"sk-secret\r\nx-evil: 1"))
        assert "sk-secret" not in str(caught.value)
        assert server.connections == []


# Encodings that nobody asked for.


def coded(body: bytes, encoding: bytes) -> RawServer:
    async def answer(connection: RawConnection, _: RawRequest) -> None:
        await connection.answer(body, b"content-encoding: " + encoding, b"x-kept: 1")

    return RawServer(repeated(answer))


@pytest.mark.parametrize(
    ("pack", "encoding"), [(gzip.compress, b"gzip"), (zlib.compress, b"deflate"), (bytes, b"identity")]
)
async def test_a_coded_answer_is_given_plain(upstream: Upstream, pack: object, encoding: bytes) -> None:
    assert callable(pack)
    plain = b'{"usage": {}}' * 1000
    async with coded(pack(plain), encoding) as server:
        response = await post(upstream, server.base)
        assert (b"x-kept", b"1") in response.headers
        if encoding != b"identity":
            assert not {b"content-encoding", b"content-length"} & {name for name, _ in response.headers}
        assert await text(response) == plain


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, br"])
async def test_an_answer_that_cannot_be_decoded_is_an_error_at_once(
    upstream: Upstream, encoding: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: " + encoding + b"\r\ncontent-length: 100\r\n\r\n"
    async with RawServer(says_and_stays(head)) as server:
        with pytest.raises(BadEncoding) as caught:
            await post(upstream, server.base)
        assert caught.value.request_sent == "fully"
        await server.connections[0].ended.wait()


async def test_a_broken_coded_answer_is_an_error(upstream: Upstream) -> None:
    async with coded(gzip.compress(b"hello" * 100)[:-9], b"gzip") as server:
        with pytest.raises(BadEncoding):
            await (await post(upstream, server.base)).read(10_000)


async def test_a_bomb_is_not_read_beyond_the_limit(upstream: Upstream) -> None:
    async with coded(gzip.compress(bytes(50 * 2**20), 9), b"gzip") as server:
        response = await post(upstream, server.base)
        with pytest.raises(TooLarge, match="1000000"):
            await response.read(1_000_000)


async def test_an_answer_over_the_limit_closes_its_connection(upstream: Upstream) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        while True:
            await connection.send(b"3\r\nabc\r\n")

    async with RawServer(script) as server:
        response = await post(upstream, server.base)
        with pytest.raises(TooLarge):
            await response.read(10)
        await server.connections[0].ended.wait()


async def test_an_answer_of_just_the_limit_is_read(upstream: Upstream) -> None:
    async with RawServer(repeated(ok)) as server:
        assert await (await post(upstream, server.base)).read(8) == b'{"ok":1}'


# Leaving.


async def test_a_cancelled_stream_closed_in_finally_ends_the_upstream_request(upstream: Upstream) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"3\r\none\r\n")
        await connection.gone()

    reading = asyncio.Event()

    async def relay(base: BaseUrl) -> None:
        response = await post(upstream, base)
        try:
            async for _ in response:
                reading.set()
        finally:
            response.close()

    async with RawServer(script) as server:
        task = asyncio.create_task(relay(server.base))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.connections[0].ended.wait()


async def test_closing_it_all_ends_what_runs(upstream: Upstream) -> None:
    async with RawServer(repeated(lambda connection, _: connection.send(CHUNKED))) as server:
        response = await post(upstream, server.base)
        await upstream.aclose()
        with pytest.raises(StreamCut):
            await response.read(10)


def test_each_event_loop_has_its_own_upstream() -> None:
    async def two() -> tuple[Upstream, Upstream]:
        return current_upstream(), current_upstream()

    first, again = asyncio.run(two())
    other, _ = asyncio.run(two())
    assert first is again
    assert first is not other


# Under the HTTP client.


async def test_the_client_works_over_our_connections() -> None:
    async with RawServer(repeated(ok)) as server, httpx.AsyncClient(transport=PoolTransport()) as client:
        for _ in range(2):
            response = await client.post(f"http://127.0.0.1:{server.port}/v1/models?a=b", json={"a": 1})
            assert (response.status_code, response.json()) == (200, {"ok": 1})
        assert len(server.connections) == 1
        request = server.requests[0]
        assert request.line == b"POST /v1/models?a=b HTTP/1.1"
        assert request.body == b'{"a":1}'
        assert request.header(b"accept-encoding") == [b"identity"]
        assert request.header(b"host") == [b"127.0.0.1:%d" % server.port]


async def test_the_client_streams_and_gives_the_connection_back() -> None:
    transport = PoolTransport()
    async with RawServer(repeated(ok)) as server, httpx.AsyncClient(transport=transport) as client:
        url = f"http://127.0.0.1:{server.port}/"
        async with client.stream("GET", url) as response:
            assert [piece async for piece in response.aiter_raw()] == [b'{"ok":1}']
        assert transport.pool.idle_connections == 1


async def test_the_client_decodes_by_itself() -> None:
    hello = gzip.compress(b"hello")
    async with coded(hello, b"gzip") as server, httpx.AsyncClient(transport=PoolTransport()) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/")).text == "hello"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://8.8.8.8/", "https://metadata.google.internal/"]
)
async def test_the_client_cannot_go_where_we_do_not_connect(url: str) -> None:
    async with httpx.AsyncClient(transport=PoolTransport()) as client:
        with pytest.raises(AddressRefused):
            await client.get(url)


async def test_the_timeouts_of_the_client_are_our_deadlines() -> None:
    hasty = httpx.AsyncClient(transport=PoolTransport(), timeout=0.1)
    async with RawServer(lambda connection: connection.gone()) as server, hasty as client:
        with pytest.raises(FirstByteTimeout):
            await client.get(f"http://127.0.0.1:{server.port}/")
