"""`/ws/live`: the WebSocket of the live page. Staff only; the gate has already refused foreign origins.

To the page: `snapshot` (running requests and the last that ended), then `began`, `progress`, `ended`, `gone` with one
request each, and `lost` with a count, after which a new snapshot follows. From the page: `{"do": "filter",
"filter": {…}}`, `{"do": "pause"}`, `{"do": "resume"}`; a filter and a resume are answered with a snapshot.

`/ws/live?news` is for pages that show sums and look for themselves: it tells `news` and no more, at most once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec
from channels.generic.websocket import AsyncWebsocketConsumer

from analytics.live.events import Batch, Change, LiveFilter, Watcher
from analytics.live.hub import TooManyWatchers, hub
from backends.tasks import spawn
from proxyapp.drain import draining
from proxyapp.page_login import VIEW_HISTORY, may

logger = logging.getLogger("patchbay.live")

RECHECK_SECONDS = 60.0
NEWS_SECONDS = 1.0  # by then the history has what ended
# Codes of our own: autobahn lets an application use no others.
LOGGED_OUT = 4401
NOT_UNDERSTOOD = 4400
TRY_LATER = 4503
_encode = msgspec.json.Encoder().encode


class _Wish(msgspec.Struct):
    """What a page asks for."""

    do: str
    filter: dict[str, str] = {}


_decode = msgspec.json.Decoder(_Wish).decode


class LiveSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """One open live page. Its login is looked at again each minute, and whenever the page asks for something."""

    def __init__(self) -> None:
        super().__init__()
        self._watcher: Watcher | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = asyncio.Lock()
        self._is_over = False

    async def connect(self) -> None:
        """Let staff in."""
        if not await may(self._session, VIEW_HISTORY):
            await self.close()
            return
        with contextlib.suppress(TooManyWatchers):
            self._watcher = hub.watch() if not draining() else None
        await self.accept()
        if self._watcher is None:
            await self.close(TRY_LATER)
            return
        if self._wants_news:
            feeding = spawn(self._feed_news(self._watcher), name="live-news")
        else:
            await self._tell_all(self._watcher)
            feeding = spawn(self._feed(self._watcher), name="live-socket")
        self._tasks = [feeding, spawn(self._check_login(), name="live-login")]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A wish of the page."""
        if self._watcher is None or self._is_over or not await self._is_still_allowed():
            return
        try:
            await self._grant(self._watcher, _decode(text_data or ""))
        except (ValueError, msgspec.MsgspecError):
            await self._end(NOT_UNDERSTOOD)

    async def disconnect(self, code: int) -> None:
        """The page is gone."""
        for task in self._tasks:
            task.cancel()
        if self._watcher is not None:
            hub.leave(self._watcher)

    async def _end(self, code: int) -> None:
        """Close it, once, whoever finds first that it is over; nothing is sent after that."""
        if self._is_over:
            return
        self._is_over = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await self.close(code)

    async def _grant(self, watcher: Watcher, wish: _Wish) -> None:
        if wish.do == "filter":
            watcher.filter = LiveFilter.of(wish.filter)
        elif wish.do in ("pause", "resume"):
            watcher.is_paused = wish.do == "pause"
        else:
            raise ValueError(wish.do)
        if not watcher.is_paused:
            await self._tell_all(watcher)

    # --- telling -----------------------------------------------------------------------------------------------

    async def _feed(self, watcher: Watcher) -> None:
        while (batch := await watcher.take()) is not None:
            if not watcher.is_paused:
                await self._tell(watcher, batch)
        await self._end(TRY_LATER)

    async def _feed_news(self, watcher: Watcher) -> None:
        """After a pause, so that a look finds it written down; what happens in the pause is told after the next one."""
        while (batch := await watcher.take()) is not None:
            if batch.lost or any(event.change is not Change.PROGRESS for event in batch.events):
                await asyncio.sleep(NEWS_SECONDS)
                await self.send(text_data='{"type":"news"}')
        await self._end(TRY_LATER)

    async def _tell(self, watcher: Watcher, batch: Batch) -> None:
        for event in batch.events:
            await self.send(text_data=event.message())
        if batch.lost:
            await self.send(text_data=f'{{"type":"lost","count":{batch.lost}}}')
            await self._tell_all(watcher)

    async def _tell_all(self, watcher: Watcher) -> None:
        """How things stand, as far as the filter admits it; what waits in the queue is in it already."""
        async with self._asked:
            watcher.forget()
            picture = await hub.picture()
            admits = watcher.filter.admits
            shown = {
                "type": "snapshot",
                "running": [data for data in picture.running if admits(data)],
                "recent": [data for data in picture.recent if admits(data)],
            }
            await self.send(text_data=_encode(shown).decode())

    # --- the login ---------------------------------------------------------------------------------------------

    async def _check_login(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            if not await self._is_still_allowed():
                return

    async def _is_still_allowed(self) -> bool:
        """Whether the session lasts and its user may still see this; ends the connection otherwise."""
        if await may(self._session, VIEW_HISTORY):
            return True
        await self._end(LOGGED_OUT)
        return False

    @property
    def _wants_news(self) -> bool:
        return bool(self.scope["query_string"] == b"news")

    @property
    def _session(self) -> str:
        return str(self.scope["session"].session_key or "")
