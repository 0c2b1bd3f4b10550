"""One output item of a stream, from its first event to its last: what it adds to the answer, in order.

Rule: deltas are handed out as they come; the complete values in the closing events only add what deltas lacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from backends.wire.conversation import Block, Closed, Piece, Refusal, Text, Thinking
from backends.wire.openai_responses.response_in import (
    CALLS,
    arguments_of,
    blocks_of,
    call_of,
    is_wrapped,
    paragraphs,
    part_block,
    parts_of,
    text_of,
)
from backends.wire.target import Names

Op: TypeAlias = Block | Piece | Closed  # a block opens; more of it; it is complete. Indexes are set later.

_TEXT_DELTAS = {"response.output_text.delta": Text, "response.refusal.delta": Refusal}
_TEXT_DONES = {"response.output_text.done": (Text, "text"), "response.refusal.done": (Refusal, "refusal")}
_REASONING_DELTAS = {
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.reasoning_text.delta": ("content", "content_index"),
}
_CALL_DELTAS = frozenset(("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"))
_CALL_DONES = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}


class _Part:
    """One block of the item: `sent` characters of it were handed out."""

    __slots__ = ("block", "is_closed", "is_open", "ops", "sent")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.ops: list[Op] = []
        self.sent = 0
        self.is_open = self.is_closed = False

    def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self.ops.append(self.block)

    def add(self, text: str) -> None:
        if text and not self.is_closed:
            self.open()
            self.sent += len(text)
            self.ops.append(Piece(0, text))

    def fill(self, whole: str) -> None:
        """The complete text: what of it did not come yet."""
        self.add(whole[self.sent :])

    def close(self) -> None:
        if self.is_open and not self.is_closed:
            self.ops.append(Closed(0))
        self.is_closed = True


class ItemReader:
    """Takes the events about one item; `ready` gives what may be handed out while no earlier item is open."""

    __slots__ = ("_item", "_kind", "_names", "_paragraph", "_parts", "_source", "_withheld", "is_over")

    def __init__(self, item: Mapping[str, Any], names: Names) -> None:
        self._item, self._names = item, names
        self._kind = text_of(item, "type")
        self._parts: dict[int, _Part] = {}  # of a message by content_index; of all else one, at 0
        self._source = ""  # of reasoning: summary or content, whichever came first
        self._paragraph = 0
        self._withheld: list[str] | None = None  # arguments that hold a custom tool's text inside
        self.is_over = False
        if self._kind in CALLS and text_of(item, "name"):
            self._open_call(item)

    @staticmethod
    def can_start(kind: str) -> bool:
        """Whether an event of this type makes sense although its item was never announced."""
        return kind in _TEXT_DELTAS

    @property
    def waiting(self) -> int:
        """Characters that were not handed out yet."""
        withheld = sum(map(len, self._withheld or ()))
        return withheld + sum(
            len(op.text) for part in self._parts.values() for op in part.ops if isinstance(op, Piece)
        )

    def ready(self) -> list[Op]:
        """What may go now: a part's once the parts that came before it are closed, whatever their indexes are."""
        ops: list[Op] = []
        for part in self._parts.values():
            ops += part.ops
            part.ops = []
            if not part.is_closed:
                break
        return ops

    def take(self, kind: str, data: Mapping[str, Any]) -> bool:
        """An event about the item; False if it says nothing new."""
        if kind in _TEXT_DELTAS:
            self._part_at(data, _TEXT_DELTAS[kind]("")).add(text_of(data, "delta"))
        elif kind in _TEXT_DONES:
            block, name = _TEXT_DONES[kind]
            self._part_at(data, block("")).fill(text_of(data, name))
        elif kind == "response.content_part.done":
            self._finish_part(data)
        elif kind in _REASONING_DELTAS:
            self._reason(*_REASONING_DELTAS[kind], data)
        elif kind in _CALL_DELTAS:
            self._argue(text_of(data, "delta"))
        elif kind in _CALL_DONES and 0 in self._parts and self._withheld is None:
            self._parts[0].fill(text_of(data, _CALL_DONES[kind]))
        else:
            return False
        return True

    def finish(self, item: Mapping[str, Any]) -> None:
        """The item is over; `item` is all of it, or empty if the backend does not say."""
        same = not item or text_of(item, "type") == self._kind
        whole = {**self._item, **item} if same else self._item
        if self._kind == "message":
            for index, content in enumerate(parts_of(whole, "content")):
                self._fill_part(index, content)
        elif self._kind == "reasoning":
            self._finish_reasoning(whole)
        elif self._kind in CALLS:
            self._finish_call(whole)
        else:
            for block in blocks_of(whole, self._names):
                self._only(block).open()
        for part in self._parts.values():
            part.close()
        self.is_over = True

    def _only(self, block: Block) -> _Part:
        return self._parts.setdefault(0, _Part(block))

    def _part_at(self, data: Mapping[str, Any], block: Text | Refusal) -> _Part:
        index = data.get("content_index")
        return self._parts.setdefault(index if type(index) is int else 0, _Part(block))

    def _finish_part(self, data: Mapping[str, Any]) -> None:
        index, part = data.get("content_index"), data.get("part")
        place = index if type(index) is int else 0
        if isinstance(part, Mapping) and self._kind == "message":
            self._fill_part(place, part)
            if place in self._parts:
                self._parts[place].close()

    def _fill_part(self, index: int, part: Mapping[str, Any]) -> None:
        block = part_block(part)
        if block is not None and block.text:
            self._parts.setdefault(index, _Part(type(block)(""))).fill(block.text)

    def _reason(self, source: str, place: str, data: Mapping[str, Any]) -> None:
        text, at = text_of(data, "delta"), data.get(place)
        if not text or (self._source and self._source != source):
            return
        self._source = source
        part = self._only(self._thinking())
        if part.sent and at != self._paragraph:
            part.add("\n\n")
        self._paragraph = at if type(at) is int else 0
        part.add(text)

    def _thinking(self) -> Thinking:
        known = text_of(self._item, "id") or None
        return Thinking(origin="responses", id=known, is_summary=self._source == "summary")

    def _finish_reasoning(self, item: Mapping[str, Any]) -> None:
        self._source = self._source or ("summary" if paragraphs(item, "summary") else "content")
        part = self._only(self._thinking())
        part.fill(paragraphs(item, self._source))
        encrypted = text_of(item, "encrypted_content")
        if encrypted:
            part.open()
            part.ops.append(Piece(0, encrypted=encrypted))

    def _open_call(self, item: Mapping[str, Any]) -> None:
        if is_wrapped(item, self._names):
            self._withheld = self._withheld or []
        part = self._only(call_of(item, self._names))
        part.open()

    def _argue(self, text: str) -> None:
        if 0 not in self._parts:  # its name is still to come
            self._withheld = self._withheld or []
        if self._withheld is not None:
            self._withheld.append(text)
        else:
            self._parts[0].add(text)

    def _finish_call(self, item: Mapping[str, Any]) -> None:
        if not text_of(item, "name"):
            return
        name = CALLS[self._kind]
        if not item.get(name) and self._withheld:
            item = {**item, name: "".join(self._withheld)}
        self._withheld = None
        self._open_call(item)
        part = self._parts[0]
        arguments = arguments_of(item, self._names)
        if part.sent and not item.get(name):
            return  # all there is came in deltas
        if arguments:
            part.fill(arguments)
        else:
            part.ops.append(Piece(0, ""))
