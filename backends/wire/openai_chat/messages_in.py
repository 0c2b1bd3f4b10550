"""A client's `messages` as turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from backends.wire.conversation import (
    Block,
    Foreign,
    Media,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from backends.wire.openai_chat.details import read_details
from backends.wire.openai_chat.fields import Obj, as_object, items, mapping, need_text, text
from backends.wire.openai_chat.parts import read_content
from backends.wire.splice import BadBody

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(slots=True)
class History:
    """What has been read so far, and the calls in it that results refer to."""

    system: list[Text] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    custom_ids: set[str] = field(default_factory=set)
    id_of_function: dict[str, str] = field(
        default_factory=dict
    )  # legacy results name the function, not a call
    made_ids: int = 0
    in_results: bool = False  # the last turn is a run of tool results, to which a next one belongs

    def new_id(self) -> str:
        """An id for a call that has none: the same for the same history."""
        self.made_ids += 1
        return f"call_{self.made_ids}"


def read_messages(messages: list[Any]) -> History:
    """All messages. Raises BadBody."""
    history = History()
    for index, value in enumerate(messages):
        path = f"messages[{index}]"
        message = as_object(value, path)
        role = need_text(message, "role", path)
        if role not in _ROLES:
            words = f"The field `{path}.role` is not a role. Use one of {', '.join(_ROLES)}."
            raise BadBody(words, f"{path}.role")
        if role in ("tool", "function"):
            _add_result(history, message, path)
            continue
        history.in_results = False
        if role == "assistant":
            history.turns.append(
                Turn("assistant", _assistant(history, message, path), text(message, "name", path))
            )
            continue
        blocks = read_content(message.get("content"), f"{path}.content")
        _add_plain(history, role, blocks, text(message, "name", path))
    return history


def _add_plain(history: History, role: str, blocks: list[Block], name: str | None) -> None:
    if role == "user":
        history.turns.append(Turn("user", blocks, name))
    elif history.turns or not all(isinstance(block, Text) for block in blocks):
        history.turns.append(Turn("system", blocks, name))
    else:
        history.system += [block for block in blocks if isinstance(block, Text)]


def _add_result(history: History, message: Obj, path: str) -> None:
    """Results in a row are one turn, whatever follows them."""
    content: list[Text | Media] = []
    for block in read_content(message.get("content"), f"{path}.content"):
        content.append(block if isinstance(block, Text | Media) else Text(_as_text(block)))
    if message["role"] == "function":
        name = need_text(message, "name", path)
        call_id = history.id_of_function.get(name, name)
    else:
        call_id = need_text(message, "tool_call_id", path)
    result = ToolResult(call_id, content, is_custom=call_id in history.custom_ids)
    if history.in_results:
        history.turns[-1].blocks.append(result)
    else:
        history.turns.append(Turn("user", [result]))
        history.in_results = True


def _as_text(block: Block) -> str:
    return (
        msgspec.json.encode(block.raw).decode() if isinstance(block, Foreign) else getattr(block, "text", "")
    )


def _assistant(history: History, message: Obj, path: str) -> list[Block]:
    blocks: list[Block] = [*read_thinking(message, path)]
    content = message.get("content")
    if content != "":
        blocks += read_content(content, f"{path}.content")
    if refusal := text(message, "refusal", path):
        blocks += read_content([{"type": "refusal", "refusal": refusal}], path)
    if (audio := mapping(message, "audio", path)) is not None:
        blocks.append(Foreign("chat", "audio", audio))
    for index, value in enumerate(items(message, "tool_calls", path)):
        blocks.append(_call(history, value, f"{path}.tool_calls[{index}]"))
    legacy = mapping(message, "function_call", path)
    if legacy is not None and not message.get("tool_calls"):
        blocks.append(_legacy_call(history, legacy, f"{path}.function_call"))
    return blocks


def read_thinking(message: Obj, path: str) -> list[Thinking]:
    """The reasoning of an assistant message, in whichever of the vendors' fields it stands."""
    opaque = read_details(message.get("reasoning_details"))
    words = text(message, "reasoning_content", path)
    if words is None and isinstance(message.get("reasoning"), str):
        words = message["reasoning"]
    if not words:
        words = opaque.text
    if not words and not opaque.json:
        return []
    return [Thinking(words, "chat", encrypted=opaque.json)]


def _call(history: History, value: Any, path: str) -> ToolCall:
    call = as_object(value, path)
    call_id = text(call, "id", path) or history.new_id()
    custom = mapping(call, "custom", path)
    if custom is not None:
        history.custom_ids.add(call_id)
        place = f"{path}.custom"
        return ToolCall(call_id, need_text(custom, "name", place), text(custom, "input", place) or "", True)
    function = mapping(call, "function", path)
    place = f"{path}.function"
    if function is None:
        raise BadBody(f"The field `{place}` is missing. Add it.", place)
    extra = mapping(call, "extra_content", path)
    return ToolCall(
        call_id,
        need_text(function, "name", place),
        _arguments(function, place),
        extra={"extra_content": extra} if extra else None,
    )


def _arguments(function: Obj, path: str) -> str:
    """The arguments' text. Some clients send the object itself."""
    value = function.get("arguments")
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return text(function, "arguments", path) or "{}"


def _legacy_call(history: History, function: Obj, path: str) -> ToolCall:
    name = need_text(function, "name", path)
    call_id = history.id_of_function[name] = history.new_id()
    return ToolCall(call_id, name, _arguments(function, path))
