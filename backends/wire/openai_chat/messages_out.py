"""Turns as `messages` for a Chat Completions backend.

Rule: the messages of tool results stand directly behind the message with their calls, one for each call, in the
order of the calls, whatever the turns say; everything else keeps its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from backends.wire.conversation import (
    Block,
    CannotCarry,
    Conversation,
    Foreign,
    Lost,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from backends.wire.openai_chat.details import write_details
from backends.wire.openai_chat.fields import Obj
from backends.wire.openai_chat.parts import document_text, write_media, write_text
from backends.wire.openai_chat.tools_out import write_call
from backends.wire.target import Names, Target, safe_call_id

NO_RESULT = "No result was given for this call."
_BILLING = "x-anthropic-billing-header:"


@dataclass(slots=True)
class _Results:
    """The results that follow one assistant message: by call id, each with its place in the turns."""

    found: dict[str, list[tuple[str, ToolResult]]] = field(default_factory=dict)

    def take(self, call_id: str, *, is_shared: bool) -> ToolResult | None:
        """The result of a call: the last one for its id; where calls share an id, each takes the next one."""
        waiting = self.found.get(call_id)
        return waiting.pop(0 if is_shared else -1)[1] if waiting else None

    def orphans(self) -> Iterable[str]:
        """The places of those that no call asked for."""
        return (place for waiting in self.found.values() for place, _ in waiting)


class MessageWriter:
    """Writes one conversation's messages."""

    __slots__ = ("_has_tools", "_lost", "_messages", "_names", "_target")

    def __init__(self, target: Target, names: Names, lost: Lost, *, has_tools: bool) -> None:
        self._target, self._names, self._lost = target, names, lost
        self._has_tools = has_tools
        self._messages: list[Obj] = []

    def write(self, talk: Conversation) -> list[Obj]:
        """All messages. Raises CannotCarry for content that the target cannot see."""
        self._system(talk.system)
        calls: list[ToolCall] = []
        for is_assistant, turns in groupby(
            enumerate(talk.turns), key=lambda each: each[1].role == "assistant"
        ):
            group = list(turns)
            if is_assistant:
                calls = self._assistant(group)
            else:
                self._others(group, self._results(calls, group))
                calls = []
        self._others([], self._results(calls, []))
        return self._messages

    def _system(self, system: Sequence[Text]) -> None:
        kept = []
        for index, block in enumerate(system):
            if block.text.startswith(_BILLING):
                self._lost.add(f"$.system[{index}]")
            elif block.text:
                kept.append(block)
        if kept:
            self._messages.append({"role": self._system_role, "content": self._content(kept, joined=True)})

    @property
    def _system_role(self) -> str:
        return "developer" if self._target.quirks.developer_role and self._target.is_reasoner else "system"

    def _content(self, texts: Sequence[Text], *, joined: bool = False) -> str | list[Obj]:
        """A string wherever it will do; parts to keep cache breakpoints or the parts' borders."""
        quirks = self._target.quirks
        if any(text.cache for text in texts):
            if quirks.cache_control:
                return [write_text(text, self._target) for text in texts]
            self._lost.add("$.cache_control")
        if len(texts) > 1 and quirks.text_parts and not joined:
            return [write_text(text, self._target) for text in texts]
        return texts[0].text if len(texts) == 1 else "\n".join(text.text for text in texts)

    # --- assistant turns ---------------------------------------------------------------------------------------

    def _assistant(self, group: list[tuple[int, Turn]]) -> list[ToolCall]:
        """One message for all assistant turns in a row; returns its calls."""
        texts: list[Text] = []
        thoughts: list[tuple[str, Thinking]] = []
        calls: list[ToolCall] = []
        message: Obj = {"role": "assistant", "content": None}
        for place, block in _blocks(group):
            if isinstance(block, ToolCall):
                calls.append(block)
            elif isinstance(block, Thinking):
                thoughts.append((place, block))
            elif isinstance(block, Text):
                texts.append(block)
            elif isinstance(block, Refusal):
                self._refusal(message, texts, block)
            elif isinstance(block, Foreign) and block.origin == "chat" and block.kind == "audio":
                message["audio"] = block.raw
            else:
                self._lost.add(place)
        if any(text.text for text in texts):
            message["content"] = self._content([text for text in texts if text.text], joined=True)
        if calls:
            message["tool_calls"] = [write_call(call, self._target, self._names) for call in calls]
        self._replay(message, thoughts)
        self._add_assistant(message, group)
        return calls

    def _refusal(self, message: Obj, texts: list[Text], block: Refusal) -> None:
        if self._target.quirks.refusals:
            message["refusal"] = message.get("refusal", "") + block.text
        else:
            texts.append(Text(block.text))

    def _add_assistant(self, message: Obj, group: list[tuple[int, Turn]]) -> None:
        """A message that says nothing is left out: several servers refuse it."""
        name = next((turn.name for _, turn in group if turn.name), None)
        if name and self._target.quirks.names:
            message["name"] = name
        if len(message) > 2 or message["content"] is not None:
            if message["content"] is None and not message.keys() & {"tool_calls", "refusal", "audio"}:
                message["content"] = ""
            self._messages.append(message)

    def _replay(self, message: Obj, thoughts: list[tuple[str, Thinking]]) -> None:
        """Give earlier reasoning back as the target wants it, or not at all."""
        quirks = self._target.quirks
        if quirks.replay_always and not self._has_tools:
            return  # without tools it is not read
        wants_details = quirks.replay == "reasoning_details"
        texts: list[str] = []
        details: list[Any] = []
        for place, thinking in thoughts:
            if quirks.replay and (thinking.text or (wants_details and _is_own(thinking))):
                texts.append(thinking.text)
                details += _details(thinking)
            else:
                self._lost.add(place)
        if wants_details and details:
            message["reasoning_details"] = details
        elif texts or quirks.replay_always:
            message[quirks.replay] = "\n".join(texts)

    # --- what stands between them ------------------------------------------------------------------------------

    def _results(self, calls: list[ToolCall], group: list[tuple[int, Turn]]) -> list[Obj]:
        """Write the result of each call; return the parts that a tool message cannot hold."""
        results = _Results()
        for place, block in _blocks(group):
            if isinstance(block, ToolResult):
                results.found.setdefault(block.call_id, []).append((place, block))
        left: list[Obj] = []
        uses = Counter(call.id for call in calls)
        for call in calls:
            result = results.take(call.id, is_shared=uses[call.id] > 1)
            content = NO_RESULT if result is None else self._result(result, left)
            call_id = safe_call_id(call.id, self._target.quirks.call_ids)
            self._messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
        for place in results.orphans():
            self._lost.add(place)
        return left

    def _result(self, result: ToolResult, left: list[Obj]) -> str | list[Obj]:
        texts = [Text("Error: ")] if result.is_error else []
        for block in result.content:
            if isinstance(block, Text):
                texts.append(block)
                continue
            plain = document_text(block) if block.kind == "document" else None
            texts.append(Text(f"[{block.kind}]" if plain is None else plain))
            if plain is None:
                self._keep_for_user(block, left)
        if result.is_error and len(texts) > 1:
            texts[:2] = [Text(texts[0].text + texts[1].text, texts[1].cache)]
        return self._content(texts, joined=True) if texts else ""

    def _keep_for_user(self, media: Media, left: list[Obj]) -> None:
        """A result the target cannot see must not refuse the request: it would be refused on each later turn."""
        try:
            left.append(write_media(media, self._target, ""))
        except CannotCarry:
            self._lost.add(f"$.messages[*].content[*].{media.kind}")

    def _others(self, group: list[tuple[int, Turn]], left: list[Obj]) -> None:
        """User and system turns without their results. `left` goes before what the user says next."""
        if left and not (group and group[0][1].role == "user" and self._speaks(group[0][1])):
            self._add_user({"role": "user", "content": left})
            left = []
        for index, turn in group:
            blocks = [
                (place, block)
                for place, block in _blocks([(index, turn)])
                if not isinstance(block, ToolResult)
            ]
            if turn.role == "system":
                self._late_system(blocks)
            elif blocks or left:
                self._user(turn, blocks, left)
                left = []

    @staticmethod
    def _speaks(turn: Turn) -> bool:
        return any(not isinstance(block, ToolResult) for block in turn.blocks)

    def _user(self, turn: Turn, blocks: Sequence[tuple[str, Block]], left: list[Obj]) -> None:
        kept = [(place, _as_text(block)) for place, block in blocks if self._can_say(place, block)]
        texts = [block for _, block in kept if isinstance(block, Text)]
        content: str | list[Obj]
        if len(texts) == len(kept) and not left:
            if not texts:
                return
            content = self._content(texts)
        else:
            content = left + [self._part(place, block) for place, block in kept]
        message: Obj = {"role": "user", "content": content}
        if turn.name and self._target.quirks.names:
            message["name"] = turn.name
        self._add_user(message)

    def _add_user(self, message: Obj) -> None:
        """Where no user may speak after a tool, text joins the tool's message; else an empty answer parts them."""
        last = self._messages[-1] if self._messages else {}
        if last.get("role") == "tool" and not self._target.quirks.user_after_tool:
            if isinstance(last["content"], str) and isinstance(message["content"], str):
                last["content"] = f"{last['content']}\n\n{message['content']}"
                return
            self._messages.append({"role": "assistant", "content": "."})
        self._messages.append(message)

    def _can_say(self, place: str, block: Block) -> bool:
        fits = isinstance(block, Text | Media) or (isinstance(block, Foreign) and block.origin == "chat")
        if not fits:
            self._lost.add(place)
        return fits

    def _part(self, place: str, block: Block) -> Obj:
        if isinstance(block, Text):
            if block.cache and not self._target.quirks.cache_control:
                self._lost.add("$.cache_control")
            return write_text(block, self._target)
        if isinstance(block, Media):
            return write_media(block, self._target, place.removeprefix("$."))
        return dict(block.raw) if isinstance(block, Foreign) else {}

    def _late_system(self, blocks: Sequence[tuple[str, Block]]) -> None:
        """In its place; as the user's words where a system message may only stand first."""
        texts = []
        for place, block in blocks:
            if isinstance(block, Text):
                texts.append(block)
            else:
                self._lost.add(place)
        if not texts:
            return
        if self._target.quirks.late_system:
            self._messages.append({"role": self._system_role, "content": self._content(texts, joined=True)})
            return
        said = "\n".join(text.text for text in texts)
        self._say(f"<system-reminder>\n{said}\n</system-reminder>")

    def _say(self, words: str) -> None:
        """Add to what the user said last: two user messages in a row are refused by some templates."""
        last = self._messages[-1] if self._messages else {}
        content = last.get("content")
        if last.get("role") != "user":
            self._add_user({"role": "user", "content": words})
        elif isinstance(content, str):
            last["content"] = f"{content}\n{words}"
        else:
            last["content"] = [*(content or ()), {"type": "text", "text": words}]


def _is_own(thinking: Thinking) -> bool:
    """Whether it carries details that came from such a server."""
    return thinking.origin == "chat" and thinking.encrypted is not None


def _details(thinking: Thinking) -> list[Any]:
    """The details as they came; of foreign thinking only the text, for its signature means nothing there."""
    own = write_details(thinking.encrypted) if thinking.encrypted and thinking.origin == "chat" else None
    return [{"type": "reasoning.text", "text": thinking.text}] if own is None else own


def _as_text(block: Block) -> Block:
    """A document that is text is said as text."""
    if isinstance(block, Media) and block.kind == "document":
        plain = document_text(block)
        return block if plain is None else Text(plain, block.cache)
    return block


def _blocks(group: list[tuple[int, Turn]]) -> Iterable[tuple[str, Block]]:
    for index, turn in group:
        for at, block in enumerate(turn.blocks):
            yield f"$.messages[{index}].content[{at}]", block
