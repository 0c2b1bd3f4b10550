"""The connection to Redis: one for commands, in order, and one for announcements.

Rules: two tasks write and read, so no request can leave a reply behind on the connection; whoever asks waits for a
future and may go away at any time. A server that has not answered anybody for `Times.patience` is not asked again
until it was reached anew; meanwhile `is_up` is False and nobody waits at all.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import redis.exceptions
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from accounts.redis_clock import ServerClock
from accounts.redis_scripts import NEWS, PREFIX, SCRIPTS, Script
from backends.tasks import supervise

logger = logging.getLogger("patchbay.redis")
CONNECT_SECONDS = 2.0
TURNS = 6  # of the event loop, from bytes that have arrived to an answer that is handed over
MOST_AT_ONCE = 64  # commands in one write
MOST_MISSED = 3  # beats without an announcement
Arguments = Iterable[bytes]


@dataclass(frozen=True)
class Times:
    """Seconds. `patience`: how long a request waits for an answer. `retry`: between two tries to reach the server.

    `beat`: how often a process says that it is there; `dead`: without a beat for so long, its requests lose their
    places; `lease`: and after this its leases end.
    """

    patience: float = 0.05
    retry: float = 2.0
    beat: float = 1.0
    dead: float = 5.0
    lease: float = 20.0


DEFAULT_TIMES = Times()


class LinkDown(Exception):
    """The server cannot be used now. The text says why, for people."""


class Call:
    """One script to run. `arguments` is asked when it is sent, so that it can say the latest."""

    __slots__ = ("arguments", "channel", "reply", "script", "sent_at")

    def __init__(self, script: Script, arguments: Callable[[], Arguments], channel: str) -> None:
        self.script, self.arguments, self.channel, self.sent_at = script, arguments, channel, 0.0
        self.reply: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.reply.add_done_callback(_look_at)

    def command(self) -> tuple[str | bytes | int, ...]:
        """For the connection."""
        return ("EVALSHA", self.script.sha, 2, PREFIX, self.channel, *self.arguments())


def _look_at(reply: asyncio.Future[list[Any]]) -> None:
    """Nobody may be left who asked; a failure is told by `problem`, not by the event loop."""
    if not reply.cancelled():
        reply.exception()


class Link:
    """`serve` runs as long as a connection lasts, and calls `open()` once the process is in step with the others.

    `hear` is told each announcement, `closed` that the connection is lost. Raises ValueError for a URL that cannot
    be used.
    """

    def __init__(
        self,
        url: str,
        server: ServerClock,
        times: Times,
        now: Callable[[], float],
        *,
        serve: Callable[[], Awaitable[None]],
        hear: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        self._pool = ConnectionPool.from_url(
            url, protocol=2, socket_timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self._channel = f"{NEWS}:{self._pool.connection_kwargs.get('db', 0)}"
        self._server, self._serve, self._hear, self._closed = server, serve, hear, closed
        self._times, self._now = times, now
        self.is_up = False
        self.problem = self._logged = "not connected yet"
        self._heard_at, self._missed = 0.0, 0
        self._calls: deque[Call] = deque()
        self._flying: deque[Call] = deque()
        self._answered_at = 0.0
        self._ready = self._given_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected until `stop()`."""
        self._ready = asyncio.Event()
        self._task = supervise(self._keep, name="redis")

    async def stop(self) -> None:
        """Close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        self._close(self._logged)

    # --- for those who ask -------------------------------------------------------------------------------------

    def call(self, script: Script, arguments: Callable[[], Arguments]) -> asyncio.Future[list[Any]]:
        """Run a script after all that were called before. The future fails when the connection does."""
        call = Call(script, arguments, self._channel)
        self._calls.append(call)
        self._ready.set()
        return call.reply

    async def within(self, reply: asyncio.Future[list[Any]]) -> list[Any] | None:
        """The answer, or None when the server answers nobody any more; then it is left alone for a while.

        A process that is busy itself, and only looks late at answers that have arrived, does not count as waiting.
        """
        while not reply.done():
            await asyncio.wait((reply,), timeout=self._times.patience)
            for _ in range(TURNS):
                if reply.done():
                    break
                await asyncio.sleep(0)
            if not reply.done() and self._is_stuck():
                self.fail(self._slowness)
                return None
        return None if reply.cancelled() or reply.exception() else reply.result()

    def _is_stuck(self) -> bool:
        """Whether what was sent is not answered for so long."""
        if not self._flying:
            return False
        quiet_since = max(self._answered_at, self._flying[0].sent_at)
        return self._now() - quiet_since >= self._times.patience * 0.9

    def fail(self, why: str) -> None:
        """Give this connection up."""
        self.is_up, self.problem = False, why
        self._given_up.set()

    def open(self) -> None:
        """From now on requests may ask."""
        if not self.is_up:
            logger.info("Connected to Redis: the pool's state is shared.")
        self.is_up, self.problem, self._logged = True, "", ""

    def check_news(self, beat_at: float) -> None:
        """Called after each beat. Raises LinkDown when nothing was announced for several of them."""
        self._missed = 0 if self._heard_at >= beat_at - 2 * self._times.beat else self._missed + 1
        if self._missed >= MOST_MISSED:
            raise LinkDown("its announcements do not arrive")

    # --- the task ----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            try:
                await self._stay_connected()
            except Exception as exc:
                self._close(*_reason(exc))
            await asyncio.sleep(self._times.retry * random.uniform(0.75, 1.25))

    async def _stay_connected(self) -> None:
        commands, news = self._connection(), self._connection()
        self._given_up = asyncio.Event()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._greet(commands)
                await news.connect()  # type: ignore[no-untyped-call]
                await news.send_command("SUBSCRIBE", self._channel)
                await news.read_response()
            self._heard_at, self._missed = self._now(), 0
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write(commands))
                group.create_task(self._read(commands))
                group.create_task(self._listen(news))
                group.create_task(_run(self._serve()))
                group.create_task(self._give_up())
        finally:
            await commands.disconnect(nowait=True)
            await news.disconnect(nowait=True)

    def _connection(self) -> AbstractConnection:
        made: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return made

    async def _greet(self, connection: AbstractConnection) -> None:
        """Connect, bring the scripts, and see whether answers come fast enough to ask while a request waits."""
        await connection.connect()  # type: ignore[no-untyped-call]
        for script in SCRIPTS:
            await connection.send_command("SCRIPT LOAD", script.source)
            await connection.read_response()
        asked = self._now()
        await connection.send_command("PING")
        await connection.read_response()
        if self._now() - asked > self._times.patience:
            raise LinkDown(self._slowness)

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._calls:
                calls = [self._calls.popleft() for _ in range(min(len(self._calls), MOST_AT_ONCE))]
                packed = connection.pack_commands([call.command() for call in calls])
                for call in calls:
                    call.sent_at = self._now()
                self._flying.extend(calls)
                await connection.send_packed_command(packed, check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        """Answers come in the order of the calls."""
        while True:
            answer = await connection.read_response(timeout=math.inf)
            call = self._flying.popleft()
            self._answered_at = self._now()
            self._server.sample(call.sent_at, self._answered_at, answer[0])
            if not call.reply.done():
                call.reply.set_result(answer)

    async def _listen(self, connection: AbstractConnection) -> None:
        while True:
            message = await connection.read_response(timeout=math.inf)
            self._heard_at = self._now()
            self._hear(message[2])

    @property
    def _slowness(self) -> str:
        return f"an answer took longer than {self._times.patience * 1000:.0f} ms"

    async def _give_up(self) -> None:
        await self._given_up.wait()
        raise LinkDown(self.problem)

    def _close(self, why: str, bug: Exception | None = None) -> None:
        """Nobody waits for an answer that cannot come. `bug`: what is not the network's or the server's doing."""
        if why != self._logged:
            logger.warning("Redis cannot be used: %s. This process goes on by itself.", why, exc_info=bug)
        self.is_up, self.problem, self._logged = False, why, why
        lost = [*self._flying, *self._calls]
        self._flying.clear()
        self._calls.clear()
        for call in lost:
            if not call.reply.done():
                call.reply.set_exception(LinkDown(why))
        self._closed()


async def _run(work: Awaitable[None]) -> None:
    await work


def _reason(error: Exception) -> tuple[str, Exception | None]:
    """Why the connection ended, in a few words; and the error itself where it should be seen whole."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, LinkDown):
        return str(error), None
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return "no answer in time", None
    is_known = isinstance(error, redis.exceptions.RedisError | OSError)
    return f"{type(error).__name__}: {error}"[:200].rstrip("."), None if is_known else error
