"""The turns of a conversation as the messages that this protocol accepts: paired, merged, in order.

Rules: user and assistant alternate and the user begins; each tool call is answered, once, at the head of the next
user message; a system message stands between a user's and an assistant's, or last.
"""

from __future__ import annotations

from typing import Any

from backends.wire.anthropic.blocks_out import write_block, write_call, write_result, write_text
from backends.wire.anthropic.models import Traits
from backends.wire.conversation import Lost, Text, ToolCall, ToolResult, Turn
from backends.wire.kinds import Protocol
from backends.wire.target import Names, safe_call_id

_NOTHING = "(no content)"
_CONTINUE = "Continue."

Place = tuple[int, int]  # of a block: turn, block
Answer = tuple[ToolResult, str]  # and its path


class TurnWriter:
    """Writes the turns of one request. After `write`: `system` has what of them belongs to the system prompt."""

    def __init__(self, turns: list[Turn], traits: Traits, names: Names, limit: int, lost: Lost) -> None:
        self._turns, self._traits, self._names, self._limit, self._lost = turns, traits, names, limit, lost
        self._answers, self._ids = _pair(turns, lost)
        self._messages: list[dict[str, Any]] = []
        self._due: list[dict[str, Any]] = []  # results that the next user message begins with
        self._held: list[dict[str, Any]] = []  # system texts that wait for a user message
        self._system_turn = 0
        self.system: list[dict[str, Any]] = []

    def write(self, *, is_thinking: bool) -> list[dict[str, Any]]:
        """The `messages`. Raises CannotCarry."""
        for index, turn in enumerate(self._turns):
            if turn.name:
                self._lost.add(f"$.messages[{index}].name")
            if turn.role == "system":
                self._add_system(turn, index)
            elif turn.role == "assistant":
                self._add_assistant(turn, index)
            else:
                self._add_user(turn, index)
        if self._due or self._held:
            self._user()
        self._finish(is_thinking)
        return self._messages

    @property
    def starts_unsigned(self) -> bool:
        """Whether a tool loop is under way whose assistant message does not begin with signed thinking.

        With a thinking budget such a request is refused, while adaptive thinking allows it.
        """
        last = [message for message in self._messages[-3:] if message["role"] != "system"]
        if len(last) < 2 or last[-1]["role"] != "user" or last[-1]["content"][0].get("type") != "tool_result":
            return False
        return last[-2]["content"][0].get("type") not in ("thinking", "redacted_thinking")

    def _last_role(self) -> str | None:
        return self._messages[-1]["role"] if self._messages else None

    def _user(self) -> list[dict[str, Any]]:
        """The content of the user message that is being written. What must stand at its head is put there."""
        if self._last_role() == "system":
            folded = self._messages.pop()["content"]
            self._lost.add(f"$.messages[{self._system_turn}].role")
            self._messages[-1]["content"] += [_as_user(text) for text in folded]
        if self._last_role() != "user":
            self._messages.append({"role": "user", "content": self._due + self._held})
            self._due, self._held = [], []
        content: list[dict[str, Any]] = self._messages[-1]["content"]
        return content

    def _add_system(self, turn: Turn, index: int) -> None:
        texts = [made for block in turn.blocks if isinstance(block, Text) and (made := write_text(block))]
        for at, block in enumerate(turn.blocks):
            if not isinstance(block, Text):
                self._lost.add(f"$.messages[{index}].content[{at}]")
        if not texts:
            return
        if not self._messages:
            self.system += texts
            return
        if self._due:
            self._user()
        if self._traits.system_turns and self._last_role() in ("user", "system"):
            self._system_turn = index
            if self._last_role() == "system":
                self._messages[-1]["content"] += texts
            else:
                self._messages.append({"role": "system", "content": texts})
            return
        self._lost.add(f"$.messages[{index}].role")
        folded = [_as_user(text) for text in texts]
        if self._last_role() == "user":
            self._messages[-1]["content"] += folded
        else:
            self._held += folded

    def _add_assistant(self, turn: Turn, index: int) -> None:
        content = self._blocks(turn, index)
        if not content:
            content = [{"type": "text", "text": _NOTHING}]
        if self._last_role() == "assistant" and not self._held:
            self._messages[-1]["content"] += content
        else:
            if self._due or self._held or not self._messages:
                self._user()
            self._messages.append({"role": "assistant", "content": content})
        for at, block in enumerate(turn.blocks):
            if isinstance(block, ToolCall):
                result, path = self._answers.get((index, at), (None, ""))
                self._due.append(write_result(result, self._ids[index, at], path, self._lost))

    def _add_user(self, turn: Turn, index: int) -> None:
        content = self._blocks(turn, index)
        if content:
            self._user().extend(content)
        elif all(isinstance(block, ToolResult) for block in turn.blocks) and turn.blocks:
            if self._due:
                self._user()
        elif not self._user():
            self._messages[-1]["content"].append({"type": "text", "text": _NOTHING})

    def _blocks(self, turn: Turn, index: int) -> list[dict[str, Any]]:
        """The turn's blocks but for results, which are written where their calls want them."""
        content: list[dict[str, Any]] = []
        for at, block in enumerate(turn.blocks):
            path = f"messages[{index}].content[{at}]"
            if isinstance(block, ToolCall):
                content.append(self._call(block, (index, at), turn.role, path) or {})
            elif not isinstance(block, ToolResult):
                content.append(write_block(block, turn.role, path, self._lost) or {})
        return [made for made in content if made]

    def _call(self, call: ToolCall, place: Place, role: str, path: str) -> dict[str, Any] | None:
        if role != "assistant":
            self._lost.add(f"$.{path}")
            return None
        name = self._names.upstream(call.name, call.namespace, limit=self._limit, is_custom=call.is_custom)
        return write_call(call, self._ids[place], name)

    def _finish(self, is_thinking: bool) -> None:
        """The first message is the user's, none is empty, and the last one is what the model can go on from."""
        if not self._messages or self._messages[0]["role"] != "user":
            self._messages.insert(0, {"role": "user", "content": []})
        for message in self._messages:
            if not message["content"]:
                message["content"].append({"type": "text", "text": _CONTINUE})
        if self._messages[-1]["role"] != "assistant":
            return
        content = self._messages[-1]["content"]
        if content[-1].get("type") == "text":
            content[-1]["text"] = content[-1]["text"].rstrip()
            if content == [{"type": "text", "text": _NOTHING}]:
                self._messages.pop()
                return
        if is_thinking or not self._traits.prefill:
            self._messages.append({"role": "user", "content": [{"type": "text", "text": _CONTINUE}]})


def _as_user(text: dict[str, Any]) -> dict[str, Any]:
    """A system text inside a user message, marked as what it is."""
    return text | {"text": f"<system-reminder>\n{text['text']}\n</system-reminder>"}


def _pair(turns: list[Turn], lost: Lost) -> tuple[dict[Place, Answer], dict[Place, str]]:
    """The result of each call, by the call's place, and the id under which both are sent.

    A result belongs to the last call of its id before it; servers that count from zero in each turn repeat their
    ids. Of several results the last one counts. A result without a call is lost.
    """
    calls: dict[str, Place] = {}
    answers: dict[Place, Answer] = {}
    ids: dict[Place, str] = {}
    taken: set[str] = set()
    for index, turn in enumerate(turns):
        for at, block in enumerate(turn.blocks):
            if isinstance(block, ToolCall):
                calls[block.id] = index, at
                ids[index, at] = _fresh_id(block, taken)
            elif isinstance(block, ToolResult):
                path = f"messages[{index}].content[{at}]"
                place = calls.get(block.call_id)
                if place is None:
                    lost.add(f"$.{path}")
                    continue
                if place in answers:
                    lost.add(f"$.{answers[place][1]}")
                answers[place] = block, path
    return answers, ids


def _fresh_id(call: ToolCall, taken: set[str]) -> str:
    """An id that this protocol allows and that no earlier call has; the same in each request of a conversation."""
    made, count = safe_call_id(call.id, Protocol.ANTHROPIC), 1
    while made in taken:
        count += 1
        made = safe_call_id(f"{call.id}#{count}", Protocol.ANTHROPIC)
    taken.add(made)
    return made
