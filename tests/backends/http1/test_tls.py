"""TLS to upstreams: whose certificate is taken, and whose not."""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
import uvloop

from backends.addresses import check_base_url
from backends.errors import StreamCut, TlsFailed
from backends.http1.dialer import Dialer
from backends.http1.exchange import HIGH_WATER, Exchange
from backends.http1.pool import ConnectionPool
from backends.http1.request import Deadlines, build_request
from backends.http1.tls import client_context
from tests.backends.http1.conftest import PATIENT, settled, text
from tests.raw_server import (
    RawConnection,
    RawRequest,
    RawServer,
    repeated,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], ssl.SSLContext]:
    """The product's own context, made to trust the test's authority."""
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return lambda: client_context(str(path))


def server_side(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def good(ca: trustme.CA) -> ssl.SSLContext:
    return server_side(ca.issue_cert("127.0.0.1", "gpu.lan"))


def pool_trusting(trust: Callable[[], ssl.SSLContext]) -> ConnectionPool:
    return ConnectionPool(Dialer(asyncio.get_running_loop(), lambda host, port: ["127.0.0.1"], trust))


async def ask(
    pool: ConnectionPool, server: RawServer, body: bytes = b"{}", deadlines: Deadlines = PATIENT
) -> Exchange:
    return await pool.send(
        server.base, build_request(b"POST", b"/", server.base.authority, [], body), deadlines
    )


async def size_of_body(connection: RawConnection, request: RawRequest) -> None:
    await connection.answer(b"%d" % len(request.body))


async def requests_of_many_sizes(trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext) -> None:
    pool = pool_trusting(trust)
    async with RawServer(repeated(size_of_body), tls=good) as server:
        for size in (2, 70_000, 5 * 2**20, 3):
            assert await text(await ask(pool, server, b"x" * size)) == b"%d" % size
        assert len(server.connections) == 1
        pool.close()
        await settled(pool)
        await server.connections[0].ended.wait()


async def test_requests_go_over_a_kept_tls_connection(
    trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext
) -> None:
    await requests_of_many_sizes(trust, good)


def test_tls_under_uvloop(trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(requests_of_many_sizes(trust, good))


async def test_a_name_is_what_the_certificate_must_show(
    trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext
) -> None:
    pool = pool_trusting(trust)
    async with RawServer(repeated(size_of_body), tls=good) as server:
        base = check_base_url(f"https://gpu.lan:{server.port}")
        request = build_request(b"POST", b"/", base.authority, [], b"{}")
        assert (await pool.send(base, request, PATIENT)).status == 200
        pool.close()
        await settled(pool)


def expired(ca: trustme.CA) -> trustme.LeafCert:
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return ca.issue_cert("127.0.0.1", not_before=long_ago, not_after=long_ago + datetime.timedelta(days=1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (expired, "expired"),
        (lambda ca: ca.issue_cert("127.0.0.2", "localhost"), "mismatch|not valid for"),
        (lambda ca: trustme.CA().issue_cert("127.0.0.1"), "issuer|self-signed"),
    ],
    ids=["expired", "wrong host", "unknown authority"],
)
async def test_a_certificate_that_does_not_fit_is_refused_before_anything_is_sent(
    ca: trustme.CA,
    trust: Callable[[], ssl.SSLContext],
    make: Callable[[trustme.CA], trustme.LeafCert],
    says: str,
) -> None:
    pool = pool_trusting(trust)
    async with RawServer(repeated(size_of_body), tls=server_side(make(ca))) as server:
        with pytest.raises(TlsFailed, match=says) as caught:
            await ask(pool, server)
        assert caught.value.request_sent == "none"
        assert "certificate" in caught.value.message
        assert server.requests == []
        await settled(pool)


async def test_by_default_the_system_decides_and_does_not_know_our_authority(good: ssl.SSLContext) -> None:
    pool = ConnectionPool()
    async with RawServer(repeated(size_of_body), tls=good) as server:
        with pytest.raises(TlsFailed, match="not accepted"):
            await ask(pool, server)
        await settled(pool)


def test_the_default_context_verifies_and_is_made_once() -> None:
    context = client_context()
    assert context is client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_old_tls_is_refused(ca: trustme.CA, trust: Callable[[], ssl.SSLContext]) -> None:
    old = server_side(ca.issue_cert("127.0.0.1"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    pool = pool_trusting(trust)
    async with RawServer(repeated(size_of_body), tls=old) as server:
        with pytest.raises(TlsFailed, match="No TLS with"):
            await ask(pool, server)
        await settled(pool)


async def test_a_server_that_speaks_no_tls(trust: Callable[[], ssl.SSLContext]) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.read(1)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    pool = pool_trusting(trust)
    async with RawServer(script) as server:
        base = check_base_url(f"https://127.0.0.1:{server.port}")
        with pytest.raises(TlsFailed, match="No TLS with"):
            await pool.send(base, build_request(b"GET", b"/", base.authority, [], b""), PATIENT)
        await settled(pool)


async def test_a_server_that_hangs_up_in_the_handshake(trust: Callable[[], ssl.SSLContext]) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.read(1)
        connection.reset()

    pool = pool_trusting(trust)
    async with RawServer(script) as server:
        base = check_base_url(f"https://127.0.0.1:{server.port}")
        with pytest.raises(TlsFailed, match="No TLS with"):
            await pool.send(base, build_request(b"GET", b"/", base.authority, [], b""), PATIENT)


async def never_answer(connection: RawConnection) -> None:
    await connection.gone()


async def stalled_handshake(trust: Callable[[], ssl.SSLContext]) -> None:
    pool = pool_trusting(trust)
    async with RawServer(never_answer) as server:
        base = check_base_url(f"https://127.0.0.1:{server.port}")
        request = build_request(b"GET", b"/", base.authority, [], b"")
        with pytest.raises(TlsFailed, match="did not finish the TLS handshake in time"):
            await pool.send(base, request, Deadlines(connect=0.1))
        await server.connections[0].ended.wait()
        task = asyncio.create_task(pool.send(base, request, PATIENT))
        connection = await server.connection(1)
        task.cancel()
        await connection.ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(pool)


async def test_a_handshake_that_stalls_ends_at_the_connect_deadline_and_at_a_cancel(
    trust: Callable[[], ssl.SSLContext],
) -> None:
    await stalled_handshake(trust)


def test_a_handshake_that_stalls_under_uvloop(trust: Callable[[], ssl.SSLContext]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(stalled_handshake(trust))


async def cancelled_after(turns: int, trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        await connection.gone()

    pool = pool_trusting(trust)
    async with RawServer(script, tls=good) as server:
        task = asyncio.create_task(ask(pool, server))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, Exchange):
            outcome.close()
        else:
            assert isinstance(outcome, asyncio.CancelledError)
        await settled(pool)
        for connection in server.connections:
            await connection.ended.wait()
    gc.collect()  # what is still open warns here, and warnings are errors


@pytest.mark.parametrize("turns", range(0, 50, 2))
async def test_cancel_after_any_number_of_turns_leaves_nothing_open(
    trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext, turns: int
) -> None:
    await cancelled_after(turns, trust, good)


def test_cancel_after_any_number_of_turns_under_uvloop(
    trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for turns in range(1, 31, 2):
            runner.run(cancelled_after(turns, trust, good))


async def test_a_stream_cut_under_tls_is_cut(
    trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext
) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"5\r\nhello\r\n")
        await go_on.wait()
        connection.writer.transport.abort()

    go_on = asyncio.Event()
    pool = pool_trusting(trust)
    async with RawServer(script, tls=good) as server:
        exchange = await ask(pool, server)
        assert await anext(exchange) == b"hello"
        go_on.set()
        with pytest.raises(StreamCut):
            await anext(exchange)
        await settled(pool)


async def test_a_reader_that_takes_nothing_stops_the_upstream(
    trust: Callable[[], ssl.SSLContext], good: ssl.SSLContext
) -> None:
    total, block = 30 * 2**20, b"x" * 65536

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(total // len(block)):
            await connection.send(block)
        await connection.gone()

    pool = pool_trusting(trust)
    async with RawServer(script, tls=good) as server:
        exchange = await ask(pool, server)
        connection = server.connections[0]
        before = -1
        while before != connection.bytes_sent or not exchange.buffered:
            before = connection.bytes_sent
            await asyncio.sleep(0.2)
        assert connection.bytes_sent < total
        assert exchange.buffered <= HIGH_WATER + 2**20
        assert len(await text(exchange)) == total
        pool.close()
        await settled(pool)
