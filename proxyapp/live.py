"""`/analytics/stream`: what ends, as it ends, as server-sent events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

import msgspec
from django.http.response import HttpResponseBase

from analytics.live.events import Batch, Change, Data, Watcher
from analytics.live.hub import Hub, TooManyWatchers, hub
from proxyapp.drain import DRAINING, draining
from proxyapp.errors import ProxyError
from proxyapp.request import ApiRequest
from proxyapp.responses import refuse
from proxyapp.streaming import SSE_HEADERS, StreamResponse
from proxyapp.views import identify, methods, open_draft

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"
MOST_ID = 64


@methods("GET")
async def stream(request: ApiRequest) -> HttpResponseBase:
    """The last 50 records, then each as its request ends. With `Last-Event-ID` only those after it."""
    try:
        await identify(request)
        feed = RecordFeed(hub, _watcher(), _last_seen(request))
    except ProxyError as error:
        return refuse(open_draft(request, None), error)
    request.watch()
    return StreamResponse(feed, 200, dict(SSE_HEADERS))


def _watcher() -> Watcher:
    try:
        if not draining():
            return hub.watch()
    except TooManyWatchers:
        pass
    raise ProxyError(
        503,
        "There are as many readers of the live feed as it takes, or Patchbay is leaving. Try again later.",
        code="feed_unavailable",
        is_rejection=True,
    )


def _last_seen(request: ApiRequest) -> str:
    return request.raw_headers.get(b"last-event-id", b"")[:MOST_ID].decode("latin-1")


class RecordFeed:
    """The records of one hub as server-sent events; the id of an event is the request's. A stream's source."""

    has_bytes = False

    def __init__(self, feed: Hub, watcher: Watcher, last_seen: str = "") -> None:
        self._hub, self._watcher, self._last_seen = feed, watcher, last_seen
        self._told: deque[str] = deque(maxlen=100)  # ids of the beginning, which may come again as events
        self._has_begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            return await self._beginning()
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    batch = await self._watcher.take()
            except TimeoutError:
                return HEARTBEAT
            if batch is None:
                raise StopAsyncIteration
            if told := self._events(batch):
                return told

    async def _beginning(self) -> bytes:
        recent = (await self._hub.picture()).recent
        self._told.extend(str(data["id"]) for data in recent)
        told = _after(recent, self._last_seen)
        return b"".join(_event(str(data["id"]), _encode(data)) for data in told) or HEARTBEAT

    def _events(self, batch: Batch) -> bytes:
        told = [b'event: lost\ndata: {"count":%d}\n\n' % batch.lost] if batch.lost else []
        for event in batch.events:
            if event.change is Change.ENDED and event.id not in self._told:
                told.append(_event(event.id, event.encode()))
        return b"".join(told)

    def close(self) -> None:
        """The reader is gone."""
        self._hub.leave(self._watcher)


_encode = msgspec.json.Encoder().encode


def _event(id_: str, data: bytes) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (id_.encode(), data)


def _after(recent: list[Data], last_seen: str) -> Iterable[Data]:
    """What came after the record that the reader has seen last; all, if that is not among them."""
    ids = [data["id"] for data in recent]
    return recent[ids.index(last_seen) + 1 :] if last_seen in ids else recent


async def end_feeds_at_drain() -> None:
    """A feed has no end of its own: nobody shall wait for it when the process leaves."""
    await DRAINING.event().wait()
    hub.end_watchers()
