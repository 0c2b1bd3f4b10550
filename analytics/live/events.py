"""What the live feed tells, and to whom: events, filters, and the bounded queue of each reader.

Rule: everything here belongs to one event loop. A reader that is slow loses the oldest events of its queue and is
told how many; nobody ever waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from analytics.draft_rows import record_row
from analytics.drafts import RecordDraft
from analytics.models import RequestRecord
from analytics.rows import iso, record_json
from backends.prices import PriceBook

QUEUE_EVENTS = 200
Data = Mapping[str, object]
_encode = msgspec.json.Encoder().encode


class Change(StrEnum):
    """What happened to a request. `GONE`: it is no longer shown, without a record that would fit."""

    BEGAN = "began"
    PROGRESS = "progress"
    ENDED = "ended"
    GONE = "gone"


class Event:
    """One change of one request. `data`: the fields of a running request, or of `history --json` once it has ended."""

    __slots__ = ("_body", "change", "data")

    def __init__(self, change: Change, data: Data) -> None:
        self.change, self.data = change, data
        self._body: bytes | None = None

    @property
    def id(self) -> str:
        """The request's."""
        return str(self.data["id"])

    def encode(self) -> bytes:
        """`data` as JSON, made once for all readers."""
        if self._body is None:
            self._body = _encode(self.data)
        return self._body

    def message(self) -> str:
        """For a WebSocket: `{"type": "ended", "request": {…}}`."""
        return f'{{"type":"{self.change.value}","request":{self.encode().decode()}}}'


@dataclass(frozen=True, slots=True)
class LiveFilter:
    """Which requests a reader wants; empty means any. `model` and `key` and the others match without regard to case.

    `model` is any part of the name asked for or used; the rest are whole names.
    """

    model: str = ""
    backend: str = ""
    account: str = ""
    key: str = ""
    outcome: str = ""

    @classmethod
    def of(cls, wanted: Mapping[str, object]) -> LiveFilter:
        """From what a page sent. Raises ValueError for anything but short texts under known names."""
        known = cls.__slots__
        for name, value in wanted.items():
            if name not in known or not isinstance(value, str) or len(value) > 200:
                raise ValueError(f"A filter takes texts for: {', '.join(known)}.")
        return cls(**{name: str(value).strip().lower() for name, value in wanted.items()})

    def admits(self, data: Data) -> bool:
        """Whether a request is shown. What a running one does not have yet, it may still get."""
        names = [str(data.get(part) or "").lower() for part in ("modelAsked", "modelUsed")]
        if self.model and any(names) and not any(self.model in name for name in names):
            return False
        parts = {part: getattr(self, part) for part in ("backend", "account", "key", "outcome")}
        has_ended = "outcome" in data
        for part, wanted in parts.items():
            found = data.get(part)
            if wanted and (has_ended or found is not None) and str(found or "").lower() != wanted:
                return False
        return True


EVERYTHING = LiveFilter()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a reader has not seen yet, oldest first. `lost`: events before these that its queue had no room for."""

    events: Sequence[Event]
    lost: int = 0


class Watcher:
    """One reader's queue. Made by the hub, which also ends it."""

    def __init__(self, room: int = QUEUE_EVENTS) -> None:
        self.filter = EVERYTHING
        self.is_paused = False
        self.has_ended = False
        self._queue: deque[Event] = deque()
        self._room = room
        self._lost = 0
        self._ready = asyncio.Event()

    def put(self, event: Event) -> None:
        """Take an event, if this reader wants it."""
        if self.is_paused:
            return
        if self.filter is not EVERYTHING and not self.filter.admits(event.data):
            event = Event(Change.GONE, {"id": event.id})
        if len(self._queue) >= self._room:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(event)
        self._ready.set()

    def miss(self) -> None:
        """An event was lost before it came here."""
        self._lost += 1

    async def take(self) -> Batch | None:
        """Wait for events and take all there are; None once the feed has ended."""
        await self._ready.wait()
        if self.has_ended:
            return None
        batch = Batch(tuple(self._queue), self._lost)
        self.forget()
        return batch

    def forget(self) -> None:
        """Drop what waits: the reader gets a new picture instead."""
        self._queue.clear()
        self._lost = 0
        if not self.has_ended:
            self._ready.clear()

    def end(self) -> None:
        """There will be no more."""
        self.has_ended = True
        self._ready.set()


def running_json(draft: RecordDraft, passed: int) -> dict[str, object]:
    """A request that runs: what is known so far, in the names of `history --json`. `bytes`: passed to the client."""
    return {
        "id": draft.id,
        "startedAt": iso(draft.started_at),
        "ageMs": round(draft.since_start_ms()),
        "phase": _phase(draft),
        "kind": draft.kind.value if draft.kind else None,
        "protocol": draft.protocol.value,
        "lane": draft.lane or None,
        "stream": draft.stream,
        "modelAsked": _storable(draft.model_asked) or None,
        "modelUsed": _storable(draft.model_used) or None,
        "backend": draft.backend or None,
        "account": draft.account or None,
        "key": draft.key or None,
        "session": _storable(draft.session) or None,
        "attempts": len(draft.attempts),
        "ttftMs": None if draft.ttft_ms is None else round(draft.ttft_ms, 1),
        "bytes": passed,
    }


def _phase(draft: RecordDraft) -> str:
    """`choosing` an account, `waiting` for the answer, `streaming` it."""
    if draft.ttft_ms is not None:
        return "streaming"
    return "waiting" if draft.attempts else "choosing"


def ended_json(draft: RecordDraft, prices: PriceBook) -> dict[str, object]:
    """A request that has ended: the fields of `history --json`. `prices`: the operator's own.

    It prices the request, so never in the event loop.
    """
    return record_json(RequestRecord(**record_row(draft, prices)))


def _storable(text: str) -> str:
    text = text[:200]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
