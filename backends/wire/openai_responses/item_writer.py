"""One output item as a client of Responses sees it in a stream: its events from `added` to just before `done`."""

from __future__ import annotations

from typing import Any

from backends.wire.conversation import Block, Foreign, Json, Piece, Refusal, Text, Thinking, ToolCall
from backends.wire.openai_responses.response_out import (
    call_id,
    call_item,
    foreign_item,
    message_item,
    part_of,
    reasoning_item,
)
from backends.wire.openai_responses.sealed import seal

Events = list[tuple[str, dict[str, Any]]]


class ItemWriter:
    """`start`, any number of `add`, `finish`. The item is announced with its first content."""

    __slots__ = ("_known", "_pieces", "_place", "block", "is_announced")

    def __init__(self, block: Block, known: str, index: int) -> None:
        self.block = block
        self._known = known
        self._place = {"item_id": known, "output_index": index}
        self._pieces: list[str] = []
        self.is_announced = False

    def start(self) -> Events:
        """What is sent as soon as the block opens."""
        return []

    def add(self, piece: Piece) -> Events:
        """More of the block."""
        if not piece.text:
            return []
        events = self._announce()
        self._pieces.append(piece.text)
        return [*events, self._delta(piece.text)]

    def finish(self) -> tuple[Events, Json | None]:
        """What closes the content, and the whole item; nothing if it was never announced."""
        if not self.is_announced:
            return [], None
        text = "".join(self._pieces)
        return self._ends(text), self._whole(text)

    def _announce(self) -> Events:
        if self.is_announced:
            return []
        self.is_announced = True
        added = {"output_index": self._place["output_index"], "item": self._empty()}
        return [("response.output_item.added", added), *self._opening()]

    def _empty(self) -> Json:
        raise NotImplementedError

    def _opening(self) -> Events:
        return []

    def _delta(self, text: str) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError

    def _ends(self, text: str) -> Events:
        raise NotImplementedError

    def _whole(self, text: str) -> Json:
        raise NotImplementedError


class MessageWriter(ItemWriter):
    """Text or a refusal: a message with one part."""

    __slots__ = ()
    block: Text | Refusal

    def _empty(self) -> Json:
        return message_item(self._known, [], "in_progress")

    def _opening(self) -> Events:
        part = part_of(self.block, "")
        return [("response.content_part.added", {**self._place, "content_index": 0, "part": part})]

    def _delta(self, text: str) -> tuple[str, dict[str, Any]]:
        fields = {**self._place, "content_index": 0, "delta": text}
        if isinstance(self.block, Refusal):
            return "response.refusal.delta", fields
        return "response.output_text.delta", fields | {"logprobs": []}

    def _ends(self, text: str) -> Events:
        place = {**self._place, "content_index": 0}
        part = ("response.content_part.done", {**place, "part": part_of(self.block, text)})
        if isinstance(self.block, Refusal):
            return [("response.refusal.done", {**place, "refusal": text}), part]
        return [("response.output_text.done", {**place, "text": text, "logprobs": []}), part]

    def _whole(self, text: str) -> Json:
        return message_item(self._known, [part_of(self.block, text)])


class ReasoningWriter(ItemWriter):
    """Thinking: its text as a summary of one part; a signature goes along sealed."""

    __slots__ = ("_encrypted", "_signature")
    block: Thinking

    def __init__(self, block: Thinking, known: str, index: int) -> None:
        super().__init__(block, known, index)
        self._signature: str | None = None
        self._encrypted: str | None = None

    def add(self, piece: Piece) -> Events:
        """More text, or what proves it: the last signature counts."""
        events: Events = []
        if piece.signature or piece.encrypted:
            self._signature = piece.signature or self._signature
            self._encrypted = piece.encrypted or self._encrypted
            events = self._announce()
        if piece.text and not self._pieces:
            events += [*self._announce(), self._part("added", "")]
        return events + super().add(piece)

    def _empty(self) -> Json:
        return reasoning_item(self._known, "", None, "in_progress")

    def _part(self, what: str, text: str) -> tuple[str, dict[str, Any]]:
        part = {"type": "summary_text", "text": text}
        return f"response.reasoning_summary_part.{what}", {**self._place, "summary_index": 0, "part": part}

    def _delta(self, text: str) -> tuple[str, dict[str, Any]]:
        return "response.reasoning_summary_text.delta", {**self._place, "summary_index": 0, "delta": text}

    def _ends(self, text: str) -> Events:
        if not text:
            return []
        done = {**self._place, "summary_index": 0, "text": text}
        return [("response.reasoning_summary_text.done", done), self._part("done", text)]

    def _whole(self, text: str) -> Json:
        thinking = Thinking(text, self.block.origin, self._signature, self._encrypted)
        return reasoning_item(self._known, text, seal(thinking))


class CallWriter(ItemWriter):
    """A call. It is announced at once: which tool it will be is worth showing."""

    __slots__ = ("_called",)
    block: ToolCall

    def __init__(self, block: ToolCall, known: str, index: int, called: set[str]) -> None:
        super().__init__(block, known, index)
        self._called = call_id(block, known, called)

    def start(self) -> Events:
        """The item with its name and no arguments yet."""
        return self._announce()

    def _empty(self) -> Json:
        item = call_item(self.block, self._known, self._called, "", "in_progress")
        return item if self.block.is_custom else {**item, "arguments": ""}

    def _delta(self, text: str) -> tuple[str, dict[str, Any]]:
        kind = "custom_tool_call_input" if self.block.is_custom else "function_call_arguments"
        return f"response.{kind}.delta", {**self._place, "delta": text}

    def _ends(self, text: str) -> Events:
        if self.block.is_custom:
            return [("response.custom_tool_call_input.done", {**self._place, "input": text})]
        done = ("response.function_call_arguments.done", {**self._place, "arguments": text or "{}"})
        done[1]["name"] = self.block.name
        return [done] if text else [self._delta("{}"), done]

    def _whole(self, text: str) -> Json:
        return call_item(self.block, self._known, self._called, text)


class ForeignWriter(ItemWriter):
    """A hosted call of this protocol, whole."""

    __slots__ = ()
    block: Foreign

    def start(self) -> Events:
        """The item as it is."""
        return self._announce()

    def _empty(self) -> Json:
        return foreign_item(self.block, self._known)

    def _ends(self, text: str) -> Events:
        return []

    def _whole(self, text: str) -> Json:
        return self._empty()


def item_writer(block: Block, known: str, index: int, called: set[str]) -> ItemWriter:
    """The writer for a block; `called` holds the call ids of this answer."""
    if isinstance(block, Text | Refusal):
        return MessageWriter(block, known, index)
    if isinstance(block, Thinking):
        return ReasoningWriter(block, known, index)
    if isinstance(block, ToolCall):
        return CallWriter(block, known, index, called)
    if isinstance(block, Foreign):
        return ForeignWriter(block, known, index)
    raise TypeError(f"A {type(block).__name__} is no output.")
