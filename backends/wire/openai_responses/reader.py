"""A backend's stream of Responses events → neutral events.

Output items may overlap; what belongs to a later one waits until the earlier ones are over. Rule: an event of an
unknown type, or about something unknown, is a sign of life and nothing else.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping
from typing import Any

from backends.wire.conversation import (
    Alive,
    Began,
    Block,
    Closed,
    Ended,
    Event,
    Failed,
    Opened,
    Piece,
    Refusal,
    ToolCall,
)
from backends.wire.errors import ApiError
from backends.wire.openai_responses.errors_in import error_of
from backends.wire.openai_responses.item_reader import ItemReader, Op
from backends.wire.openai_responses.response_in import blocks_of, stop_of, text_of, usage_of
from backends.wire.sse import SseEvent, SseReader, SseTooLong
from backends.wire.stream import CUT_CODE, load_object
from backends.wire.target import Names
from backends.wire.usage import Usage

_OPENING = frozenset(("response.created", "response.in_progress", "response.queued"))
_MOST_WAITING = 16 * 2**20  # characters of later items that wait for an earlier one


class StreamReader:
    """One stream. `feed` it whatever comes; `close` it at the end."""

    __slots__ = (
        "_began",
        "_events",
        "_index",
        "_items",
        "_names",
        "_open",
        "_over",
        "_said",
        "_seen",
        "_sse",
    )

    def __init__(self, names: Names) -> None:
        self._names = names
        self._sse = SseReader()
        self._events: list[Event] = []
        self._items: dict[int, ItemReader] = {}  # the upstream's output_index → its item
        self._open: list[tuple[int, ItemReader]] = []  # not yet over, in order of place
        self._said: list[Block] = []  # calls and refusals: what decides why the answer ended
        self._index = 0
        self._seen = 0
        self._began = self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes."""
        if self._over:
            return []
        try:
            for event in self._sse.feed(chunk):
                self._see(event)
        except SseTooLong as exc:
            self._fail(ApiError(502, str(exc), code="event_too_large"))
        return self._taken()

    def close(self) -> list[Event]:
        """The end of the stream: a failure if no terminal event came."""
        if not self._over:
            message = "The backend ended the stream before its answer was complete. Send the request again."
            self._fail(ApiError(502, message, code=CUT_CODE))
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _see(self, event: SseEvent) -> None:
        data = load_object(event.data)
        if self._over or not data:
            return
        kind = text_of(data, "type") or event.name.decode("latin-1")
        if kind in ("error", "response.failed", "response.cancelled"):
            given = data.get("response")
            self._fail(_error(kind, data), usage_of(given) if isinstance(given, Mapping) else None)
            return
        response = data.get("response")
        is_first = not self._began
        if is_first:
            self._begin(response if isinstance(response, Mapping) else {})
        handle = _HANDLERS.get(kind)
        if handle is not None:
            handle(self, data)
        elif kind not in _OPENING:
            self._about_item(kind, data)
        elif not is_first:
            self._events.append(Alive())

    def _begin(self, response: Mapping[str, Any]) -> None:
        self._began = True
        created = response.get("created_at")
        known = int(created) if isinstance(created, int | float) and 0 <= created < 2**53 else None
        self._events.append(
            Began(text_of(response, "id"), text_of(response, "model"), usage_of(response), known)
        )

    def _about_item(self, kind: str, data: Mapping[str, Any]) -> None:
        """A delta or the end of a part. Without its item, what the event's type says must do."""
        place = data.get("output_index")
        item = self._items.get(place) if type(place) is int else None
        if item is None and type(place) is int and ItemReader.can_start(kind):
            item = self._add(place, {"type": "message"})
        if item is None or item.is_over or not item.take(kind, data):
            self._events.append(Alive())
            return
        self._pump()

    def _added(self, data: Mapping[str, Any]) -> None:
        place, item = data.get("output_index"), data.get("item")
        if type(place) is not int or not isinstance(item, Mapping):
            self._events.append(Alive())
            return
        known = self._items.get(place)
        if known is None or known.is_over:
            self._add(place, item)
        self._pump()

    def _add(self, place: int, item: Mapping[str, Any]) -> ItemReader:
        """Some servers use an index again: then the order is that of arrival. None goes before the one that speaks."""
        order = place if place not in self._items else max(place, self._seen)
        if self._open:
            order = max(order, self._open[0][0])
        self._seen = max(self._seen, order + 1)
        reader = self._items[place] = ItemReader(item, self._names)
        insort(self._open, (order, reader), key=lambda entry: entry[0])
        return reader

    def _done(self, data: Mapping[str, Any]) -> None:
        place, item = data.get("output_index"), data.get("item")
        if type(place) is not int or not isinstance(item, Mapping):
            self._events.append(Alive())
            return
        reader = self._items.get(place)
        if reader is None or reader.is_over:
            reader = self._add(place, item)
        reader.finish(item)
        self._pump()

    def _end(self, data: Mapping[str, Any]) -> None:
        given = data.get("response")
        response: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        output = response.get("output")
        items = output if isinstance(output, list) else []
        if not self._items:
            for place, item in enumerate(items):
                if blocks_of(item, self._names):
                    self._add(place, item).finish(item)
        for place, reader in self._items.items():
            if not reader.is_over:
                final = items[place] if 0 <= place < len(items) else None
                reader.finish(final if isinstance(final, Mapping) else {})
        self._pump()
        if self._over:
            return
        if data.get("type") == "response.incomplete":
            response = {**response, "status": "incomplete"}
        self._events.append(Ended(stop_of(response, self._said), usage=usage_of(response)))
        self._over = True

    def _fail(self, error: ApiError, usage: Usage | None = None) -> None:
        if not self._over:
            self._over = True
            self._open.clear()
            self._events.append(Failed(error, usage))

    def _pump(self) -> None:
        """Hand out what may go now: all of the first open item, and of the next once that one is over."""
        while self._open:
            reader = self._open[0][1]
            for op in reader.ready():
                self._hand_out(op)
            if not reader.is_over:
                break
            del self._open[0]
        waiting = sum(reader.waiting for _, reader in self._open)
        if waiting > _MOST_WAITING:
            self._fail(ApiError(502, "The backend sends too many answers at once.", code="stream_too_large"))

    def _hand_out(self, op: Op) -> None:
        if isinstance(op, Piece):
            op.index = self._index
            self._events.append(op)
        elif isinstance(op, Closed):
            self._events.append(Closed(self._index))
            self._index += 1
        else:
            if isinstance(op, ToolCall | Refusal):
                self._said.append(op)
            self._events.append(Opened(self._index, op))


def _error(kind: str, data: Mapping[str, Any]) -> ApiError:
    if kind == "response.cancelled":
        return ApiError(502, "The backend cancelled the answer. Send the request again.", code="cancelled")
    response = data.get("response")
    return error_of(response if isinstance(response, Mapping) else data)


_HANDLERS: dict[str, Callable[[StreamReader, Mapping[str, Any]], None]] = {
    "response.output_item.added": StreamReader._added,
    "response.output_item.done": StreamReader._done,
    "response.completed": StreamReader._end,
    "response.incomplete": StreamReader._end,
}
