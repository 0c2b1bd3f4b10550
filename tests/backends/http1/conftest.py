"""A pool whose connections are all accounted for at the end of a test."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from backends.addresses import BaseUrl
from backends.http1.exchange import Exchange
from backends.http1.pool import ConnectionPool
from backends.http1.request import Deadlines, build_request

PATIENT = Deadlines(connect=20, first_byte=20, idle=20)
Send = Callable[..., Coroutine[None, None, Exchange]]


async def settled(pool: ConnectionPool) -> None:
    """Until no connection is open. A leak ends in the test's timeout."""
    while pool.open_connections:  # noqa: ASYNC110  (closing has no event to wait for)
        await asyncio.sleep(0.001)


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool()
    yield pool
    pool.close()
    await settled(pool)
    gc.collect()  # a socket that nobody closed warns here, and warnings are errors


@pytest.fixture
def send(pool: ConnectionPool) -> Send:
    """send(base, body=b"…", deadlines=…) through the pool."""

    async def send(base: BaseUrl, body: bytes = b"{}", deadlines: Deadlines = PATIENT) -> Exchange:
        return await pool.send(base, build_request(b"POST", b"/v1/x", base.authority, [], body), deadlines)

    return send


async def collect(exchange: Exchange, pieces: list[bytes]) -> None:
    async for piece in exchange:
        pieces.append(piece)


async def text(exchange: Exchange) -> bytes:
    return b"".join([piece async for piece in exchange])
