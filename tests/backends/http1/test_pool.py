"""Keeping connections, giving them out, and letting go of them at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from backends.addresses import BaseUrl, check_base_url
from backends.errors import ConnectTimedOut, NoAnswer, SendFailed
from backends.http1.connection import Connection
from backends.http1.dialer import Dialer
from backends.http1.exchange import Exchange
from backends.http1.pool import ConnectionPool, PoolLimits
from backends.http1.request import Deadlines, build_request
from tests.backends.http1.conftest import PATIENT, Send, settled, text
from tests.raw_server import (
    RawConnection,
    RawRequest,
    RawServer,
    repeated,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def ok(connection: RawConnection, _: RawRequest) -> None:
    await connection.answer(b"ok")


async def ask(pool: ConnectionPool, server: RawServer, deadlines: Deadlines = PATIENT) -> Exchange:
    request = build_request(b"POST", b"/", server.base.authority, [], b"{}")
    return await pool.send(server.base, request, deadlines)


async def test_a_connection_serves_one_request_after_the_other(send: Send) -> None:
    async with RawServer(repeated(ok)) as server:
        flags = []
        for _ in range(3):
            exchange = await send(server.base)
            flags.append(exchange.reused)
            assert await text(exchange) == b"ok"
        assert flags == [False, True, True]
        assert len(server.connections) == 1


async def test_requests_at_the_same_time_have_connections_of_their_own(send: Send) -> None:
    async with RawServer(repeated(ok)) as server:
        exchanges = await asyncio.gather(*(send(server.base) for _ in range(20)))
        assert [await text(exchange) for exchange in exchanges] == [b"ok"] * 20
        assert len(server.connections) == 20


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
async def test_a_connection_that_is_to_close_is_not_kept(
    send: Send, pool: ConnectionPool, answer: bytes
) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(answer)

    async with RawServer(script) as server:
        assert await text(await send(server.base)) == b"ok"
        await settled(pool)


async def test_hosts_do_not_share_connections(send: Send, pool: ConnectionPool) -> None:
    async with RawServer(repeated(ok)) as one, RawServer(repeated(ok)) as other:
        await text(await send(one.base))
        exchange = await send(other.base)
        assert not exchange.reused
        assert await text(exchange) == b"ok"
        by_name = check_base_url(f"http://localhost:{one.port}")
        assert not (await send(by_name)).reused
        assert pool.idle_connections >= 2


# Kept connections that have gone stale.


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_request_that_meets_a_stale_connection_is_sent_again_on_a_new_one(
    send: Send, how: str
) -> None:
    async def script(connection: RawConnection) -> None:
        await ok(connection, await connection.request())
        await connection.request()
        if connection.number == 0:
            if how == "reset":
                connection.reset()
            return
        await connection.answer(b"second")

    async with RawServer(script) as server:
        first = await send(server.base)
        assert (await text(first), first.resent) == (b"ok", False)
        exchange = await send(server.base)
        assert (exchange.reused, exchange.resent) == (False, True)
        assert await text(exchange) == b"ok"
        assert len(server.connections) == 2


async def test_the_second_sending_is_the_last(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        request = await connection.request()
        if connection.number == 0:
            await ok(connection, request)
            await connection.request()

    async with RawServer(script) as server:
        assert await text(await send(server.base)) == b"ok"
        with pytest.raises(NoAnswer):
            await send(server.base)
        assert len(server.requests) == 3


async def test_an_answer_that_had_begun_is_not_asked_for_again(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await ok(connection, await connection.request())
        await connection.request()
        await connection.send(b"H")

    async with RawServer(script) as server:
        await text(await send(server.base))
        with pytest.raises(NoAnswer):
            await send(server.base)
        assert len(server.connections) == 1


async def test_a_connection_that_the_upstream_closes_while_idle_is_dropped(
    send: Send, pool: ConnectionPool
) -> None:
    async def script(connection: RawConnection) -> None:
        await ok(connection, await connection.request())

    async with RawServer(script) as server:
        await text(await send(server.base))
        await settled(pool)
        assert pool.idle_connections == 0
        exchange = await send(server.base)
        assert (exchange.reused, exchange.resent) == (False, False)
        assert await text(exchange) == b"ok"


async def test_a_connection_idle_for_too_long_is_not_used_again() -> None:
    pool = ConnectionPool(limits=PoolLimits(idle_seconds=0.05))
    async with RawServer(repeated(ok)) as server:
        await text(await ask(pool, server))
        await asyncio.sleep(0.1)
        exchange = await ask(pool, server)
        assert not exchange.reused
        await text(exchange)
        assert len(server.connections) == 2
        await server.connections[0].ended.wait()
        pool.close()
        await settled(pool)


async def test_idle_connections_of_other_hosts_are_swept_too() -> None:
    pool = ConnectionPool(limits=PoolLimits(idle_seconds=0.05))
    async with RawServer(repeated(ok)) as quiet, RawServer(repeated(ok)) as busy:
        await text(await ask(pool, quiet))
        await asyncio.sleep(0.1)
        await text(await ask(pool, busy))
        await quiet.connections[0].ended.wait()
        pool.close()
        await settled(pool)


async def test_only_so_many_idle_connections_are_kept() -> None:
    pool = ConnectionPool(limits=PoolLimits(idle=2))
    async with RawServer(repeated(ok)) as server:
        for exchange in await asyncio.gather(*(ask(pool, server) for _ in range(5))):
            await text(exchange)
        assert pool.idle_connections == 2
        pool.close()
        await settled(pool)


# A full pool.


async def test_requests_over_the_limit_wait_for_a_free_connection() -> None:
    pool = ConnectionPool(limits=PoolLimits(connections=2))
    async with RawServer(repeated(ok)) as server:

        async def one() -> bytes:
            return await text(await ask(pool, server))

        assert await asyncio.gather(*(one() for _ in range(20))) == [b"ok"] * 20
        assert len(server.connections) == 2
        pool.close()
        await settled(pool)


async def test_a_closed_connection_makes_room_for_who_waits() -> None:
    pool = ConnectionPool(limits=PoolLimits(connections=1))

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        await connection.gone()

    async with RawServer(script) as server:
        first = await ask(pool, server)
        second = asyncio.create_task(ask(pool, server))
        await asyncio.sleep(0)
        first.close()
        (await second).close()
        await settled(pool)


async def test_waiting_for_a_free_connection_ends_at_the_connect_deadline() -> None:
    pool = ConnectionPool(limits=PoolLimits(connections=1))

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        await connection.gone()

    async with RawServer(script) as server:
        held = await ask(pool, server)
        with pytest.raises(ConnectTimedOut, match="in use") as caught:
            await ask(pool, server, Deadlines(connect=0.05))
        assert caught.value.request_sent == "none"
        held.close()
        (await ask(pool, server)).close()
        await settled(pool)


@pytest.mark.parametrize("turns", range(12))
async def test_a_waiter_that_leaves_passes_on_what_it_was_given(turns: int) -> None:
    """Whenever it leaves, also in the moment it is handed the connection, the next one gets its turn."""
    pool = ConnectionPool(limits=PoolLimits(connections=1))
    go_on = asyncio.Event()

    async def slowly(connection: RawConnection, request: RawRequest) -> None:
        await go_on.wait()
        await ok(connection, request)

    async with RawServer(repeated(slowly)) as server:
        first = asyncio.create_task(ask(pool, server))
        await server.connection()
        leaver = asyncio.create_task(ask(pool, server))
        stayer = asyncio.create_task(ask(pool, server))
        await asyncio.sleep(0)
        go_on.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        leaver.cancel()
        assert await text(await first) == b"ok"
        assert await text(await stayer) == b"ok"
        await asyncio.gather(leaver, return_exceptions=True)
        assert await text(await ask(pool, server)) == b"ok"
        pool.close()
        await settled(pool)


@pytest.mark.parametrize("turns", range(8))
async def test_a_waiter_that_leaves_passes_on_the_place_it_was_given(turns: int) -> None:
    """The same where the connection is closed instead of handed on."""
    pool = ConnectionPool(limits=PoolLimits(connections=1))

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        await connection.gone()

    async with RawServer(script) as server:
        held = await ask(pool, server)
        leaver = asyncio.create_task(ask(pool, server))
        await asyncio.sleep(0)
        held.close()
        for _ in range(turns):
            await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        await settled(pool)
        (await ask(pool, server)).close()
        await settled(pool)


class DyingDialer(Dialer):
    """Its first connection is gone before anyone can use it."""

    died = False

    async def dial(self, base: BaseUrl, make: Callable[[], Connection], until: float) -> Connection:
        connection = await super().dial(base, make, until)
        if not self.died:
            self.died = True
            connection.abort()
            while not connection.lost:  # noqa: ASYNC110
                await asyncio.sleep(0)
        return connection


async def test_a_connection_that_is_gone_before_its_first_use_frees_its_place() -> None:
    pool = ConnectionPool(DyingDialer(asyncio.get_running_loop()), PoolLimits(connections=1))
    async with RawServer(repeated(ok)) as server:
        with pytest.raises(SendFailed) as caught:
            await ask(pool, server)
        assert caught.value.request_sent == "none"
        assert await text(await ask(pool, server)) == b"ok"
        pool.close()
        await settled(pool)
