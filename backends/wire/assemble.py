"""A whole reply from the events of a stream: what a buffered answer would have been."""

from __future__ import annotations

from dataclasses import replace

from backends.wire.conversation import (
    Began,
    Block,
    Ended,
    Event,
    Opened,
    Piece,
    Refusal,
    Reply,
    Stop,
    Text,
    Thinking,
    ToolCall,
)
from backends.wire.errors import ApiError


class Assembly:
    """Takes events one by one. `reply` is complete once `ended` is true; `error` is set by a failed stream."""

    def __init__(self) -> None:
        self.reply = Reply(id="", model="", blocks=[], stop=Stop.END)
        self.ended = False
        self.error: ApiError | None = None
        self._texts: list[list[str]] = []  # of each block: joined once, at its end

    def take(self, event: Event) -> None:
        """One more event, in the order in which a reader makes them."""
        if isinstance(event, Piece):
            self._add(event)
        elif isinstance(event, Opened):
            self.reply.blocks.append(replace(event.block))
            self._texts.append([])
        elif isinstance(event, Began):
            self.reply.id, self.reply.model = event.id, event.model
            self.reply.usage, self.reply.created = event.usage, event.created
        elif isinstance(event, Ended):
            self._end(event)

    def _add(self, piece: Piece) -> None:
        self._texts[-1].append(piece.text)
        block = self.reply.blocks[-1]
        if piece.citation is not None and isinstance(block, Text):
            block.citations = [*(block.citations or ()), piece.citation]
        if isinstance(block, Thinking):
            block.signature = piece.signature or block.signature
            block.encrypted = piece.encrypted or block.encrypted

    def _end(self, event: Ended) -> None:
        self.ended = True
        self.reply.stop, self.reply.stop_sequence = event.stop, event.stop_sequence
        self.reply.usage = event.usage or self.reply.usage
        for block, texts in zip(self.reply.blocks, self._texts, strict=True):
            _finish(block, "".join(texts))


def _finish(block: Block, text: str) -> None:
    if isinstance(block, ToolCall):
        block.arguments += text
    elif isinstance(block, Text | Thinking | Refusal):
        block.text += text
