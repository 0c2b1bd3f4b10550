"""A Conversation written as a Messages request."""

from __future__ import annotations

from typing import Any

import msgspec

from backends.wire.anthropic.blocks_out import write_text
from backends.wire.anthropic.models import traits_of
from backends.wire.anthropic.options_out import (
    is_thinking,
    write_limits,
    write_output,
    write_rest,
    write_sampling,
)
from backends.wire.anthropic.tools_out import ToolWriter
from backends.wire.anthropic.turns_out import TurnWriter
from backends.wire.conversation import Conversation, Lost
from backends.wire.target import Built, Names, Target

# The version that takes sampling parameters; all else in a request is the same under the later one.
_HEADERS = ((b"anthropic-version", b"2023-06-01"),)
_MOST_BREAKPOINTS = 4


def build_request(talk: Conversation, target: Target, lost: Lost) -> Built:
    """The request for a backend of this protocol. What is dropped goes on `lost`. Raises CannotCarry."""
    traits, names = traits_of(target.model), Names()
    body: dict[str, Any] = {"model": target.model, "max_tokens": 0}
    write_limits(talk, target, traits, body, lost)
    tools = ToolWriter(talk, traits, names, target.name_limit, lost)
    written = tools.write_tools()
    turns = TurnWriter(talk.turns, traits, names, target.name_limit, lost)
    body["messages"] = turns.write(is_thinking=is_thinking(body))
    if body.get("thinking", {}).get("type") == "enabled" and turns.starts_unsigned:
        del body["thinking"]
        lost.add("$.reasoning_effort")
    system = [made for text in talk.system if (made := write_text(text))] + turns.system
    if words := write_output(talk, traits, body, lost):
        system.append({"type": "text", "text": words})
    if system:
        body["system"] = system
    if written:
        body["tools"] = written
    if choice := tools.write_choice(is_thinking=is_thinking(body)):
        body["tool_choice"] = choice
    write_sampling(talk, traits, body, lost)
    write_rest(talk, body, lost)
    if talk.stream:
        body["stream"] = True
    _limit_breakpoints(body, lost)
    return Built(msgspec.json.encode(body), names, _HEADERS)


def _limit_breakpoints(body: dict[str, Any], lost: Lost) -> None:
    """At most four cache breakpoints: the first, which most requests share, and the last ones.

    Longer lifetimes must come first, so a long one behind a short one becomes short.
    """
    marked = [block for block in _blocks(body) if "cache_control" in block]
    most = _MOST_BREAKPOINTS - ("cache_control" in body)
    for block in marked[1 : len(marked) - most + 1]:
        del block["cache_control"]
        lost.add("$.cache_control")
    is_short = False
    for block in marked:
        mark = block.get("cache_control")
        if not isinstance(mark, dict):
            continue
        if mark.get("ttl") != "1h":
            is_short = True
        elif is_short:
            block["cache_control"] = {"type": "ephemeral"}
            lost.add("$.cache_control.ttl")


def _blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """All that can carry a breakpoint, in the order of the prompt."""
    found = [*body.get("tools", ()), *body.get("system", ())]
    for message in body["messages"]:
        for block in message["content"]:
            content = block.get("content")
            if block.get("type") == "tool_result" and isinstance(content, list):
                found += content
            found.append(block)
    return found
