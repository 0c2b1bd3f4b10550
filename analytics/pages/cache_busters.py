"""What broke a prompt cache: between two turns of a conversation, the first thing that is no longer as it was. Pure.

Providers cache a prompt from its beginning, in the order tools, system prompt, messages; whatever changes makes all
behind it new (platform.claude.com/docs/en/build-with-claude/prompt-caching,
platform.openai.com/docs/guides/prompt-caching). So the fields are compared in that order, wherever they stand in the
body. A longer conversation is no change, and neither is a `cache_control` mark that moved on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analytics.pages.json_places import Step, path_text, place_of

PREFIX = ("model", "tools", "functions", "system", "instructions", "messages", "input")
GROWING = frozenset({"messages", "input"})
# Fields that change how an answer is made or delivered, not what is cached.
HARMLESS = frozenset(
    {"stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p",
     "top_k", "seed", "stop", "stop_sequences", "metadata", "user", "store", "service_tier", "safety_identifier",
     "prompt_cache_key", "previous_response_id"}
)  # fmt: skip
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Change:
    """The first difference that a cache feels. `offset`: its first byte in the later body; None: it is gone there.

    `before` and `after` are what stands there, cut short; "" for nothing.
    """

    path: str
    offset: int | None
    before: str
    after: str


def first_change(before: bytes, after: bytes) -> Change | None:
    """What changed between two request bodies; None when nothing did that a cache would feel, or one is no object."""
    try:
        old, new = json.loads(before), json.loads(after)
        if not isinstance(old, dict) or not isinstance(new, dict):
            return None
        path = _first_path(old, new)
        return None if path is None else _told(path, before.decode(), after.decode())
    except (ValueError, RecursionError):
        return None


def _first_path(old: dict[str, Any], new: dict[str, Any]) -> tuple[Step, ...] | None:
    others = sorted((old.keys() | new.keys()) - set(PREFIX) - HARMLESS)
    for name in (*PREFIX, *others):
        if (name in old) != (name in new):
            return (name,)
        if (
            name in old
            and (path := _differs(old[name], new[name], (name,), grows=name in GROWING)) is not None
        ):
            return path
    return None


def _differs(old: Any, new: Any, path: tuple[Step, ...], *, grows: bool = False) -> tuple[Step, ...] | None:
    """The path of the first difference below `path`; None for none."""
    if isinstance(old, str) is not isinstance(new, str):
        old, new = _blocks(old, path), _blocks(new, path)
    if isinstance(old, dict) and isinstance(new, dict):
        for name in (*old, *(name for name in new if name not in old)):
            if name == "cache_control":
                continue
            if (name in old) != (name in new):
                return (*path, name)
            if (found := _differs(old[name], new[name], (*path, name))) is not None:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list):
        for index, (one, two) in enumerate(zip(old, new, strict=False)):
            if (found := _differs(one, two, (*path, index))) is not None:
                return found
        same = len(old) == len(new) or (grows and len(new) > len(old))
        return None if same else (*path, min(len(old), len(new)))
    return None if type(old) is type(new) and old == new else path


def _blocks(value: Any, path: Sequence[Step]) -> Any:
    """`content` as one text, or as the list with that text: a client that moves its cache mark writes it anew."""
    if path[-1] not in ("content", "system") or not isinstance(value, list) or len(value) != 1:
        return value
    block = value[0]
    is_text = (
        isinstance(block, dict)
        and block.get("type") == "text"
        and block.keys() <= {"type", "text", "cache_control"}
    )
    return block.get("text") if is_text else value


# --- telling it ---------------------------------------------------------------------------------------------------


def _told(path: tuple[Step, ...], before: str, after: str) -> Change:
    old, new = _raw(before, path), _raw(after, path)
    same = _same_length(old[1], new[1])
    offset = None if new[0] is None else len(after[: new[0] + same].encode())
    begin = max(0, same - 12)
    return Change(path_text(path), offset, _cut(old[1][begin:]), _cut(new[1][begin:]))


def _raw(text: str, path: tuple[Step, ...]) -> tuple[int | None, str]:
    """Where the value begins, and its spelling; (None, "") when it is not there."""
    place = place_of(text, path)
    return (None, "") if place is None else (place[0], text[place[0] : place[1]])


def _same_length(one: str, two: str) -> int:
    for index, (left, right) in enumerate(zip(one, two, strict=False)):
        if left != right:
            return index
    return min(len(one), len(two))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
