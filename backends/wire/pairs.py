"""What a client of one protocol loses at a backend of another: asked of the builders themselves, feature by feature.

Each feature is a small conversation that uses it. A builder that drops it says so on its `Lost` list, one that cannot
serve it refuses; so this page of `routes explain` cannot drift from what really happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from backends.wire import anthropic, openai_chat, openai_responses
from backends.wire.conversation import (
    Cache,
    CannotCarry,
    Conversation,
    Lost,
    Media,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from backends.wire.kinds import Kind
from backends.wire.target import Target

BUILDERS: dict[Kind, Any] = {
    Kind.MESSAGES: anthropic,
    Kind.CHAT: openai_chat,
    Kind.RESPONSES: openai_responses,
}
_ALL = frozenset(BUILDERS)
_OPENAI = frozenset({Kind.CHAT, Kind.RESPONSES})
_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_PDF = "JVBERi0xLjQK"


@dataclass(frozen=True, slots=True)
class Losses:
    """Features that a pair drops (and lists), and features for which it answers 400."""

    lost: tuple[str, ...]
    refused: tuple[str, ...]


@lru_cache(maxsize=256)
def losses(client: Kind, upstream: Kind, target: Target) -> Losses:
    """What a client's operation loses at a backend's operation, for one target model."""
    lost, refused = [], []
    for name, clients, talk in _features():
        if client not in clients:
            continue
        found = Lost()
        try:
            BUILDERS[upstream].build_request(talk, target, found)
        except CannotCarry:
            refused.append(name)
        else:
            if found.paths:
                lost.append(name)
    return Losses(tuple(lost), tuple(refused))


def _features() -> Iterator[tuple[str, frozenset[Kind], Conversation]]:
    """(name, the operations whose clients can ask for it, a request that does)."""
    plain = Conversation("m", [Turn("user", [Text("hello")])], max_tokens=1000)
    tool = Tool("read", "Reads.", _SCHEMA)
    yield "images", _ALL, _with_user(plain, Media("image", "image/png", data=_PIXEL))
    yield (
        "PDF documents",
        _ALL,
        _with_user(plain, Media("document", "application/pdf", data=_PDF, name="a.pdf")),
    )
    yield "audio", frozenset({Kind.CHAT}), _with_user(plain, Media("audio", "audio/wav", data="UklGRg=="))
    yield "tools", _ALL, replace(plain, tools=[tool])
    yield "forced tool choice", _ALL, replace(plain, tools=[tool], tool_choice=ToolChoice("one", ("read",)))
    yield "one tool call at a time", _ALL, replace(plain, tools=[tool], parallel_tools=False)
    yield "images in tool results", frozenset({Kind.MESSAGES, Kind.RESPONSES}), _with_tool_image(plain, tool)
    yield "free-text tools", _OPENAI, replace(plain, tools=[Tool("patch", "Patches.", is_custom=True)])
    yield "strict tools", _ALL, replace(plain, tools=[replace(tool, strict=True)])
    yield (
        "JSON schema output",
        _ALL,
        replace(plain, output=OutputFormat("schema", _SCHEMA, "answer", strict=True)),
    )
    yield "reasoning effort", _ALL, replace(plain, reasoning=Reasoning(effort="high"))
    yield "earlier reasoning with its signature", _ALL, _with_thinking(plain)
    yield "cache breakpoints", frozenset({Kind.MESSAGES}), _with_user(plain, Text("long", Cache()))
    yield "temperature", _ALL, replace(plain, sampling=Sampling(temperature=0.5))
    yield "top_k", frozenset({Kind.MESSAGES}), replace(plain, sampling=Sampling(top_k=40))
    yield "seed", frozenset({Kind.CHAT}), replace(plain, sampling=Sampling(seed=1))
    yield "penalties", frozenset({Kind.CHAT}), replace(plain, sampling=Sampling(presence_penalty=0.5))
    yield "stop sequences", frozenset({Kind.MESSAGES, Kind.CHAT}), replace(plain, stop=["END"])
    yield "verbosity", _OPENAI, replace(plain, verbosity="low")
    yield "several answers (n)", frozenset({Kind.CHAT}), replace(plain, extras={"$.n": 2})


def _with_user(talk: Conversation, *blocks: Any) -> Conversation:
    return replace(talk, turns=[Turn("user", [Text("hello"), *blocks])])


def _with_tool_image(talk: Conversation, tool: Tool) -> Conversation:
    call = Turn("assistant", [ToolCall("call_1", "read", '{"a":"b"}')])
    result = Turn("user", [ToolResult("call_1", [Media("image", "image/png", data=_PIXEL)])])
    return replace(talk, turns=[*talk.turns, call, result], tools=[tool])


def _with_thinking(talk: Conversation) -> Conversation:
    thought = Thinking("hm", origin="foreign", signature="sig")
    answer = Turn("assistant", [thought, Text("yes")])
    return replace(talk, turns=[*talk.turns, answer, Turn("user", [Text("and?")])])
