"""A client's input items → turns.

Items are finer than turns: all that the model said in one go (reasoning, messages, calls) becomes one assistant turn,
and what the tools gave back stands in the user turn behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backends.wire.conversation import (
    Block,
    CannotCarry,
    Foreign,
    Json,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from backends.wire.openai_responses.fields import as_object, need_name, need_text, opt_list, opt_text, wrong
from backends.wire.openai_responses.history import is_reference, place_results
from backends.wire.openai_responses.parts_in import read_content, read_output, read_texts
from backends.wire.openai_responses.sealed import is_sealed, unseal
from backends.wire.splice import BadBody


class ItemsReader:
    """Collects `turns`, leading `system` texts and `tools` (raw, with their paths) from input items in order."""

    __slots__ = ("_turns", "system", "tools")

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self.system: list[Text] = []
        self.tools: list[tuple[Any, str]] = []

    def turns(self) -> list[Turn]:
        """What was read, with tool results behind their calls."""
        return place_results(self._turns)

    def read(self, value: object) -> None:
        """The `input` field: a string or a list of items. Raises BadBody, CannotCarry."""
        if isinstance(value, str):
            self._turns.append(Turn("user", [Text(value)]))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._item(as_object(item, f"input[{index}]"), f"input[{index}]")
        elif value is not None:
            raise wrong("input", "a string or a list")

    def _item(self, item: Json, path: str) -> None:
        if is_reference(item):
            raise CannotCarry(
                path,
                f"The field `{path}` refers to an item that is not stored here. Send the item itself, "
                "or send the whole history with store: false.",
            )
        kind = opt_text(item, "type", path) or ("message" if "role" in item else "")
        read = _READERS.get(kind)
        if read is not None:
            read(self, item, path)
        elif not kind:
            raise BadBody(f"The field `{path}.type` is missing. Add it.", f"{path}.type")
        elif kind in _UNREADABLE:
            raise CannotCarry(
                path,
                f"The item `{kind}` at `{path}` can be read by its own provider only. "
                "Remove it, or use a backend that speaks the Responses API.",
            )
        else:
            self._said(Foreign("responses", kind, item))

    def _message(self, item: Json, path: str) -> None:
        role, content = need_text(item, "role", path), item.get("content")
        if role in ("system", "developer"):
            self._instruct(read_texts(content, f"{path}.content", f"a {role} message"))
        elif role == "assistant":
            for block in read_content(content, f"{path}.content"):
                self._said(block)
        elif role == "user":
            self._asked(read_content(content, f"{path}.content"))
        else:
            raise wrong(f"{path}.role", "user, assistant, system or developer")

    def _instruct(self, texts: list[Text]) -> None:
        if not self._turns:
            self.system.extend(texts)
        elif texts:
            self._turns.append(Turn("system", [*texts]))

    def _asked(self, blocks: list[Block]) -> None:
        """A user message. Behind tool results it is part of their turn."""
        last = self._turns[-1] if self._turns else None
        if last and last.role == "user" and isinstance(last.blocks[-1], ToolResult):
            last.blocks.extend(blocks)
        elif blocks:
            self._turns.append(Turn("user", blocks))

    def _said(self, block: Block) -> None:
        if self._turns and self._turns[-1].role == "assistant":
            self._turns[-1].blocks.append(block)
        else:
            self._turns.append(Turn("assistant", [block]))

    def _returned(self, result: ToolResult) -> None:
        last = self._turns[-1] if self._turns else None
        if last and last.role == "user" and isinstance(last.blocks[-1], ToolResult):
            last.blocks.append(result)
        else:
            self._turns.append(Turn("user", [result]))

    def _call(self, item: Json, path: str) -> None:
        is_custom = item["type"] == "custom_tool_call"
        self._said(
            ToolCall(
                id=need_name(item, "call_id", path),
                name=need_name(item, "name", path),
                arguments=need_text(item, "input" if is_custom else "arguments", path),
                is_custom=is_custom,
                namespace=opt_text(item, "namespace", path) or None,
                item_id=opt_text(item, "id", path),
            )
        )

    def _output(self, item: Json, path: str) -> None:
        call_id = need_name(item, "call_id", path)
        content = read_output(item.get("output"), f"{path}.output")
        self._returned(ToolResult(call_id, content, is_custom=item["type"].startswith("custom")))

    def _reasoning(self, item: Json, path: str) -> None:
        thinking = read_reasoning(item, path)
        if thinking is not None:
            self._said(thinking)

    def _more_tools(self, item: Json, path: str) -> None:
        tools = opt_list(item, "tools", path)
        self.tools.extend((tool, f"{path}.tools[{index}]") for index, tool in enumerate(tools))

    def _nothing(self, item: Json, path: str) -> None:
        """Items that steer the provider's own context keeping."""


def read_reasoning(item: Json, path: str) -> Thinking | None:
    """A reasoning item's block: what we sealed in it, else the provider's own. None if there is nothing in it."""
    summary = _joined(item, "summary", path)
    shown = summary or _joined(item, "content", path)
    encrypted = opt_text(item, "encrypted_content", path)
    restored = unseal(encrypted, shown)
    if restored is not None:
        return restored
    kept = None if is_sealed(encrypted) else encrypted or None
    if not (shown or kept):
        return None
    return Thinking(
        shown, "responses", encrypted=kept, id=opt_text(item, "id", path), is_summary=bool(summary)
    )


def _joined(item: Json, name: str, path: str) -> str:
    """The paragraphs of a summary, or of the raw reasoning, as one text."""
    if item.get(name) is None:
        return ""
    texts = read_texts(item[name], f"{path}.{name}", "reasoning")
    return "\n\n".join(text.text for text in texts)


_READERS: dict[str, Callable[[ItemsReader, Json, str], None]] = {
    "message": ItemsReader._message,
    "function_call": ItemsReader._call,
    "custom_tool_call": ItemsReader._call,
    "function_call_output": ItemsReader._output,
    "custom_tool_call_output": ItemsReader._output,
    "reasoning": ItemsReader._reasoning,
    "additional_tools": ItemsReader._more_tools,
    "compaction_trigger": ItemsReader._nothing,
    "configuration_update": ItemsReader._nothing,
}
# Items that stand for a part of the history which nobody else can decrypt: without them the answer would be another.
_UNREADABLE = frozenset(("compaction", "compaction_summary"))
