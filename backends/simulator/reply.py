"""What the simulated model says: a `Reply`, made from the request and the script, not yet in any protocol.

Rule: everything here is a pure function of its arguments, so the same request gets the same answer and usage.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from backends.simulator.asking import Ask, Tool, tokens
from backends.simulator.script import Script, ScriptError
from backends.simulator.synth import value_for

UTF8_MARK = "\ue000"
"""Stands in a text where the script wants a byte that is not UTF-8; replaced when the answer is written."""
_ECHO_LIMIT = 300
_FRAGMENT = 9
_WORD = re.compile(r"\s*\S+(?:\s+$)?|\s+")
_WANTS_TOOL = re.compile(r"\b(?:use|call)\b[^.?!]{0,60}\btools?\b", re.IGNORECASE)
_THOUGHT = "The simulator was told to think first. It has no thoughts of its own, so these words stand in."


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `arguments` is JSON text, or free text for a custom tool. `index` counts from 0."""

    index: int
    name: str
    arguments: str
    custom: bool = False

    @property
    def fragments(self) -> list[str]:
        """The arguments as a stream delivers them."""
        text = self.arguments
        return [text[at : at + _FRAGMENT] for at in range(0, len(text), _FRAGMENT)]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What is billed. The three inputs are disjoint, `output` includes `reasoning`."""

    fresh: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def input(self) -> int:
        """All input tokens, cached ones included."""
        return self.fresh + self.cache_read + self.cache_write


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `finish` ∈ stop, length, stop_sequence, tool, refusal, filter, pause."""

    text: str
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    stop_sequence: str | None = None
    usage: Tokens = Tokens(1, 0, 0, 0, 0, 0)
    filler: tuple[int | None, int] | None = None  # (how many pieces, None = endless; characters of each)

    def pieces(self) -> Iterator[str]:
        """The text as a stream delivers it."""
        if self.filler is None:
            return (match[0] for match in _WORD.finditer(self.text))
        count, width = self.filler
        numbers = itertools.count() if count is None else range(count)
        return (_filler(number, width) for number in numbers)

    @property
    def signature(self) -> str:
        """What an Anthropic thinking block is signed with; bound to the thinking text."""
        digest = hashlib.sha256(self.thinking.encode()).digest()
        return "sim" + base64.b64encode(digest).decode()


def compose(ask: Ask, script: Script, headers_json: str = "") -> Reply:
    """The answer to `ask`. `headers_json` is said instead when the script asks for the received headers."""
    thinking = _THOUGHT if script.think else ""
    calls = _calls(ask, script)
    if calls:
        return _billed(ask, script, Reply("", thinking, calls, "tool"))
    if script.endless:
        return _billed(ask, script, Reply("", thinking, filler=(None, script.size)))
    if script.events is not None:
        filler = (script.events, script.size)
        text = "".join(_filler(number, script.size) for number in range(script.events))
        return _billed(ask, script, Reply(text, thinking, filler=filler))
    text = headers_json if script.echo_headers else _said(ask, script)
    text = UTF8_MARK + text if script.bad_utf8 else text
    if script.big_event:
        return _billed(ask, script, Reply("x" * script.big_event, thinking))
    return _billed(ask, script, _ended(ask, script, text, thinking))


def _said(ask: Ask, script: Script) -> str:
    if script.text is not None:
        return script.text
    if ask.schema is not None:
        return msgspec.json.encode(value_for(ask.schema or {"required": ["answer"]})).decode()
    hello = f"This is {ask.model}, Patchbay's built-in simulated model: no real model was asked."
    if ask.tool_result is not None:
        return f"{hello} The tool answered: {_short(ask.tool_result)}"
    return f"{hello} You said: {_short(ask.last_text)}"


def _short(text: str) -> str:
    return text if len(text) <= _ECHO_LIMIT else text[:_ECHO_LIMIT] + " […]"


def _ended(ask: Ask, script: Script, text: str, thinking: str) -> Reply:
    """Apply what ends an answer early: the script, a stop sequence, the token limit."""
    if script.stop:
        return Reply(text, thinking, finish=script.stop)
    if ask.schema is not None:
        return Reply(text, thinking)
    for stop in ask.stops:
        if stop and stop in text:
            return Reply(text.partition(stop)[0], thinking, finish="stop_sequence", stop_sequence=stop)
    if ask.max_tokens is not None and tokens(len(text)) > ask.max_tokens:
        return Reply(text[: ask.max_tokens * 4], thinking, finish="length")
    return Reply(text, thinking)


def _calls(ask: Ask, script: Script) -> tuple[Call, ...]:
    if script.calls:
        return _dictated(ask, script)
    asked = script.tool is not None or script.parallel > 0 or ask.force_tool is not None
    asked = asked or _WANTS_TOOL.search(ask.last_text) is not None
    if not ask.tools or not asked or ask.tool_result is not None:
        return ()
    tools = _chosen(ask, script.tool or ask.force_tool or "")
    count = max(1, script.parallel) if ask.parallel_ok else 1
    return tuple(_call(index, tools[index % len(tools)]) for index in range(count))


def _dictated(ask: Ask, script: Script) -> tuple[Call, ...]:
    """The calls that the script spells out, of tools that the request offers."""
    custom = {tool.name: tool.custom for tool in ask.tools}
    offered = [(name, given) for name, given in script.calls if name in custom and ask.tool_result is None]
    for name, given in offered:
        if not custom[name] and not _is_object(given):
            raise ScriptError(
                f"call={name} needs its input as a JSON object, percent-encoded, not {given!r}."
            )
    return tuple(Call(index, name, given, custom[name]) for index, (name, given) in enumerate(offered))


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False


def _chosen(ask: Ask, name: str) -> list[Tool]:
    """The named tool, or all tools if the name is empty or unknown."""
    return [tool for tool in ask.tools if tool.name == name] or list(ask.tools)


def _call(index: int, tool: Tool) -> Call:
    if tool.custom:
        return Call(index, tool.name, f"simulated input {index}", custom=True)
    arguments = value_for({"type": "object", **tool.schema})
    return Call(index, tool.name, msgspec.json.encode(arguments).decode())


def _billed(ask: Ask, script: Script, reply: Reply) -> Reply:
    reasoning = tokens(len(reply.thinking))
    said = tokens(len(reply.text)) + sum(tokens(len(call.name + call.arguments)) for call in reply.calls)
    usage = Tokens(ask.input_tokens, *script.cache, output=said * ask.n + reasoning, reasoning=reasoning)
    return replace(reply, usage=usage)


def _filler(number: int, width: int) -> str:
    """Piece `number` of a scripted text: exactly `width` characters, numbered so that gaps are seen."""
    return f"{number:07d} ".ljust(width, "x")[:width]
