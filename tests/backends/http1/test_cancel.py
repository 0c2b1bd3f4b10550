"""Leaving at any moment closes what was open; and the same works under uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from backends.addresses import check_base_url
from backends.errors import ConnectTimedOut, NoAnswer
from backends.http1.exchange import Exchange
from backends.http1.pool import ConnectionPool, PoolLimits
from backends.http1.request import Deadlines, build_request
from tests.backends.http1.conftest import PATIENT, Send, settled, text
from tests.raw_server import (
    RawConnection,
    RawRequest,
    RawServer,
    full_listener,
    repeated,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def ok(connection: RawConnection, _: RawRequest) -> None:
    await connection.answer(b"ok")


async def ask(pool: ConnectionPool, server: RawServer, deadlines: Deadlines = PATIENT) -> Exchange:
    request = build_request(b"POST", b"/", server.base.authority, [], b"{}")
    return await pool.send(server.base, request, deadlines)


# Leaving at every stage.


@pytest.mark.parametrize("turns", range(40))
async def test_cancel_after_any_number_of_turns_leaves_nothing_open(turns: int) -> None:
    pool = ConnectionPool(limits=PoolLimits(connections=1))

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"5\r\nhello\r\n")
        await connection.gone()

    async with RawServer(script) as server:
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
        (await ask(pool, server)).close()  # the only place is free again
        await settled(pool)


async def test_cancel_while_tcp_connects(send: Send) -> None:
    with full_listener() as port:
        task = asyncio.create_task(send(check_base_url(f"http://127.0.0.1:{port}")))
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancel_while_a_large_body_goes_out(send: Send, pool: ConnectionPool) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        started.set()
        await connection.ended.wait()

    started = asyncio.Event()
    async with RawServer(script) as server:
        task = asyncio.create_task(send(server.base, b"x" * 32 * 2**20))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settled(pool)


async def test_cancel_while_waiting_for_the_answer_is_seen_by_the_upstream(
    send: Send, pool: ConnectionPool
) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        started.set()
        await connection.gone()

    started = asyncio.Event()
    async with RawServer(script) as server:
        task = asyncio.create_task(send(server.base))
        await started.wait()
        task.cancel()
        await server.connections[0].ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_connecting_ends_at_its_deadline(send: Send) -> None:
    with full_listener() as port, pytest.raises(ConnectTimedOut, match="firewall") as caught:
        await send(check_base_url(f"http://127.0.0.1:{port}"), deadlines=Deadlines(connect=0.1))
    assert caught.value.request_sent == "none"


async def test_closing_the_pool_ends_requests_that_run(send: Send, pool: ConnectionPool) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        arrived.set()
        await connection.gone()

    arrived = asyncio.Event()
    async with RawServer(script) as server:
        task = asyncio.create_task(send(server.base))
        await arrived.wait()
        pool.close()
        with pytest.raises(NoAnswer):
            await task


# The same under uvloop.


def under_uvloop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def everyday() -> None:
    pool = ConnectionPool()

    async def answer(connection: RawConnection, request: RawRequest) -> None:
        await connection.send(CHUNKED + b"5\r\nhello\r\n")
        await connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(request.body), request.body))

    async with RawServer(repeated(answer)) as server:
        for size in (10, 5 * 2**20, 10):
            request = build_request(b"POST", b"/", server.base.authority, [], b"x" * size)
            exchange = await pool.send(server.base, request, PATIENT)
            assert await text(exchange) == b"hello" + b"x" * size
        assert len(server.connections) == 1
        pool.close()
        await settled(pool)


async def leaving() -> None:
    pool = ConnectionPool()

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"5\r\nhello\r\n")
        await connection.gone()

    async with RawServer(script) as server:
        for turns in range(15):
            task = asyncio.create_task(ask(pool, server))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(outcome, Exchange):
                outcome.close()
            await settled(pool)
        for connection in server.connections:
            await connection.ended.wait()


async def stale() -> None:
    pool = ConnectionPool()

    async def script(connection: RawConnection) -> None:
        await ok(connection, await connection.request())
        await connection.request()
        connection.reset()

    async with RawServer(script) as server:
        await text(await ask(pool, server))
        exchange = await ask(pool, server)
        assert exchange.resent
        await text(exchange)
        pool.close()
        await settled(pool)


@pytest.mark.parametrize("scenario", [everyday, leaving, stale])
def test_under_uvloop(scenario: Any) -> None:
    under_uvloop(scenario())
