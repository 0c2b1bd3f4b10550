"""Turns → input items for a backend that speaks Responses.

The backend wants every call answered and every answer called for; where a history lacks one of them it is mended here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backends.wire.conversation import (
    Block,
    CannotCarry,
    Conversation,
    Foreign,
    Json,
    Lost,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from backends.wire.openai_responses.history import place_results
from backends.wire.target import Names, Target, safe_call_id, short_hash, wrap_custom

_NO_RESULT = "Error: the tool gave no result."
_Placed = tuple[str, Any]  # a block with its path


class ItemsWriter:
    """Writes `items` of one conversation; what cannot go along is noted on `lost`."""

    __slots__ = ("_called", "_lost", "_names", "_target", "items")

    def __init__(self, target: Target, names: Names, lost: Lost) -> None:
        self._target, self._names, self._lost = target, names, lost
        self._called: dict[str, bool] = {}  # open calls by id, and whether they are written as custom
        self.items: list[Json] = []

    def write(self, talk: Conversation) -> None:
        """All turns, in order."""
        for index, turn in enumerate(place_results(talk.turns)):
            placed = [(f"$.messages[{index}].content[{at}]", block) for at, block in enumerate(turn.blocks)]
            if turn.role == "assistant":
                self._answer_open_calls()
                self._assistant(placed)
            elif turn.role == "user":
                self._user(turn, placed)
            else:
                self._answer_open_calls()
                self._message(system_role(self._target), placed)
        self._answer_open_calls()

    def _user(self, turn: Turn, placed: list[_Placed]) -> None:
        for path, block in placed:
            if isinstance(block, ToolResult):
                self._result(block, path)
        self._answer_open_calls()
        self._message("user", [(path, block) for path, block in placed if not isinstance(block, ToolResult)])

    def _message(self, role: str, placed: Iterable[_Placed]) -> None:
        parts = [part for path, block in placed if (part := self._part(block, path)) is not None]
        if parts:
            self.items.append({"type": "message", "role": role, "content": _plain(parts)})

    def _assistant(self, placed: Iterable[_Placed]) -> None:
        for path, block in placed:
            if isinstance(block, Text):
                if block.text:
                    self.items.append({"type": "message", "role": "assistant", "content": block.text})
            elif isinstance(block, Refusal):
                self.items.append(_refusal(block, len(self.items)))
            elif isinstance(block, ToolCall):
                self._call(block)
            elif isinstance(block, Thinking) and block.origin == "responses" and block.encrypted:
                self.items.append(_reasoning(block))
            elif isinstance(block, Foreign) and block.origin == "responses":
                self.items.append(block.raw)
            else:
                self._lost.add(path)

    def _call(self, call: ToolCall) -> None:
        is_native = call.is_custom and self._target.quirks.custom_tools
        call_id = safe_call_id(call.id)
        self._called[call_id] = is_native
        name = self._names.upstream(
            call.name, call.namespace, limit=self._target.name_limit, is_custom=call.is_custom
        )
        item = {"call_id": call_id, "name": name}
        if is_native:
            self.items.append({"type": "custom_tool_call", **item, "input": call.arguments})
            return
        arguments = wrap_custom(call.arguments) if call.is_custom else call.arguments or "{}"
        self.items.append({"type": "function_call", **item, "arguments": arguments})

    def _result(self, result: ToolResult, path: str) -> None:
        call_id = safe_call_id(result.call_id)
        is_native = self._called.pop(call_id, None)
        if is_native is None:
            self._lost.add(path)  # nobody called for it, or it is the second answer to one call
            return
        parts = [part for block in result.content if (part := self._part(block, path)) is not None]
        if result.is_error:
            parts = _as_error(parts)
        self._output(call_id, _plain(parts), is_native)

    def _output(self, call_id: str, output: Any, is_native: bool) -> None:
        kind = "custom_tool_call_output" if is_native else "function_call_output"
        self.items.append({"type": kind, "call_id": call_id, "output": output})

    def _answer_open_calls(self) -> None:
        for call_id, is_native in self._called.items():
            self._output(call_id, _NO_RESULT, is_native)
        self._called.clear()

    def _part(self, block: Block, path: str) -> Json | None:
        if isinstance(block, Text):
            return {"type": "input_text", "text": block.text} if block.text else None
        if isinstance(block, Refusal):
            return {"type": "input_text", "text": block.text}
        if isinstance(block, Media):
            return media_part(block, path)
        if isinstance(block, Foreign) and block.origin == "responses":
            return block.raw
        self._lost.add(path)
        return None


def system_role(target: Target) -> str:
    """What the backend calls the role of whoever gives instructions."""
    return "developer" if target.quirks.developer_role else "system"


def media_part(media: Media, path: str) -> Json:
    """An image or a file as a content part. Raises CannotCarry."""
    if media.text is not None:
        return {"type": "input_text", "text": f"{media.name}\n\n{media.text}" if media.name else media.text}
    if media.file_id and not media.file_id.startswith("file-"):
        raise CannotCarry(
            path,
            f"The file `{media.file_id}` is stored at another provider. Send its content or a URL instead.",
        )
    if media.kind == "audio":
        raise CannotCarry(path, "This backend takes no sound. Send a transcript, or use a model that does.")
    if media.kind == "image":
        source = {"file_id": media.file_id} if media.file_id else {"image_url": _url(media, "image/png")}
        return {"type": "input_image", "detail": media.detail or "auto", **source}
    return {"type": "input_file", **_file(media)}


def _file(media: Media) -> Json:
    if media.file_id:
        return {"file_id": media.file_id}
    if media.url:
        return {"file_url": media.url}
    return {"filename": media.name or "document.pdf", "file_data": _url(media, "application/pdf")}


def _url(media: Media, default: str) -> str:
    return media.url or f"data:{media.media_type or default};base64,{media.data or ''}"


def _plain(parts: list[Json]) -> Any:
    """A single text as a string, which every server takes; nothing as an empty one."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "input_text" else parts


def _as_error(parts: list[Json]) -> list[Json]:
    """The protocol has no flag for a failed tool, so the text says it."""
    first = parts[0].get("text") if parts else None
    if first is None:
        return [{"type": "input_text", "text": "Error"}, *parts]
    said = first if first.lower().startswith("error") else f"Error: {first}"
    return [{"type": "input_text", "text": said}, *parts[1:]]


def _reasoning(block: Thinking) -> Json:
    summary = [{"type": "summary_text", "text": block.text}] if block.text else []
    known = block.id or f"rs_{short_hash(block.encrypted or '', 32)}"
    return {"type": "reasoning", "id": known, "summary": summary, "encrypted_content": block.encrypted}


def _refusal(block: Refusal, index: int) -> Json:
    return {
        "type": "message",
        "id": f"msg_{short_hash(f'{index}{block.text}', 32)}",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "refusal", "refusal": block.text}],
    }
