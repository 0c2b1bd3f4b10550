"""The live feed over several processes: each tells the others over Redis, while somebody watches.

Every process listens on one channel. Where somebody watches, "watch" goes out every few seconds; whoever hears it
answers with its state and tells what happens, until the word stops coming. Nothing is stored in Redis, and nothing
here is needed for a request: when Redis is away, a page shows its own process and the log says so.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis.exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from analytics.live.events import Change, Data, Event
from analytics.live.hub import Hub
from backends.tasks import spawn, supervise

logger = logging.getLogger("patchbay.live")

CHANNEL = "patchbay:live"  # and the number of the database: Redis has one set of channels for all databases
WATCH_SECONDS = 5.0  # between two words that somebody watches
FORGET_SECONDS = 15.0  # without a word
RETRY_SECONDS = 3.0
ANSWER_SECONDS = 1.5  # for a request to be stopped elsewhere
OUTGOING = 500
MOST_BYTES = 2**20  # of one message


class _Message(msgspec.Struct, omit_defaults=True):
    """What processes say to each other. `do`: watch, state, events, stop, stopped."""

    sender: str
    do: str
    is_new: bool = False
    running: list[dict[str, Any]] = []
    recent: list[dict[str, Any]] = []
    events: list[tuple[Change, dict[str, Any]]] = []
    request: str = ""
    ask: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


@dataclass
class _Other:
    """Another process: what runs there, and when it was last heard."""

    heard_at: float
    running: dict[str, Data] = field(default_factory=dict)


class Bridge:
    """This process's side. `start()` and `stop()` in the event loop of the hub."""

    def __init__(self, url: str, hub: Hub) -> None:
        self._pool = ConnectionPool.from_url(
            url, protocol=2, socket_timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self._channel = f"{CHANNEL}:{self._pool.connection_kwargs.get('db', 0)}"
        self._hub = hub
        self._process = secrets.token_hex(8)
        self._others: dict[str, _Other] = {}
        self._watched_until = 0.0
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(OUTGOING)
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected until `stop()`."""
        self._hub.elsewhere = self
        self._task = supervise(self._keep, name="live-bridge")

    async def stop(self) -> None:
        """Disconnect."""
        self._hub.elsewhere = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    # --- for the hub -----------------------------------------------------------------------------------------

    def tell(self, events: Iterable[Event]) -> None:
        """Pass on what happened here, if somebody elsewhere watches."""
        if time.monotonic() < self._watched_until:
            self._send("events", events=[(event.change, dict(event.data)) for event in events])

    def watch(self) -> None:
        """Somebody watches here."""
        self._send("watch", is_new=True)

    def running(self) -> Iterator[Data]:
        """What runs elsewhere."""
        for other in self._others.values():
            yield from other.running.values()

    async def stop_request(self, request_id: str) -> bool:
        """Ask the process that has this request. False when none says that it did."""
        ask = secrets.token_hex(8)
        answer = self._asked[ask] = asyncio.get_running_loop().create_future()
        try:
            self._send("stop", request=request_id, ask=ask)
            async with asyncio.timeout(ANSWER_SECONDS):
                await answer
            return True
        except TimeoutError:
            return False
        finally:
            del self._asked[ask]

    # --- saying ----------------------------------------------------------------------------------------------

    def _send(self, do: str, **parts: Any) -> None:
        """Queue a message; when too many wait already, it is left out."""
        message = _encode(_Message(self._process, do, **parts))
        if len(message) <= MOST_BYTES and not self._outgoing.full():
            self._outgoing.put_nowait(message)

    async def _tell_state(self, is_new: bool) -> None:
        picture = await self._hub.own_picture()
        recent = [dict(data) for data in picture.recent] if is_new else []
        self._send("state", running=[dict(data) for data in picture.running], recent=recent, is_new=is_new)

    # --- hearing ---------------------------------------------------------------------------------------------

    def _hear(self, raw: bytes) -> None:
        message = _decode(raw)
        if message.sender == self._process:
            return
        match message.do:
            case "watch":
                self._watched_until = time.monotonic() + FORGET_SECONDS
                self._hub.watched_elsewhere(self._watched_until)
                spawn(self._tell_state(message.is_new), name="live-state")
            case "state" | "events" if self._hub.has_watchers:
                self._learn(message)
            case "stop" if self._hub.stop_here(message.request):
                self._send("stopped", ask=message.ask)
            case "stopped" if (answer := self._asked.get(message.ask)) is not None and not answer.done():
                answer.set_result(None)

    def _learn(self, message: _Message) -> None:
        other = self._others.setdefault(message.sender, _Other(0.0))
        other.heard_at = time.monotonic()
        events = [Event(change, data) for change, data in message.events]
        if message.do == "state":
            now = {str(data["id"]): data for data in message.running}
            events += [Event(Change.GONE, {"id": id_}) for id_ in other.running if id_ not in now]
            events += [Event(Change.PROGRESS, data) for data in message.running]
            events += [Event(Change.ENDED, data) for data in message.recent]
            other.running = dict(now)
        for event in events:
            if event.change in (Change.BEGAN, Change.PROGRESS):
                other.running[event.id] = event.data
            else:
                other.running.pop(event.id, None)
        self._hub.heard(events)

    def _forget_the_silent(self) -> None:
        deadline = time.monotonic() - FORGET_SECONDS
        for process in [name for name, other in self._others.items() if other.heard_at < deadline]:
            gone = self._others.pop(process).running
            self._hub.heard([Event(Change.GONE, {"id": id_}) for id_ in gone])

    # --- the task --------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            try:
                await self._stay_connected()
            except* (redis.exceptions.RedisError, OSError, msgspec.MsgspecError) as group:
                self._note_problem(group.exceptions[0])
            await asyncio.sleep(RETRY_SECONDS)

    def _note_problem(self, error: BaseException) -> None:
        problem = f"{type(error).__name__}: {error}"[:200]
        if problem != self._problem:
            logger.warning("The live feed shows this process alone: Redis cannot be used (%s).", problem)
        self._problem = problem

    async def _stay_connected(self) -> None:
        client = Redis(connection_pool=self._pool)
        news = client.pubsub(ignore_subscribe_messages=True)
        try:
            await news.subscribe(self._channel)
            self._problem = ""
            async with asyncio.TaskGroup() as group:
                group.create_task(self._speak(client))
                group.create_task(self._listen(news))
                group.create_task(self._beat())
        finally:
            await news.aclose()  # type: ignore[no-untyped-call]
            await client.aclose()

    async def _speak(self, client: Redis) -> None:
        while True:
            await client.publish(self._channel, await self._outgoing.get())

    async def _listen(self, news: Any) -> None:
        async for message in news.listen():
            self._hear(message["data"])

    async def _beat(self) -> None:
        while True:
            if self._hub.has_watchers:
                self._send("watch")
            self._forget_the_silent()
            await asyncio.sleep(WATCH_SECONDS)
