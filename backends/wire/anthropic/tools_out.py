"""Tool definitions and the choice among them, written for a Messages backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backends.wire.anthropic.blocks_in import ORIGIN
from backends.wire.anthropic.blocks_out import cache_mark
from backends.wire.anthropic.models import Traits
from backends.wire.anthropic.schemas import tool_schema
from backends.wire.conversation import CannotCarry, Conversation, HostedTool, Lost, Tool, ToolCall, ToolChoice
from backends.wire.target import CUSTOM_SCHEMA, Names

_CHOICES = {"auto": "auto", "any": "any", "one": "tool", "none": "none"}


@dataclass(slots=True)
class ToolWriter:
    """Writes the tools of one request. `names` learns what each is called upstream."""

    talk: Conversation
    traits: Traits
    names: Names
    limit: int
    lost: Lost
    written: list[dict[str, Any]] = field(default_factory=list)
    _sent: set[str] = field(default_factory=set)
    _no_calls: bool = False

    def write_tools(self) -> list[dict[str, Any]]:
        """The `tools` list. Raises CannotCarry for a hosted tool that this protocol does not have."""
        choice = self.talk.tool_choice
        allowed = choice.names if choice and choice.mode in ("auto", "any") and choice.names else None
        for index, tool in enumerate(self.talk.tools):
            if isinstance(tool, HostedTool):
                self._write_hosted(tool, index)
            else:
                name = self.names.upstream(
                    tool.name, tool.namespace, limit=self.limit, is_custom=tool.is_custom
                )
                if allowed is None or tool.name in allowed:
                    self._write_tool(tool, name, index)
        if not self.written:
            self._write_history()
        return self.written

    def write_choice(self, *, is_thinking: bool) -> dict[str, Any] | None:
        """The `tool_choice`, None for the default one."""
        if not self.written:
            if self.talk.tool_choice and self.talk.tool_choice.mode in ("any", "one"):
                self.lost.add("$.tool_choice")
            return None
        if self._no_calls:
            return {"type": "none"}
        choice = self.talk.tool_choice or ToolChoice("auto")
        mode = choice.mode
        if mode in ("any", "one") and (is_thinking or not self.traits.forced_choice):
            self.lost.add("$.tool_choice")
            mode = "auto"
        made: dict[str, Any] = {"type": _CHOICES[mode]}
        if mode == "one":
            made["name"] = self._chosen(choice)
        if self.talk.parallel_tools is not None and mode != "none":
            made["disable_parallel_tool_use"] = not self.talk.parallel_tools
        return None if made == {"type": "auto"} and self.talk.tool_choice is None else made

    def _chosen(self, choice: ToolChoice) -> str:
        name = choice.names[0] if choice.names else ""
        for tool in self.talk.tools:
            if isinstance(tool, Tool) and name in (tool.name, f"{tool.namespace}__{tool.name}"):
                return self.names.upstream(tool.name, tool.namespace, limit=self.limit)
            if isinstance(tool, HostedTool) and tool.name == name:
                return name
        raise CannotCarry(
            "tool_choice", f"`tool_choice` names `{name}`, which is not among `tools`. Add it there."
        )

    def _write_tool(self, tool: Tool, name: str, index: int) -> None:
        path = f"$.tools[{index}]"
        if name in self._sent:
            self.lost.add(path)
            return
        self._sent.add(name)
        made: dict[str, Any] = {"name": name}
        description = tool.description or ""
        if tool.is_custom:
            made["input_schema"] = dict(CUSTOM_SCHEMA)
            if tool.grammar:
                self.lost.add(f"{path}.format")
                description = _with_grammar(description, tool)
        else:
            made["input_schema"], is_lossy = tool_schema(tool.schema)
            if is_lossy:
                self.lost.add(f"{path}.parameters")
        if description:
            made["description"] = description
        if tool.strict and self.traits.schemas:
            made["strict"] = True
        elif tool.strict:
            self.lost.add(f"{path}.strict")
        if tool.cache:
            made["cache_control"] = cache_mark(tool.cache)
        self.written.append(made)

    def _write_hosted(self, tool: HostedTool, index: int) -> None:
        """Native ones as they came. Web search that a Responses client always lists, unasked, is left out."""
        if tool.origin == ORIGIN:
            self.written.append(dict(tool.raw))
        elif str(tool.raw.get("type", "")).startswith("web_search") and not tool.raw.get("name"):
            self.lost.add(f"$.tools[{index}]")
        else:
            raise CannotCarry(
                f"tools[{index}]",
                f"This backend has no hosted tool `{tool.name}`. Remove it, or use a backend that has it.",
            )

    def _write_history(self) -> None:
        """Earlier calls need definitions even when no tool is offered any more; none may be called then."""
        for turn in self.talk.turns:
            for block in turn.blocks:
                if isinstance(block, ToolCall):
                    self._write_called(block)
        self._no_calls = bool(self.written)

    def _write_called(self, call: ToolCall) -> None:
        name = self.names.upstream(call.name, call.namespace, limit=self.limit, is_custom=call.is_custom)
        if name not in self._sent:
            self._sent.add(name)
            self.written.append({"name": name, "input_schema": {"type": "object", "properties": {}}})


def _with_grammar(description: str, tool: Tool) -> str:
    grammar = tool.grammar or {}
    text = grammar.get("definition") or grammar.get("grammar")
    if isinstance(text, dict):
        grammar, text = text, text.get("definition")
    if not isinstance(text, str):
        return description
    rule = f"The property `input` must match this {grammar.get('syntax') or 'formal'} grammar:\n{text}"
    return f"{description}\n\n{rule}" if description else rule
