"""Several listeners on one port: new connections go to the one that holds the fewest."""

from __future__ import annotations

import asyncio
import os
import socket

from router_site.crowd import ABSENT, Crowd
from router_site.server.accepting import Acceptor


class Worker:
    """One worker's end of a listening socket, with `before` connections from earlier."""

    def __init__(self, listener: socket.socket, crowd: Crowd, number: int, before: int = 0) -> None:
        self.held, self.came = before, asyncio.Event()
        self.acceptor = Acceptor(listener.dup(), self._connected, crowd, number, lambda: self.held)

    def _connected(self) -> asyncio.Protocol:
        self.held += 1
        self.came.set()
        return asyncio.Protocol()


def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


async def connect(listener: socket.socket, *workers: Worker) -> None:
    """One more client, taken by one of the workers."""
    for worker in workers:
        worker.came.clear()
    client = socket.create_connection(listener.getsockname())
    waits = [asyncio.create_task(worker.came.wait()) for worker in workers]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    client.close()


async def test_who_holds_the_fewest_connections_takes_the_next() -> None:
    crowd, fd = Crowd.make(2)
    with listening() as listener:
        busy, idle = Worker(listener, crowd, 1, before=4), Worker(listener, crowd, 2)
        for _ in range(4):
            await connect(listener, busy, idle)
        assert (busy.held, idle.held) == (4, 4)
        for _ in range(6):
            await connect(listener, busy, idle)
        assert (busy.held, idle.held) == (7, 7)
        busy.acceptor.close()
        idle.acceptor.close()
    os.close(fd)


async def test_a_connection_that_the_others_leave_is_taken_all_the_same() -> None:
    crowd, fd = Crowd.make(2)
    crowd.say(2, 0)  # it listens, and is too busy to look
    with listening() as listener:
        worker = Worker(listener, crowd, 1, before=9)
        await connect(listener, worker)
        assert worker.held == 10
        worker.acceptor.close()
    os.close(fd)


async def test_who_has_left_is_not_waited_for() -> None:
    crowd, fd = Crowd.make(2)
    with listening() as listener:
        stays, leaves = Worker(listener, crowd, 1, before=9), Worker(listener, crowd, 2)
        assert crowd.fewest() == 0
        leaves.acceptor.close()
        leaves.acceptor.tell()
        assert crowd.fewest() == 9
        await connect(listener, stays)
        stays.acceptor.close()
        assert crowd.fewest() == 0
    os.close(fd)


async def test_who_hangs_is_not_waited_for_any_more() -> None:
    """Else all others would take one connection in five milliseconds."""
    crowd, fd = Crowd.make(2)
    crowd.say(2, 0)
    with listening() as listener:
        worker = Worker(listener, crowd, 1, before=9)
        assert crowd.fewest() == 0
        async with asyncio.timeout(10):
            while crowd.fewest() == 0:
                worker.acceptor.tell()
                await asyncio.sleep(0.05)
        assert crowd.fewest() == 9
        assert crowd.is_there(2)
        worker.acceptor.close()
    os.close(fd)


def test_processes_see_the_same_counts() -> None:
    crowd, fd = Crowd.make(3)
    other = Crowd(fd, 3)
    other.say(1, 5)
    other.say(3, 7)
    assert crowd.fewest() == 5
    crowd.say(1, ABSENT)
    assert other.fewest() == 7
    os.close(fd)
