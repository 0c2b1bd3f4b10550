"""How many tokens a request may have, for backends that do not count. An estimate, a little on the high side.

Counting with a foreign tokenizer would be no better: every model family has its own. What helps is calibration: the
caller keeps, per backend and model, how many characters a token turned out to be, and passes that in.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from backends.wire.conversation import (
    Block,
    Conversation,
    Foreign,
    HostedTool,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

CHARACTERS_PER_TOKEN = 3.5
TOKENS_PER_TURN = 4
TOKENS_PER_MEDIA = 1600  # an image of the largest size that is not scaled down


def estimate_tokens(talk: Conversation, characters_per_token: float = CHARACTERS_PER_TOKEN) -> int:
    """Input tokens of a request; at least 1."""
    fixed = TOKENS_PER_TURN * (len(talk.turns) + bool(talk.system)) + TOKENS_PER_MEDIA * count_media(talk)
    return max(1, fixed + round(count_characters(talk) / characters_per_token))


def count_characters(talk: Conversation) -> int:
    """All text that the model reads: system, turns, tool definitions."""
    tools = sum(
        _tool_size(tool.raw) if isinstance(tool, HostedTool) else _tool_size(tool) for tool in talk.tools
    )
    return sum(len(text.text) for text in talk.system) + tools + sum(map(_size, _blocks(talk)))


def count_media(talk: Conversation) -> int:
    """Images, documents and sounds, also those in tool results."""
    return sum(isinstance(block, Media) and block.text is None for block in _blocks(talk))


def _blocks(talk: Conversation) -> Iterable[Block]:
    for turn in talk.turns:
        for block in turn.blocks:
            yield block
            if isinstance(block, ToolResult):
                yield from block.content


def _size(block: Block) -> int:
    if isinstance(block, Text | Refusal | Thinking):
        return len(block.text)
    if isinstance(block, ToolCall):
        return len(block.name) + len(block.arguments)
    if isinstance(block, Media):
        return len(block.text or "")
    return len(msgspec.json.encode(block.raw)) if isinstance(block, Foreign) else 0


def _tool_size(tool: object) -> int:
    return len(msgspec.json.encode(tool))
