"""Deltas of an answer, in whatever order a server sends them, as blocks that stand one behind the other.

Reasoning, text, refusal and each tool call are lanes. Rule: only the first lane that is not finished speaks; what
arrives for later ones waits. Text-like lanes end when anything else begins, a tool call when its arguments are whole
JSON and something waits behind it, or at the end of the answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backends.wire.conversation import (
    Block,
    Closed,
    Event,
    Json,
    Opened,
    Piece,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.openai_chat.details import DetailsSoFar, is_opaque
from backends.wire.target import Names, short_hash, unwrap_custom

LEGACY = -1  # the index of the one call that the old form knows
LIMIT = 16 * 2**20  # characters that one answer may keep waiting
_LANE_SIZE = 500  # what a call takes even if it says nothing
_MOST_LOOKS = 500


class TooMuch(ValueError):
    """More waits than one answer may keep in memory."""


class Nameless(ValueError):
    """A tool call came without the name of a tool."""


@dataclass(slots=True, eq=False)
class Lane:
    """One block to be. `kind`: text, thinking, refusal or tool. `waiting`: what was not handed out yet."""

    kind: str
    waiting: list[str] = field(default_factory=list)
    has_words: bool = False  # something other than blanks has come
    is_open: bool = False
    is_done: bool = False
    index: int = -1
    details: DetailsSoFar | None = None  # of thinking
    id: str = ""  # from here on: of tools
    name: str = ""
    extra: Json | None = None
    is_native_custom: bool = False
    said: list[str] = field(default_factory=list)  # all of the arguments
    looks: int = 0  # how often `said` was parsed
    looked_at: int = 0  # how much of it
    was_whole: bool = False

    def is_whole(self) -> bool:
        """Whether nothing can follow: the arguments are a complete JSON object. Asked too often, it says no."""
        if self.is_native_custom or self.looked_at == len(self.said) or self.looks == _MOST_LOOKS:
            return self.was_whole
        self.looked_at = len(self.said)
        if self.said[-1].rstrip().endswith("}"):
            self.looks += 1
            self.was_whole = _is_object("".join(self.said))
        return self.was_whole


class Lanes:
    """The lanes of one answer. Each method returns the events that have become due."""

    __slots__ = (
        "_by_id",
        "_by_key",
        "_count",
        "_kept",
        "_names",
        "_queue",
        "_seed",
        "_tools",
        "_used",
        "has_refusal",
    )

    def __init__(self, names: Names) -> None:
        self._names = names
        self._queue: deque[Lane] = deque()
        self._tools: list[Lane] = []
        self._by_key: dict[int, Lane] = {}
        self._by_id: dict[str, Lane] = {}
        self._used: set[str] = set()  # ids that were handed out
        self._count = 0  # blocks opened
        self._kept = 0
        self._seed = ""
        self.has_refusal = False  # whether such a block was handed out

    def begin(self, seed: str) -> None:
        """The answer's id: ids that have to be made for calls depend on it."""
        self._seed = seed

    @property
    def saw_calls(self) -> bool:
        """Whether a call in the new form has begun: some servers repeat it in the old form."""
        return len(self._tools) > (LEGACY in self._by_key)

    @property
    def has_tools(self) -> bool:
        """Whether a tool call was handed out."""
        return bool(self._used)

    def say(self, kind: str, words: str) -> list[Event]:
        """Words of the text-like lane `kind`."""
        if not words:
            return []
        lane = self._lane(kind)
        lane.waiting.append(words)
        lane.has_words = lane.has_words or not words.isspace()
        return self._advance(len(words), lane)

    def keep(self, details: object) -> list[Event]:
        """What comes with the reasoning and can only be sent back. It may come after the reasoning has ended."""
        lane = next((lane for lane in reversed(self._queue) if lane.kind == "thinking"), None)
        if lane is None:
            if not is_opaque(details):
                return []
            lane = self._lane("thinking")
        lane.details = lane.details or DetailsSoFar()
        self._kept += lane.details.add(details)
        return self._advance(0, lane)

    def _lane(self, kind: str) -> Lane:
        if not self._queue or self._queue[-1].kind != kind:
            self._queue.append(Lane(kind))
        return self._queue[-1]

    def call(self, delta: dict[str, Any], *, position: int | None = None) -> list[Event]:
        """A delta of a tool call. `position` stands in for a missing index (buffered answers)."""
        custom = delta.get("custom")
        inner = custom if isinstance(custom, dict) else delta.get("function")
        inner = inner if isinstance(inner, dict) else {}
        call_id, name, index = _text(delta.get("id")), _text(inner.get("name")), delta.get("index")
        key = index if type(index) is int else position
        lane = self._find(key, call_id, name) or self._new(key, call_id, isinstance(custom, dict))
        lane.id = lane.id or call_id
        lane.name = lane.name or name
        extra = delta.get("extra_content")
        if isinstance(extra, dict) and extra and lane.extra is None:
            lane.extra = {"extra_content": extra}
        words = _arguments(inner.get("input" if lane.is_native_custom else "arguments"))
        if words and not lane.is_done:
            lane.waiting.append(words)
            lane.said.append(words)
            self._kept += 2 * len(words)
        return self._advance(0, lane)

    def _new(self, key: int | None, call_id: str, is_custom: bool) -> Lane:
        lane = Lane("tool", id=call_id, is_native_custom=is_custom)
        self._kept += _LANE_SIZE
        self._queue.append(lane)
        self._tools.append(lane)
        if key is not None:
            self._by_key[key] = lane
        if call_id:
            self._by_id[call_id] = lane
        return lane

    def _find(self, key: int | None, call_id: str, name: str) -> Lane | None:
        """The call that a delta continues. Index and id are each missing, constant or repeated somewhere."""
        if key is not None:
            lane = self._by_key.get(key)
        elif call_id:
            lane = self._by_id.get(call_id)
        else:
            lane = self._tools[-1] if self._tools else None
        if lane is None or not name or not lane.name:
            return lane
        if key is None and not call_id:
            return None  # whole calls without index and id: each names its tool
        begins_again = call_id != lane.id if call_id and key is not None else lane.is_whole()
        return None if begins_again else lane

    def _advance(self, size: int, lane: Lane) -> list[Event]:
        """Hand out what may be handed out; `size` is what has to be kept if the lane cannot speak yet."""
        events: list[Event] = []
        while len(self._queue) > 1 and self._may_end(self._queue[0]):
            self._end(self._queue.popleft(), events)
        self._speak(self._queue[0], events)
        if lane.waiting:
            self._kept += size
        if self._kept > LIMIT:
            raise TooMuch(
                f"The upstream's answer keeps more than {LIMIT} characters waiting. Check the backend."
            )
        return events

    @staticmethod
    def _may_end(lane: Lane) -> bool:
        return lane.kind != "tool" or lane.is_whole()

    def close(self) -> list[Event]:
        """The end of the answer: everything that waits is whole now. Raises Nameless."""
        events: list[Event] = []
        while self._queue:
            self._end(self._queue.popleft(), events)
        return events

    def _speak(self, lane: Lane, events: list[Event]) -> None:
        """Open the lane if it can be, and hand out what waits in it."""
        if not lane.is_open:
            if not self._can_open(lane):
                return
            self._open(lane, events)
        if lane.waiting:
            events.append(Piece(lane.index, "".join(lane.waiting)))
            lane.waiting.clear()

    def _can_open(self, lane: Lane) -> bool:
        """Blank text alone is no block: other providers refuse it when it comes back."""
        if lane.kind != "tool":
            return lane.has_words
        return bool(lane.name) and not self._is_custom(lane)  # a custom tool's text is inside JSON: it waits

    def _is_custom(self, lane: Lane) -> bool:
        return lane.is_native_custom or self._names.client(lane.name).is_custom

    def _open(self, lane: Lane, events: list[Event]) -> None:
        lane.index, lane.is_open = self._count, True
        self._count += 1
        events.append(Opened(lane.index, self._block(lane)))

    def _block(self, lane: Lane) -> Block:
        if lane.kind == "text":
            return Text("")
        if lane.kind == "thinking":
            return Thinking(origin="chat")
        if lane.kind == "refusal":
            self.has_refusal = True
            return Refusal("")
        known = self._names.client(lane.name)
        call_id = self._call_id(lane)
        return ToolCall(call_id, known.name, "", self._is_custom(lane), known.namespace, extra=lane.extra)

    def _call_id(self, lane: Lane) -> str:
        """Its own id; one is made where it has none or shares it with an earlier call."""
        if not lane.id or lane.id in self._used:
            lane.id = f"call_{short_hash(f'{self._seed}:{len(self._used)}:{lane.name}:{lane.id}', 24)}"
        self._used.add(lane.id)
        return lane.id

    def _end(self, lane: Lane, events: list[Event]) -> None:
        lane.is_done = True
        if lane.kind == "tool":
            self._end_tool(lane, events)
        else:
            self._end_text(lane, events)
        if lane.is_open:
            events.append(Closed(lane.index))

    def _end_text(self, lane: Lane, events: list[Event]) -> None:
        sealed = lane.details.json() if lane.details else None
        if sealed is not None and not lane.is_open:
            self._open(lane, events)
        self._speak(lane, events)
        if sealed is not None:
            events.append(Piece(lane.index, encrypted=sealed))

    def _end_tool(self, lane: Lane, events: list[Event]) -> None:
        said = "".join(lane.said)
        if not lane.name:
            if said or lane.id:
                raise Nameless(
                    "The upstream called a tool without naming it. Try again, or use another model."
                )
            return
        if self._is_custom(lane):
            self._open(lane, events)
            events.append(Piece(lane.index, said if lane.is_native_custom else unwrap_custom(said)))
            return
        if not said.strip():
            lane.waiting = ["{}"]
        self._speak(lane, events)


def _is_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: object) -> str:
    """Arguments as text; some servers send the object."""
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return _text(value)
