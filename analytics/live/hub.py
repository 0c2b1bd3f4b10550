"""The live hub of one process: which requests run, which have just ended, who wants to know.

Rule: a request pays for a few steps on dicts and a deque, and nothing more while nobody watches. What costs (rows,
prices, JSON) happens in a thread of the hub's own, once for all readers, and only while there are some.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from accounts.snapshot import keeper
from analytics.drafts import RecordDraft
from analytics.live.events import Change, Data, Event, Watcher, ended_json, running_json
from backends.prices import NO_PRICES, PriceBook
from backends.tasks import spawn

logger = logging.getLogger("patchbay.live")
T = TypeVar("T")

RECENT = 50
MOST_WATCHERS = 100
MOST_RUNNING = 500  # running requests in one picture
PENDING_EVENTS = 2000
BATCH_EVENTS = 200
PROGRESS_SECONDS = 0.5
STOP_SECONDS = 3.0


class Work(Protocol):
    """What serves a running request at the moment: its task before there is an answer, then the relay."""

    @property
    def passed(self) -> int:
        """Bytes that have gone to the client."""

    def stop(self) -> bool:
        """End the request for the operator, in the event loop. False when it is too late for that."""


class Elsewhere(Protocol):
    """The other processes, as far as this one hears of them."""

    def tell(self, events: Iterable[Event]) -> None:
        """Pass on what happened here, if somebody there watches."""

    def watch(self) -> None:
        """Somebody watches here."""

    def running(self) -> Iterable[Data]:
        """What runs there."""

    async def stop_request(self, request_id: str) -> bool:
        """Ask the process that has this request to stop it."""


class TooManyWatchers(Exception):
    """There are as many readers as the hub takes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """How things stand: running requests, and the last that ended, oldest first."""

    running: list[Data]
    recent: list[Data]


class _Running(msgspec.Struct):
    draft: RecordDraft
    work: Work
    told: tuple[object, ...] = ()


class _Finished(msgspec.Struct):
    """A record that has ended here (`draft`), or was heard of (`data`). The draft goes once its JSON is made."""

    draft: RecordDraft | None
    data: Data | None = None
    is_own: bool = True

    def event(self, prices: PriceBook) -> Event | None:
        """Its event, None for what cannot be told; prices the request, so only in the hub's thread."""
        if self.data is None and self.draft is not None:
            draft, self.draft = self.draft, None
            try:
                self.data = ended_json(draft, prices)
            except (ValueError, OverflowError, TypeError):  # whatever a client sent, the feed goes on
                logger.exception("Request %s cannot be shown in the live feed.", draft.id)
        return None if self.data is None else Event(Change.ENDED, self.data)


@dataclass
class Hub:
    """One process's live feed. Everything but `stop_from_thread` is for its event loop. `prices`: the operator's."""

    prices: Callable[[], PriceBook] = lambda: NO_PRICES
    elsewhere: Elsewhere | None = None
    _running: dict[str, _Running] = field(default_factory=dict)
    _recent: deque[_Finished] = field(default_factory=lambda: deque(maxlen=RECENT))
    _pending: deque[Event | _Finished] = field(default_factory=lambda: deque(maxlen=PENDING_EVENTS))
    _watchers: set[Watcher] = field(default_factory=set)
    _watched_elsewhere_until: float = 0.0
    _is_watched: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _publisher: asyncio.Task[None] | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: ThreadPoolExecutor | None = None

    # --- on every request ------------------------------------------------------------------------------------

    def began(self, draft: RecordDraft, work: Work) -> None:
        """A request was read and checked; `work.stop` ends it."""
        self._running[draft.id] = _Running(draft, work)
        if self._is_watched:
            self._tell(Event(Change.BEGAN, running_json(draft, 0)))

    def handed_over(self, draft: RecordDraft, work: Work) -> None:
        """From now on this serves the request."""
        if (entry := self._running.get(draft.id)) is not None:
            entry.work = work

    def ended(self, draft: RecordDraft) -> None:
        """A request has ended, also one that never began."""
        self._running.pop(draft.id, None)
        finished = _Finished(draft)
        self._recent.append(finished)
        if self._is_watched:
            self._tell(finished)

    # --- for readers -----------------------------------------------------------------------------------------

    def watch(self) -> Watcher:
        """A new reader. Raises TooManyWatchers. Give it back with `leave()`."""
        if len(self._watchers) >= MOST_WATCHERS:
            raise TooManyWatchers
        watcher = Watcher()
        self._watchers.add(watcher)
        if self.elsewhere is not None:
            self.elsewhere.watch()
        self._begin_to_publish()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """This reader is gone."""
        watcher.end()
        self._watchers.discard(watcher)

    @property
    def has_watchers(self) -> bool:
        """Whether anybody reads in this process."""
        return bool(self._watchers)

    async def picture(self) -> Picture:
        """How things stand now."""
        picture = await self._picture(list(self._recent))
        there = self.elsewhere.running() if self.elsewhere is not None else ()
        return Picture([*picture.running, *there][-MOST_RUNNING:], picture.recent)

    async def own_picture(self) -> Picture:
        """The same of this process alone: what it tells the others."""
        return await self._picture([each for each in self._recent if each.is_own])

    async def _picture(self, finished: list[_Finished]) -> Picture:
        events = await self._in_thread(lambda: [each.event(self.prices()) for each in finished])
        entries = list(self._running.values())[-MOST_RUNNING:]
        running: list[Data] = [running_json(entry.draft, entry.work.passed) for entry in entries]
        return Picture(running, [event.data for event in events if event is not None])

    async def record(self, draft: RecordDraft) -> Data | None:
        """The JSON of a request that has ended."""
        event = await self._in_thread(lambda: _Finished(draft).event(self.prices()))
        return event.data if event is not None else None

    def end_watchers(self) -> None:
        """The process is leaving: nobody is told anything more."""
        for watcher in list(self._watchers):
            self.leave(watcher)

    # --- stopping --------------------------------------------------------------------------------------------

    async def stop(self, request_id: str) -> bool:
        """End a running request, wherever it runs. False: it is not running, or its process does not answer."""
        if request_id in self._running:
            return self.stop_here(request_id)
        return self.elsewhere is not None and await self.elsewhere.stop_request(request_id)

    def stop_here(self, request_id: str) -> bool:
        """The same, in this process only."""
        entry = self._running.get(request_id)
        return entry is not None and entry.work.stop()

    def stop_from_thread(self, request_id: str) -> bool:
        """The same, for a page view that runs in a thread. Raises TimeoutError when the event loop is stuck."""
        if self._loop is None:
            return False
        return asyncio.run_coroutine_threadsafe(self.stop(request_id), self._loop).result(STOP_SECONDS)

    # --- the process's life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Called in the event loop that serves the requests."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()

    def finish(self) -> None:
        """End readers, tasks and the thread."""
        self.end_watchers()
        if self._publisher is not None:
            self._publisher.cancel()
            self._publisher = None
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
        self._is_watched, self._loop = False, None

    # --- the other processes ---------------------------------------------------------------------------------

    def watched_elsewhere(self, until: float) -> None:
        """Another process has readers, until this moment on the monotonic clock."""
        self._watched_elsewhere_until = until
        self._begin_to_publish()

    def heard(self, events: Iterable[Event]) -> None:
        """Events of another process: told to the readers here, its records kept beside ours."""
        for event in events:
            if event.change is Change.ENDED:
                if any(known.data is not None and known.data["id"] == event.id for known in self._recent):
                    continue
                self._recent.append(_Finished(None, event.data, is_own=False))
            self._hand_out(event)

    # --- publishing ------------------------------------------------------------------------------------------

    def _tell(self, what: Event | _Finished) -> None:
        if len(self._pending) == PENDING_EVENTS:  # the oldest goes, unseen by anybody
            for watcher in self._watchers:
                watcher.miss()
        self._pending.append(what)
        self._wake.set()

    def _begin_to_publish(self) -> None:
        self._is_watched = True
        if self._publisher is None or self._publisher.done():
            self._publisher = spawn(self._publish(), name="live-feed")

    async def _publish(self) -> None:
        """Until nobody watches any more."""
        looked_at = 0.0
        while self._watchers or time.monotonic() < self._watched_elsewhere_until:
            if (now := time.monotonic()) - looked_at >= PROGRESS_SECONDS:
                looked_at = now
                self._note_progress()
            if not self._pending:
                await self._wait(PROGRESS_SECONDS)
            await self._flush()
        self._is_watched, self._publisher = False, None
        self._pending.clear()

    async def _wait(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _flush(self) -> None:
        if not self._pending:
            return
        taken = [self._pending.popleft() for _ in range(min(len(self._pending), BATCH_EVENTS))]
        found = await self._in_thread(lambda: [_event_of(each, self.prices()) for each in taken])
        events = [event for event in found if event is not None]
        for event in events:
            self._hand_out(event)
        if self.elsewhere is not None:
            self.elsewhere.tell(events)

    def _hand_out(self, event: Event) -> None:
        for watcher in self._watchers:
            watcher.put(event)

    def _note_progress(self) -> None:
        """Running requests of which something has changed since they were told about."""
        for entry in list(self._running.values())[-MOST_RUNNING:]:
            draft, passed = entry.draft, entry.work.passed
            seen = (draft.account, draft.backend, len(draft.attempts), draft.ttft_ms, passed)
            if seen != entry.told:
                entry.told = seen
                self._tell(Event(Change.PROGRESS, running_json(draft, passed)))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live-feed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _event_of(what: Event | _Finished, prices: PriceBook) -> Event | None:
    event = what if isinstance(what, Event) else what.event(prices)
    if event is not None:
        event.encode()  # here, not in the event loop
    return event


hub = Hub(prices=lambda: keeper.current.prices)
