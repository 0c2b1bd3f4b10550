"""Conversations that go on: what to keep of one answer, and how the next request continues it.

Rule: nothing given is changed; turns are shared, and copied where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from backends.wire.conversation import Conversation, Json, Reply, Text, ToolCall, ToolResult, Turn

ORIGINAL = (
    "$"  # in a conversation's extras: the client's request object, kept for what an answer repeats of it
)


def resolve(items: Sequence[Any], stored: Mapping[str, Json]) -> list[Any]:
    """The input items with each `item_reference` replaced by the stored item of that id; unknown ones stay."""
    return [stored.get(_referenced(item), item) for item in items]


def is_reference(item: object) -> bool:
    """Whether an input item only names another one. Its type may be left out."""
    return bool(_referenced(item))


def _referenced(item: object) -> str:
    if not isinstance(item, Mapping) or item.get("type", "item_reference") not in ("item_reference", None):
        return ""
    known = item.get("id")
    return known if isinstance(known, str) and "role" not in item else ""


def turns_of(reply: Reply) -> list[Turn]:
    """The answer as the turn it is in the rest of the conversation; none if it is empty."""
    return [Turn("assistant", list(reply.blocks))] if reply.blocks else []


def history_of(talk: Conversation, reply: Reply) -> list[Turn]:
    """All turns to keep under the answer's id for `with_history`: the request's, then the answer's.

    Leading developer texts are kept, `instructions` are not: they hold for one request.
    """
    opening = [Turn("system", [text]) for text in talk.system[_own_texts(talk) :]]
    return opening + _joined(talk.turns, turns_of(reply))


def with_history(talk: Conversation, earlier: list[Turn]) -> Conversation:
    """The request as if the client had sent the whole conversation; it refers to no earlier response any more."""
    opening, rest = _split_opening(earlier)
    own = _own_texts(talk)
    first, later = talk.system[:own], talk.system[own:]
    notes = [Turn("system", [text]) for text in later]
    if not rest:
        opening, notes = [*opening, *later], []
    turns = place_results(_joined(rest, notes + talk.turns))
    return replace(talk, system=first + opening, turns=turns, previous_response_id=None)


def place_results(turns: list[Turn]) -> list[Turn]:
    """The turns with each tool result in the turn right behind its call, where every protocol wants it."""
    owner: dict[str, int] = {}
    moved: dict[int, list[ToolResult]] = {}
    strayed: set[int] = set()
    for index, turn in enumerate(turns):
        for block in turn.blocks:
            if isinstance(block, ToolCall):
                owner[block.id] = index
            elif isinstance(block, ToolResult):
                home = owner.get(block.call_id, index - 1)
                if home != index - 1:
                    moved.setdefault(home, []).append(block)
                    strayed.add(index)
    return _rearranged(turns, moved, strayed) if moved else turns


def _rearranged(turns: list[Turn], moved: dict[int, list[ToolResult]], strayed: set[int]) -> list[Turn]:
    gone = {id(block) for blocks in moved.values() for block in blocks}
    placed: list[Turn] = []
    for index, turn in enumerate(turns):
        blocks = (
            [block for block in turn.blocks if id(block) not in gone] if index in strayed else turn.blocks
        )
        arriving = moved.get(index - 1)
        if arriving and turn.role == "user" and blocks and isinstance(blocks[0], ToolResult):
            first = next((at for at, b in enumerate(blocks) if not isinstance(b, ToolResult)), len(blocks))
            blocks = [*blocks[:first], *arriving, *blocks[first:]]
        elif arriving:
            placed.append(Turn("user", [*arriving]))
        if blocks:
            placed.append(turn if blocks is turn.blocks else replace(turn, blocks=blocks))
    return placed


def _own_texts(talk: Conversation) -> int:
    """How many of the first system texts are this request's alone: its `instructions`, if it has any."""
    original = talk.extras.get(ORIGINAL)
    return int(isinstance(original, Mapping) and bool(original.get("instructions")))


def _split_opening(turns: list[Turn]) -> tuple[list[Text], list[Turn]]:
    """The leading system texts, and the turns behind them."""
    at = next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
    texts = [block for turn in turns[:at] for block in turn.blocks if isinstance(block, Text)]
    return texts, turns[at:]


def _joined(before: list[Turn], after: list[Turn]) -> list[Turn]:
    """Both lists in one; an assistant turn that goes on in the second is one turn."""
    if before and after and before[-1].role == after[0].role == "assistant":
        seam = replace(before[-1], blocks=[*before[-1].blocks, *after[0].blocks])
        return [*before[:-1], seam, *after[1:]]
    return [*before, *after]
