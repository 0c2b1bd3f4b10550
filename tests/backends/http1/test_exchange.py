"""Reading an answer: when it is cut, when it stalls, when its reader is slow or leaves."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.errors import (
    IdleTimeout,
    NoAnswer,
    StreamCut,
    StreamFailed,
)
from backends.http1.exchange import HIGH_WATER, Exchange
from backends.http1.pool import ConnectionPool
from backends.http1.request import Deadlines, build_request
from tests.backends.http1.conftest import PATIENT, Send, collect, settled, text
from tests.raw_server import (
    RawConnection,
    RawServer,
    drips,
    says,
    says_and_stays,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

# Cuts.

EVENTS = [b"data: one\n\n", b"data: tw\xc3\xb6\n\n", b"data: [DONE]\n\n"]
FRAMED = {
    "chunked": CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS) + b"0\r\n\r\n",
    "length": OK + b"content-length: %d\r\n\r\n" % sum(map(len, EVENTS)) + b"".join(EVENTS),
}


@pytest.mark.parametrize("whole", FRAMED.values(), ids=FRAMED)
@settings(
    max_examples=settings().max_examples,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_a_body_cut_anywhere_never_looks_complete(whole: bytes, data: st.DataObject) -> None:
    start = whole.index(b"\r\n\r\n") + 4
    kept = data.draw(st.integers(start, len(whole) - 1))
    reset = data.draw(st.booleans())

    async def script(connection: RawConnection) -> None:
        await says(whole[:kept])(connection)
        if reset:
            connection.reset()

    pool = ConnectionPool()
    async with RawServer(script) as server:
        request = build_request(b"POST", b"/", server.base.authority, [], b"")
        got: list[bytes] = []
        with pytest.raises((StreamCut, NoAnswer)) as caught:
            await collect(await pool.send(server.base, request, PATIENT), got)
        assert b"".join(EVENTS).startswith(b"".join(got))
        assert reset or isinstance(caught.value, StreamCut)
        await settled(pool)


async def test_a_body_without_length_that_is_reset_is_cut(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await says(b"HTTP/1.1 200 OK\r\n\r\nhello")(connection)
        await go_on.wait()
        connection.reset()

    go_on = asyncio.Event()
    async with RawServer(script) as server:
        exchange = await send(server.base)
        assert await anext(exchange) == b"hello"
        go_on.set()
        with pytest.raises(StreamCut):
            await anext(exchange)


async def test_a_stall_in_the_body_ends_at_the_idle_deadline(send: Send) -> None:
    async with RawServer(says_and_stays(CHUNKED, b"5\r\nhello\r\n", b"5\r\nwo")) as server:
        exchange = await send(server.base, deadlines=Deadlines(20, 20, idle=0.1))
        assert (await text_until_error(exchange, IdleTimeout)).startswith(b"hello")
        await server.connections[0].ended.wait()


async def test_chunk_framing_alone_does_not_extend_the_idle_deadline(send: Send) -> None:
    async with RawServer(drips(CHUNKED + b"5\r\nhello\r\n5;", b"x")) as server:
        exchange = await send(server.base, deadlines=Deadlines(20, 20, idle=0.1))
        assert await text_until_error(exchange, IdleTimeout) == b"hello"


async def test_a_slow_reader_does_not_run_into_the_idle_deadline(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await says(CHUNKED)(connection)
        await reading.wait()
        await connection.send(b"5\r\nhello\r\n")
        await connection.gone()

    reading = asyncio.Event()
    async with RawServer(script) as server:
        exchange = await send(server.base, deadlines=Deadlines(20, 20, idle=0.5))
        asyncio.get_running_loop().call_soon(reading.set)
        assert await anext(exchange) == b"hello"
        await asyncio.sleep(0.7)
        assert exchange.error is None
        exchange.close()


async def test_no_deadline_runs_while_nobody_waits(send: Send) -> None:
    async with RawServer(says_and_stays(CHUNKED + b"5\r\nhello\r\n")) as server:
        exchange = await send(server.base, deadlines=Deadlines(20, first_byte=0.4, idle=0.2))
        await asyncio.sleep(0.6)
        assert exchange.error is None
        assert await anext(exchange) == b"hello"
        exchange.close()


async def test_the_idle_deadline_holds_when_it_is_the_longer_one(send: Send) -> None:
    """The timer was set for the response headers and has to be set once more."""
    async with RawServer(says_and_stays(CHUNKED)) as server:
        exchange = await send(server.base, deadlines=Deadlines(20, first_byte=0.5, idle=0.6))
        assert await text_until_error(exchange, IdleTimeout) == b""


async def text_until_error(exchange: Exchange, kind: type[StreamFailed]) -> bytes:
    got: list[bytes] = []
    with pytest.raises(kind):
        await collect(exchange, got)
    return b"".join(got)


async def test_a_failed_stream_keeps_failing(send: Send) -> None:
    async with RawServer(says(CHUNKED, b"5\r\nhel")) as server:
        exchange = await send(server.base)
        for _ in range(2):
            await text_until_error(exchange, StreamCut)


# A reader that is slow.


async def test_a_reader_that_takes_nothing_stops_the_upstream(send: Send) -> None:
    total, block = 50 * 2**20, b"x" * 65536

    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(OK + b"content-length: %d\r\n\r\n" % total)
        for _ in range(total // len(block)):
            await connection.send(block)
        await connection.gone()

    async with RawServer(script) as server:
        exchange = await send(server.base)
        connection = server.connections[0]
        most_held = HIGH_WATER + 256 * 1024
        before = -1
        while before != connection.bytes_sent or not exchange.buffered:
            before = connection.bytes_sent
            await asyncio.sleep(0.2)
        assert connection.bytes_sent < total
        assert exchange.buffered <= most_held
        got = 0
        async for piece in exchange:
            assert len(piece) <= most_held
            assert exchange.buffered <= most_held
            got += len(piece)
        assert got == total


# Closing.


async def test_closing_early_closes_the_connection_at_once(send: Send, pool: ConnectionPool) -> None:
    async with RawServer(says_and_stays(CHUNKED, b"5\r\nhello\r\n")) as server:
        exchange = await send(server.base)
        exchange.close()
        exchange.close()
        await settled(pool)
        await server.connections[0].ended.wait()
        with pytest.raises(StreamCut, match="by this side"):
            await anext(exchange)


async def test_closing_while_another_task_reads_ends_its_wait(send: Send) -> None:
    async with RawServer(says_and_stays(CHUNKED)) as server:
        exchange = await send(server.base)
        reader = asyncio.create_task(text(exchange))
        await asyncio.sleep(0)
        exchange.close()
        with pytest.raises(StreamCut):
            await reader


async def test_closing_after_the_end_keeps_the_connection(send: Send, pool: ConnectionPool) -> None:
    async with RawServer(says_and_stays(OK + b"content-length: 2\r\n\r\nok")) as server:
        exchange = await send(server.base)
        assert await text(exchange) == b"ok"
        exchange.close()
        assert pool.idle_connections == 1


async def test_closing_with_the_answer_in_but_unread_keeps_the_connection(
    send: Send, pool: ConnectionPool
) -> None:
    async with RawServer(says_and_stays(OK + b"content-length: 2\r\n\r\nok")) as server:
        exchange = await send(server.base)
        while not exchange.complete:  # noqa: ASYNC110
            await asyncio.sleep(0)
        exchange.close()
        assert pool.idle_connections == 1
        with pytest.raises(StreamCut):
            await anext(exchange)


async def test_a_cancelled_reader_leaves_a_stream_that_can_be_closed(
    send: Send, pool: ConnectionPool
) -> None:
    async with RawServer(says_and_stays(CHUNKED)) as server:
        exchange = await send(server.base)
        reader = asyncio.create_task(text(exchange))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        exchange.close()
        await settled(pool)
