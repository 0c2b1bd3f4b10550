"""What an upstream can do to a request, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading

import pytest

from backends.addresses import check_base_url
from backends.errors import (
    BadFraming,
    FirstByteTimeout,
    NoAnswer,
    SendFailed,
    SendTimedOut,
    StreamGarbled,
)
from backends.http1.pool import ConnectionPool
from backends.http1.request import Deadlines, build_request
from tests.backends.http1.conftest import PATIENT, Send, settled, text
from tests.raw_server import (
    RawConnection,
    RawServer,
    Script,
    drips,
    repeated,
    says,
    says_and_stays,
)

HASTY = Deadlines(connect=20, first_byte=0.1, idle=20)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BIG = b"x" * (32 * 2**20)


# What works.


async def test_an_answer_with_a_length(send: Send) -> None:
    async def answer(connection: RawConnection, _: object) -> None:
        await connection.answer(b"hello", b"X-Two: 2", b"x-two: 3", status=b"201 Created")

    async with RawServer(repeated(answer)) as server:
        exchange = await send(server.base, b"question")
        assert exchange.status == 201
        assert exchange.headers == [(b"content-length", b"5"), (b"x-two", b"2"), (b"x-two", b"3")]
        assert await text(exchange) == b"hello"
        assert server.requests[0].body == b"question"


async def test_an_idle_connection_holds_nothing_of_the_request_it_sent(send: Send) -> None:
    async def answer(connection: RawConnection, _: object) -> None:
        await connection.answer(b"hello")

    body = bytes(2**20)
    held = sys.getrefcount(body)
    async with RawServer(repeated(answer)) as server:
        assert await text(await send(server.base, body)) == b"hello"
        gc.collect()
        assert sys.getrefcount(body) == held


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
async def test_an_answer_in_chunks_however_it_is_cut(send: Send, step: int) -> None:
    whole = CHUNKED + b"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nx-trailer: 1\r\n\r\n"
    parts = [whole[start : start + step] for start in range(0, len(whole), step)]
    async with RawServer(says_and_stays(*parts)) as server:
        exchange = await send(server.base)
        assert await text(exchange) == b"hello world"
        assert exchange.headers == [(b"transfer-encoding", b"chunked")]


async def test_an_answer_without_a_length_ends_with_the_connection(send: Send, pool: ConnectionPool) -> None:
    async with RawServer(says(b"HTTP/1.1 200 OK\r\n\r\n", b"hel", b"lo")) as server:
        exchange = await send(server.base)
        assert await text(exchange) == b"hello"
        await settled(pool)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"),
        (b"POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"POST", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\n\r\n"),
        (b"POST", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_answers_without_a_body(pool: ConnectionPool, method: bytes, answer: bytes) -> None:
    async with RawServer(says_and_stays(answer)) as server:
        request = build_request(method, b"/", server.base.authority, [], b"")
        assert await text(await pool.send(server.base, request, PATIENT)) == b""


async def test_interim_answers_are_passed_over(send: Send) -> None:
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\ncontent-length: 7\r\n\r\n"
    )
    async with RawServer(
        says_and_stays(interim, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    ) as server:
        exchange = await send(server.base)
        assert (exchange.status, exchange.headers) == (200, [(b"content-length", b"2")])
        assert await text(exchange) == b"ok"


async def test_a_large_body_arrives_whole(send: Send) -> None:
    async def answer(connection: RawConnection, _: object) -> None:
        await connection.answer(b"ok")

    async with RawServer(repeated(answer)) as server:
        exchange = await send(server.base, BIG)
        assert await text(exchange) == b"ok"
        assert server.requests[0].body == BIG


async def test_an_error_before_the_body_is_out_is_read_and_stops_the_sending(
    send: Send, pool: ConnectionPool
) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\n\r\n")
        await answered.wait()
        with contextlib.suppress(TimeoutError):
            while True:
                received.append(len(await asyncio.wait_for(connection.reader.read(2**20), 0.3)))
        await connection.send(b"too large")
        await connection.gone()

    answered, received = asyncio.Event(), [0]
    async with RawServer(script) as server:
        exchange = await send(server.base, BIG)
        answered.set()
        assert exchange.status == 413
        assert await text(exchange) == b"too large"
        assert sum(received) < len(BIG)
        await settled(pool)  # half a request was sent: this connection is of no more use


async def test_an_early_success_lets_the_body_go_on(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(CHUNKED)
        body = await connection.reader.readexactly(len(BIG))
        await connection.send(b"%x\r\n%d\r\n0\r\n\r\n" % (len(str(len(body))), len(body)))

    async with RawServer(script) as server:
        assert await text(await send(server.base, BIG)) == b"%d" % len(BIG)


def abrupt_refusal(listener: socket.socket) -> None:
    """In a thread of its own, so that its reset can come between any two steps of the sender."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(2**18)  # which makes room, so the sender is writing when the reset comes
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\n\r\ntoo large")


async def test_an_error_followed_by_a_reset_at_once_is_read(send: Send) -> None:
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = threading.Thread(target=abrupt_refusal, args=(listener,), daemon=True)
            server.start()
            exchange = await send(check_base_url(f"http://127.0.0.1:{listener.getsockname()[1]}"), BIG)
            assert (exchange.status, await text(exchange)) == (413, b"too large")
            server.join()


# No answer.


async def test_end_of_connection_before_an_answer(send: Send) -> None:
    async with RawServer(says()) as server:
        with pytest.raises(NoAnswer, match="closed the connection without an answer") as caught:
            await send(server.base)
        assert caught.value.request_sent == "fully"
        assert len(server.connections) == 1


async def test_reset_before_an_answer(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        connection.reset()

    async with RawServer(script) as server:
        with pytest.raises(NoAnswer, match="reset the connection without an answer"):
            await send(server.base)


async def test_end_of_connection_in_the_middle_of_the_headers(send: Send) -> None:
    async with RawServer(says(b"HTTP/1.1 200 OK\r\ncontent-le")) as server:
        with pytest.raises(NoAnswer, match="in the middle of the response headers"):
            await send(server.base)


async def test_reset_while_the_body_is_going_out(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.reset()

    async with RawServer(script) as server:
        with pytest.raises(SendFailed) as caught:
            await send(server.base, BIG)
        assert caught.value.request_sent == "partly"


async def test_an_upstream_that_hangs_up_while_the_body_waits_to_go_out(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.3)  # until nothing more fits on the way
        connection.writer.write_eof()
        await connection.ended.wait()

    async with RawServer(script) as server:
        with pytest.raises(SendFailed, match="closed the connection while"):
            await send(server.base, BIG)


async def test_an_upstream_that_stops_reading_is_given_up(send: Send) -> None:
    async def script(connection: RawConnection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.ended.wait()

    async with RawServer(script) as server:
        with pytest.raises(SendTimedOut) as caught:
            await send(server.base, BIG, HASTY)
        assert caught.value.request_sent == "partly"


SLOW = {
    "silence": says_and_stays(),
    "half a status line": says_and_stays(b"HTTP/1.1 2"),
    "headers that never end": says_and_stays(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", b"z: "),
    "a drip of header bytes": drips(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    "interim answers for ever": drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
async def test_the_first_byte_deadline_is_not_extended_by_anything(send: Send, script: Script) -> None:
    async with RawServer(script) as server:
        with pytest.raises(FirstByteTimeout) as caught:
            await send(server.base, deadlines=HASTY)
        assert caught.value.request_sent == "fully"
        await server.connections[0].ended.wait()


# Framing.

OK = b"HTTP/1.1 200 OK\r\n"
GARBLED_HEADS = {
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "html without http": b"<html>\r\n\r\n",
    "two equal lengths": OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "two different lengths": OK + b"content-length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "length and chunks": OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and length": OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a list of lengths": OK + b"content-length: 2, 2\r\n\r\nok",
    "a signed length": OK + b"content-length: +2\r\n\r\nok",
    "a negative length": OK + b"content-length: -2\r\n\r\nok",
    "a length too long": OK + b"content-length: 99999999999999999999999\r\n\r\nok",
    "an unknown coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
    "chunked twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": OK + b"content-length : 2\r\n\r\nok",
    "a folded header": OK + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
    "a zero byte": OK + b"x: a\0b\r\ncontent-length: 2\r\n\r\nok",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "201 headers": OK + b"x: y\r\n" * 201 + b"content-length: 2\r\n\r\nok",
    "one huge header": OK + b"x: " + b"y" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok",
    "huge headers": OK + (b"x: " + b"y" * 1000 + b"\r\n") * 70 + b"content-length: 2\r\n\r\nok",
    "a huge unfinished header": OK + b"x: " + b"y" * 300_000,
    "a huge reason": b"HTTP/1.1 200 " + b"y" * 70_000,
    "a flood of interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000,
}


@pytest.mark.parametrize("head", GARBLED_HEADS.values(), ids=GARBLED_HEADS)
async def test_a_head_that_cannot_be_trusted_is_refused(
    send: Send, pool: ConnectionPool, head: bytes
) -> None:
    async with RawServer(says_and_stays(head)) as server:
        with pytest.raises(BadFraming, match="Check that the base URL") as caught:
            await send(server.base)
        assert caught.value.request_sent == "fully"
        await settled(pool)


async def test_the_limits_of_a_head_are_wide_enough(send: Send) -> None:
    head = OK + b"x: y\r\n" * 150 + (b"z: " + b"y" * 1000 + b"\r\n") * 49 + b"content-length: 2\r\n\r\nok"
    async with RawServer(says_and_stays(head)) as server:
        exchange = await send(server.base)
        assert len(exchange.headers) == 200
        assert await text(exchange) == b"ok"


GARBLED_BODIES = {
    "a chunk size that is no number": b"5\r\nhello\r\nzz\r\n",
    "a chunk size with a sign": b"5\r\nhello\r\n+5\r\nworld\r\n",
    "a chunk longer than it says": b"5\r\nhello world\r\n0\r\n\r\n",
    "a chunk size too long": b"5\r\nhello\r\n" + b"f" * 40 + b"\r\n",
    "a chunk extension without end": b"5\r\nhello\r\n5;" + b"x" * 300_000,
    "trailers without end": b"5\r\nhello\r\n0\r\n" + b"x: y\r\n" * 100_000,
}


@pytest.mark.parametrize("body", GARBLED_BODIES.values(), ids=GARBLED_BODIES)
async def test_a_body_that_is_garbled_gives_what_came_and_fails(send: Send, body: bytes) -> None:
    async with RawServer(says_and_stays(CHUNKED, body)) as server:
        exchange = await send(server.base)
        assert await anext(exchange) == b"hello"
        with pytest.raises(StreamGarbled):
            await text(exchange)


@pytest.mark.parametrize(
    "tail",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        b"rubbish",
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n",
    ],
)
async def test_what_follows_an_answer_is_never_taken_for_the_next_one(
    send: Send, pool: ConnectionPool, tail: bytes
) -> None:
    async with RawServer(says_and_stays(OK + b"content-length: 2\r\n\r\nok" + tail)) as server:
        assert await text(await send(server.base)) == b"ok"
        await settled(pool)
        exchange = await send(server.base)
        assert not exchange.reused
        assert await text(exchange) == b"ok"


async def test_an_idle_connection_that_speaks_is_closed(send: Send, pool: ConnectionPool) -> None:
    async def script(connection: RawConnection) -> None:
        await connection.request()
        await connection.answer(b"ok")
        await go_on.wait()
        await connection.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        await connection.gone()

    go_on = asyncio.Event()
    async with RawServer(script) as server:
        assert await text(await send(server.base)) == b"ok"
        assert pool.idle_connections == 1
        go_on.set()
        await settled(pool)
