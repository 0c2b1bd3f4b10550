"""A connection that is still being opened: who waits for it, and who gets it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from backends.addresses import BaseUrl
from backends.errors import ConnectTimedOut
from backends.http1.connection import Connection
from backends.http1.dialer import Dialer
from backends.http1.exchange import Exchange
from backends.http1.pool import ConnectionPool, PoolLimits
from tests.backends.http1.conftest import settled, text
from tests.backends.http1.test_pool import CHUNKED, ask, ok
from tests.raw_server import RawConnection, RawRequest, RawServer, repeated


class PatientDialer(Dialer):
    """Opens nothing while `door` is shut. `called` is set by every call."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.door, self.called, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.door.set()

    async def dial(self, base: BaseUrl, make: Callable[[], Connection], until: float) -> Connection:
        self.called.set()
        try:
            await self.door.wait()
        finally:
            self.left.set()
        return await super().dial(base, make, until)


class Slow:
    """A server's answers, which end when they may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def answer(self, connection: RawConnection, _: RawRequest) -> None:
        await connection.send(CHUNKED + b"2\r\nok\r\n")
        await self.may_end.wait()
        await connection.send(b"0\r\n\r\n")


async def repeated_from(connection: RawConnection, request: RawRequest, slow: Slow) -> None:
    """Answers to this request and to all that follow on the connection."""
    while True:
        await slow.answer(connection, request)
        request = await connection.request()


async def _served_while_dialling(
    pool: ConnectionPool, dialer: PatientDialer, server: RawServer, slow: Slow
) -> Exchange:
    """A second request, whose connection is still being opened when the first one's becomes free."""
    busy = await ask(pool, server)
    dialer.door.clear()
    dialer.called.clear()
    waiting = asyncio.create_task(ask(pool, server))
    await dialer.called.wait()
    slow.may_end.set()
    assert await text(busy) == b"ok"
    exchange = await waiting
    assert await text(exchange) == b"ok"
    return exchange


async def test_who_waits_for_a_new_connection_takes_one_that_becomes_free() -> None:
    slow, dialer = Slow(), PatientDialer()
    pool = ConnectionPool(dialer)
    async with RawServer(repeated(slow.answer)) as server:
        exchange = await _served_while_dialling(pool, dialer, server, slow)
        assert (exchange.reused, exchange.resent) == (True, False)
        dialer.door.set()
        await server.connection(1)
        while pool.idle_connections < 2:  # noqa: ASYNC110  (nobody asked for it: it has no event)
            await asyncio.sleep(0.001)
        pool.close()
        await settled(pool)


async def test_a_connection_that_was_closed_before_its_first_use_costs_no_request() -> None:
    """It was kept although nobody had used it yet: the upstream may have closed it meanwhile, as any kept one."""
    slow, dialer = Slow(), PatientDialer()
    pool = ConnectionPool(dialer)

    async def script(connection: RawConnection) -> None:
        request = await connection.request()
        if connection.number != 1:
            await repeated_from(connection, request, slow)

    async with RawServer(script) as server:
        await _served_while_dialling(pool, dialer, server, slow)
        dialer.door.set()
        await server.connection(1)
        while pool.idle_connections < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        exchange = await ask(pool, server)
        assert (exchange.reused, exchange.resent) == (False, True)
        assert await text(exchange) == b"ok"
        pool.close()
        await settled(pool)


async def test_nothing_is_kept_of_connections_that_an_upstream_closes_after_each_answer() -> None:
    pool = ConnectionPool()

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.answer(b"ok", b"connection: close")

    async with RawServer(script) as server:
        for _ in range(5):
            assert await text(await ask(pool, server)) == b"ok"
        await settled(pool)
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, Connection)]


async def test_a_pool_that_closes_opens_no_connection_that_nobody_waits_for() -> None:
    slow, dialer = Slow(), PatientDialer()
    pool = ConnectionPool(dialer)
    async with RawServer(repeated(slow.answer)) as server:
        await _served_while_dialling(pool, dialer, server, slow)
        dialer.left.clear()
        pool.close()
        await dialer.left.wait()
        await settled(pool)
        assert len(server.connections) == 1


async def test_a_place_that_could_not_be_used_goes_to_the_next() -> None:
    class Refusing(PatientDialer):
        async def dial(self, base: BaseUrl, make: Callable[[], Connection], until: float) -> Connection:
            if not self.called.is_set():
                self.called.set()
                await self.door.wait()
                raise ConnectTimedOut("No connection.")
            return await super().dial(base, make, until)

    dialer = Refusing()
    dialer.door.clear()
    pool = ConnectionPool(dialer, PoolLimits(connections=1))
    async with RawServer(repeated(ok)) as server:
        first = asyncio.create_task(ask(pool, server))
        await dialer.called.wait()
        second = asyncio.create_task(ask(pool, server))
        await asyncio.sleep(0)
        dialer.door.set()
        with pytest.raises(ConnectTimedOut):
            await first
        assert await text(await second) == b"ok"
        pool.close()
        await settled(pool)
