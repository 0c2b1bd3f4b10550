"""How the three protocols cut text into the events of a stream: which strings are pieces of one text, and when it ends.

A channel is one text that grows over events: (choice or block, …). Only its pieces can cut a placeholder in two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from backends.wire.kinds import Kind
from backends.wire.redaction.content import Level, Path, Slot
from backends.wire.redaction.strings import Node, member

Channel = tuple[object, ...]
_CALLS = frozenset({"tool_calls", "function_call"})
_KEPT_INSIDE = ("type", "index", "finish_reason")


def channel_of(kind: Kind, event: Node, slot: Slot) -> Channel | None:
    """The channel that a string of an event belongs to; None for a string that stands there whole."""
    path = slot.path
    if kind is Kind.MESSAGES:
        is_piece = len(path) == 2 and path[0] == "delta" and member(event, "type") == "content_block_delta"
        return (member(event, "index"), path[1]) if is_piece else None
    if kind is Kind.RESPONSES:
        return _responses_channel(event) if path == ("delta",) else None
    if len(path) < 3 or path[0] != "choices" or path[2] not in ("delta", "text"):
        return None
    choice = _element(event, path[:2])
    return (_index(choice, path[1]), *_indexed(choice, path[2:]))


def level_of(kind: Kind, event: Node, slot: Slot) -> Level:
    """A delta of Responses tells by the event's type what it is a piece of."""
    if kind is not Kind.RESPONSES or slot.path != ("delta",):
        return slot.level
    name = str(member(event, "type"))
    if name.endswith("arguments.delta"):
        return Level.JSON
    return Level.TEXT if name == "response.output_text.delta" else Level.VALUE


def ended_by(kind: Kind, event: Node, held: Iterable[Channel], spoken: set[Channel]) -> list[Channel]:
    """The held channels that get no further piece, or whose rest must not come behind this event.

    `spoken`: the channels that this event has a piece of that is not empty.
    """
    if kind is Kind.MESSAGES:
        return _ended_messages(event, held)
    if kind is Kind.RESPONSES:
        return _ended_responses(event, held)
    return _ended_chat(event, held, spoken)


def is_last(kind: Kind, event: Node, channel: Channel) -> bool:
    """Whether this event's piece of the channel is its last."""
    return kind in (Kind.CHAT, Kind.COMPLETIONS) and channel[0] in _finished(event)


def piece_event(data: bytes, path: Path, text: str) -> bytes:
    """The data of one more event that carries `text` where the event `data` had its piece, and nothing else."""
    event = json.loads(data)
    made = {key: value for key, value in event.items() if not isinstance(value, dict | list)}
    if "logprobs" in event:
        made["logprobs"] = []
    made[str(path[0])] = _only(event[path[0]], path[1:], text)
    return json.dumps(made, separators=(",", ":")).encode()


def _only(node: Any, path: Path, text: str) -> Any:
    if not path:
        return text
    step = path[0]
    if isinstance(node, list):
        return [_only(node[int(step)], path[1:], text)]
    kept = {key: node[key] for key in _KEPT_INSIDE if key in node}
    return kept | {str(step): _only(node[step], path[1:], text)}


# --- Anthropic Messages ------------------------------------------------------------------------------------------


def _ended_messages(event: Node, held: Iterable[Channel]) -> list[Channel]:
    name = member(event, "type")
    if name == "content_block_stop":
        return [channel for channel in held if channel[0] == member(event, "index")]
    return list(held) if name in ("content_block_start", "message_delta", "message_stop", "error") else []


# --- Responses ---------------------------------------------------------------------------------------------------


def _responses_channel(event: Node) -> Channel | None:
    name = str(member(event, "type"))
    if not name.endswith(".delta") or name.startswith("response.audio.delta"):
        return None
    return (member(event, "output_index"), name, member(event, "content_index"))


def _ended_responses(event: Node, held: Iterable[Channel]) -> list[Channel]:
    name = str(member(event, "type"))
    if name in ("response.completed", "response.incomplete", "response.failed", "error"):
        return list(held)
    place = member(event, "output_index")
    return [channel for channel in held if channel[0] == place] if name.endswith(".done") else []


# --- Chat Completions and Completions ----------------------------------------------------------------------------


def _choices(event: Node) -> list[tuple[object, Node]]:
    """(index, choice) of each choice in the event."""
    choices = member(event, "choices")
    return [
        (_index(choice, at), choice) for at, choice in enumerate(choices if isinstance(choices, list) else ())
    ]


def _index(element: Node, place: object) -> object:
    """The number that an element calls itself by, else its place in the list: a few backends leave it out."""
    named = member(element, "index")
    return place if named is None else named


def _finished(event: Node) -> set[object]:
    return {index for index, choice in _choices(event) if isinstance(member(choice, "finish_reason"), str)}


def _ended_chat(event: Node, held: Iterable[Channel], spoken: set[Channel]) -> list[Channel]:
    """A choice ends with its finish reason. Its text also ends where a call or a text of another sort begins, so that
    nobody sees its last letter behind that; calls may take turns."""
    if member(event, "error"):
        return list(held)
    finished = _finished(event)
    begun = {channel[0] for channel in spoken}
    begun |= {
        index
        for index, choice in _choices(event)
        if any(member(member(choice, "delta"), key) for key in _CALLS)
    }
    return [
        channel
        for channel in held
        if channel not in spoken
        and (channel[0] in finished or (channel[0] in begun and not _CALLS.intersection(map(str, channel))))
    ]


def _element(node: Node, path: Path) -> Node:
    for step in path:
        node = node[step] if isinstance(node, list) and isinstance(step, int) else member(node, str(step))
    return node


def _indexed(node: Node, path: Path) -> Channel:
    """The path with the numbers that list elements call themselves by."""
    steps: list[object] = []
    for step in path:
        node = _element(node, (step,))
        steps.append(_index(node, step) if isinstance(step, int) else step)
    return tuple(steps)
