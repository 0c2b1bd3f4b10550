"""Random conversations, answers, and damaged JSON, for the properties of the translators.

Conversations and answers keep to what all three protocols can say in the same order: thinking, then text, then calls.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from backends.wire.conversation import (
    Block,
    Conversation,
    Media,
    Reply,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from backends.wire.usage import Usage

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))

words = st.text(_CHARACTERS, min_size=1, max_size=24).map(str.strip).filter(bool)
names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,30}", fullmatch=True)
call_ids = st.from_regex(r"call_[a-zA-Z0-9]{8}", fullmatch=True)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, json_values, max_size=3)
counts = st.integers(0, 5000)


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """Arguments as a model may write them: any spacing, escaped or not."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]))
    return json.dumps(draw(objects), ensure_ascii=draw(st.booleans()), separators=separators)


@st.composite
def tools(draw: st.DrawFn) -> list[Tool]:
    """At least one, with names that all targets take as they are."""
    chosen = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    return [Tool(name, draw(words), _schema(draw(names))) for name in chosen]


def _schema(field: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field: {"type": "string"}},
        "required": [field],
        "additionalProperties": False,
    }


media = st.one_of(
    st.just(Media("image", "image/png", data=PNG)),
    st.builds(lambda name: Media("image", url=f"https://example.com/{name}.png"), names),
)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Rounds of question, answer with calls, and results; the user speaks last."""
    known = draw(tools())
    ids = draw(st.lists(call_ids, min_size=8, max_size=8, unique=True))
    turns = [Turn("user", _question(draw))]
    for _ in range(draw(st.integers(0, 3))):
        tool = draw(st.sampled_from(known))
        calls = [ToolCall(ids.pop(), tool.name, draw(arguments())) for _ in range(draw(st.integers(0, 2)))]
        speaks: bool = draw(st.booleans())
        said: list[Block] = [Text(draw(words))] if speaks or not calls else []
        turns.append(Turn("assistant", [*said, *calls]))
        results: list[Block] = [ToolResult(call.id, [Text(draw(words))]) for call in calls]
        turns.append(Turn("user", results if calls and draw(st.booleans()) else [*results, *_question(draw)]))
    return Conversation(
        model="asked",
        turns=turns,
        system=[Text(draw(words))] if draw(st.booleans()) else [],
        tools=list(known),
        tool_choice=draw(st.none() | _choices(known)),
        parallel_tools=draw(st.none() | st.just(False)),
        max_tokens=draw(st.integers(16, 100_000)),
        stream=draw(st.booleans()),
    )


def _choices(known: list[Tool]) -> st.SearchStrategy[ToolChoice]:
    one = st.sampled_from(known).map(lambda tool: ToolChoice("one", (tool.name,)))
    return st.sampled_from(["auto", "any", "none"]).map(ToolChoice) | one  # type: ignore[arg-type]


def _question(draw: st.DrawFn) -> list[Block]:
    blocks: list[Block] = [Text(draw(words))]
    return [*blocks, draw(media)] if draw(st.booleans()) else blocks


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What a provider could report."""
    output = draw(counts)
    return Usage(draw(counts), draw(counts), draw(counts), 0, output, draw(st.integers(0, output)), b"{}")


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Thinking, text and calls, each perhaps; the reason to stop fits."""
    ids = draw(st.lists(call_ids, max_size=3, unique=True))
    blocks: list[Block] = [Thinking(draw(words), origin="chat")] if draw(st.booleans()) else []
    blocks += [Text(draw(words))] if draw(st.booleans()) or not ids else []
    blocks += [ToolCall(known, draw(names), draw(arguments())) for known in ids]
    stop = Stop.TOOLS if ids else draw(st.sampled_from([Stop.END, Stop.LENGTH]))
    return Reply("msg_1", "model-x", blocks, stop, usage=draw(usages()), created=1_700_000_000)


_WORDS = [
    "",
    "text",
    "auto",
    "function",
    "tool_use",
    "call_1",
    "user",
    "system",
    "{}",
    '{"a":',
    "\ud7ff",
    "0",
]
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [*_WORDS, None, True, 0, -1, 10**30, 1.5, [], {}, [[]], [None], [{}], {"type": "text"}]
)


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """The value with one to three of its nodes replaced, removed or repeated."""
    copy = deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(copy))
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        deed = draw(st.sampled_from(["replace", "replace", "remove", "repeat"]))
        if deed == "replace":
            holder[key] = deepcopy(draw(_ODD | json_values))
        elif deed == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, deepcopy(holder[key]))
    return copy


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)
