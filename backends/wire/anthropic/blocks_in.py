"""Content blocks of a request or a reply, read into neutral ones. What only this protocol knows stays as it came."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from backends.wire.anthropic import shapes
from backends.wire.anthropic.shapes import decode, join
from backends.wire.conversation import Block, Cache, Foreign, Media, Text, Thinking, ToolCall, ToolResult

ORIGIN = "anthropic"
Extras: TypeAlias = dict[str, Any]
_TYPED = Decoder(shapes.Typed)
_ANY = Decoder(dict[str, Any])
_TEXT, _MEDIA = Decoder(shapes.TextBlock), Decoder(shapes.MediaBlock)
_SEARCH = Decoder(shapes.SearchResultBlock)
_CALL, _RESULT = Decoder(shapes.ToolUseBlock), Decoder(shapes.ToolResultBlock)
_THINKING, _REDACTED = Decoder(shapes.ThinkingBlock), Decoder(shapes.RedactedBlock)
_ID_MARK = "pbid_"


def read_blocks(raws: Sequence[Raw], path: str, extras: Extras) -> list[Block]:
    """The blocks of one content list; fields without a neutral meaning go to `extras`. Raises BadBody."""
    return [read_block(raw, f"{path}[{index}]", extras) for index, raw in enumerate(raws)]


def read_block(raw: Raw, path: str, extras: Extras) -> Block:
    """One block. Raises BadBody."""
    kind = decode(_TYPED, raw, path).type
    read = _READERS.get(kind)
    if read is not None:
        return read(raw, path, extras)
    fields: dict[str, Any] = decode(_ANY, raw, path)
    return Foreign(ORIGIN, kind, fields)


def encode_id(call_id: str) -> str:
    """A call id that this protocol allows. One that it does not is wrapped, and unwrapped when it comes back."""
    if call_id and not call_id.startswith(_ID_MARK) and all(char in _ID_CHARS for char in call_id):
        return call_id
    return _ID_MARK + base64.urlsafe_b64encode(call_id.encode("utf-8", "replace")).decode().rstrip("=")


def decode_id(call_id: str) -> str:
    """The id behind one that `encode_id` made; any other as it is."""
    if not call_id.startswith(_ID_MARK):
        return call_id
    packed = call_id.removeprefix(_ID_MARK)
    try:
        return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except (binascii.Error, ValueError):
        return call_id


_ID_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def cache_of(mark: shapes.CacheMark | None) -> Cache | None:
    """A cache breakpoint."""
    return Cache(mark.ttl) if mark else None


def _text(raw: Raw, path: str, extras: Extras) -> Block:
    block = decode(_TEXT, raw, path)
    return Text(block.text, cache_of(block.cache_control), block.citations or None)


def _media(raw: Raw, path: str, extras: Extras) -> Block:
    kind = decode(_TYPED, raw, path).type
    block = decode(_MEDIA, raw, path)
    for name in ("context", "citations", "transformations"):
        value = getattr(block, name)
        if isinstance(value, Raw):
            value = msgspec.json.decode(value)
        if value:
            extras["$." + join(path, name)] = value
    source = block.source
    media = Media("image" if kind == "image" else "document", source.media_type or "", name=block.title)
    media.cache = cache_of(block.cache_control)
    if source.type == "text":
        media.text = source.data or ""
    elif source.type == "content":
        media.text, media.media_type = (
            _plain(source.content, join(path, "source.content"), extras),
            "text/plain",
        )
    else:
        media.data, media.url, media.file_id = source.data, source.url, source.file_id
    return media


def _plain(content: str | list[Raw] | None, path: str, extras: Extras) -> str:
    """Content as text. What is no text goes to `extras`."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for index, block in enumerate(read_blocks(content, path, extras)):
        if isinstance(block, Text):
            texts.append(block.text)
        else:
            extras[f"$.{path}[{index}]"] = msgspec.json.decode(content[index])
    return "\n".join(texts)


def _search_result(raw: Raw, path: str, extras: Extras) -> Block:
    block = decode(_SEARCH, raw, path)
    texts = [block.title, block.source, _plain(block.content, join(path, "content"), extras)]
    return Text("\n".join(text for text in texts if text), cache_of(block.cache_control))


def _tool_use(raw: Raw, path: str, extras: Extras) -> Block:
    block = decode(_CALL, raw, path)
    arguments = shapes.raw_object(block.input, join(path, "input"))
    return ToolCall(decode_id(block.id), block.name, arguments, cache=cache_of(block.cache_control))


def _tool_result(raw: Raw, path: str, extras: Extras) -> Block:
    block = decode(_RESULT, raw, path)
    content: list[Text | Media] = []
    if isinstance(block.content, str):
        content = [Text(block.content)] if block.content else []
    elif block.content:
        inner = join(path, "content")
        parts = zip(block.content, read_blocks(block.content, inner, extras), strict=True)
        content = [part if isinstance(part, Text | Media) else Text(_as_json(raw)) for raw, part in parts]
    return ToolResult(
        decode_id(block.tool_use_id), content, bool(block.is_error), cache=cache_of(block.cache_control)
    )


def _as_json(raw: Raw) -> str:
    """A block that no other protocol knows, as text: the model is told rather than left without."""
    return bytes(raw).decode("utf-8", "replace")


def _thinking(raw: Raw, path: str, extras: Extras) -> Block:
    """Unsigned thinking never came from a signing endpoint: it is some other model's, shown to this client."""
    block = decode(_THINKING, raw, path)
    return Thinking(block.thinking, ORIGIN if block.signature else "", block.signature or None)


def _redacted(raw: Raw, path: str, extras: Extras) -> Block:
    return Thinking(origin=ORIGIN, encrypted=decode(_REDACTED, raw, path).data)


_READERS: dict[str, Callable[[Raw, str, Extras], Block]] = {
    "text": _text,
    "image": _media,
    "document": _media,
    "search_result": _search_result,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
