"""The shapes of requests, blocks and events on the wire, and how a wrong one is named.

Rule: what is read as `Raw` keeps its bytes: tool input is the model's own text and is never written anew.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from backends.wire.splice import BadBody

T = TypeVar("T")
Number = int | float | None
NO_RAW = Raw(b"null")


class CacheMark(Struct, gc=False):
    """`cache_control`."""

    ttl: str | None = None


class Typed(Struct, gc=False):
    """Only the type of a block or an event."""

    type: str = ""


class TextBlock(Struct, gc=False):
    text: str
    citations: list[Any] | None = None
    cache_control: CacheMark | None = None


class Source(Struct, gc=False):
    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Raw] | None = None


class MediaBlock(Struct, gc=False):
    source: Source
    title: str | None = None
    context: str | None = None
    citations: Raw = NO_RAW
    transformations: Raw = NO_RAW
    cache_control: CacheMark | None = None


class SearchResultBlock(Struct, gc=False):
    source: str = ""
    title: str = ""
    content: list[Raw] = []
    cache_control: CacheMark | None = None


class ToolUseBlock(Struct, gc=False):
    id: str
    name: str
    input: Raw = NO_RAW
    cache_control: CacheMark | None = None


class ToolResultBlock(Struct, gc=False):
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: CacheMark | None = None


class ThinkingBlock(Struct, gc=False):
    thinking: str = ""
    signature: str | None = None


class RedactedBlock(Struct, gc=False):
    data: str


class Message(Struct, gc=False):
    role: str
    content: str | list[Raw]


class Metadata(Struct, gc=False):
    user_id: str | None = None


class Choice(Struct, gc=False):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Struct, gc=False):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Format(Struct, gc=False):
    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(Struct, gc=False):
    effort: str | None = None
    format: Format | None = None


class ToolDefinition(Struct, gc=False):
    name: str
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: CacheMark | None = None


class Request(Struct, gc=False):
    """POST /v1/messages and its token count."""

    model: str
    messages: list[Message]
    max_tokens: int | None = None
    system: str | list[Raw] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: Number = None
    top_p: Number = None
    top_k: int | None = None
    metadata: Metadata | None = None
    tools: list[Raw] | None = None
    tool_choice: Choice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None  # beta name of output_config.format
    service_tier: str | None = None


class StopDetails(Struct, gc=False):
    """Why the model declined."""

    category: str | None = None
    explanation: str | None = None


class Delta(Struct, gc=False):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class StartedMessage(Struct, gc=False):
    id: str = ""
    model: str = ""
    usage: Raw = NO_RAW


class StartedBlock(Struct, gc=False):
    type: str = ""
    text: str | None = None
    id: str = ""
    name: str = ""
    input: Raw = NO_RAW
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class StreamEvent(Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: Delta | None = None
    message: StartedMessage | None = None
    content_block: Raw = NO_RAW
    usage: Raw = NO_RAW


_PARTS = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_WANTED = re.compile(r"Expected `(.*?)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_WORDS = {"array": "a list", "object": "an object", "str": "a string", "int": "a whole number"}
_WORDS |= {"float": "a number", "bool": "true or false", "null": "null"}


def decode(decoder: msgspec.json.Decoder[T], raw: bytes | Raw, path: str = "") -> T:
    """The value that stands at `path` of the body. Raises BadBody, which names the field at fault."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as exc:
        raise _wrong(str(exc), path) from None
    except (ValueError, RecursionError) as exc:
        raise BadBody(f"The body is not valid JSON: {exc}. Send one JSON object.", path or None) from None


def raw_object(raw: Raw, path: str) -> str:
    """The text of a JSON object, as it came. Raises BadBody."""
    data = bytes(raw)
    if not data.startswith(b"{"):
        raise BadBody(f"The field `{path}` must be an object. Correct it.", path)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadBody(f"The field `{path}` is not valid UTF-8. Encode it as UTF-8.", path) from None


def _wrong(text: str, path: str) -> BadBody:
    parts = _PARTS.fullmatch(text)
    what, inner = (parts["what"], parts["path"] or "") if parts else (text, "")
    if missing := _MISSING.fullmatch(what):
        field = join(join(path, inner), missing[1])
        return BadBody(f"The field `{field}` is missing. Add it.", field)
    field = join(path, inner)
    if not field:
        return BadBody("The body is not a JSON object. Send an object with the request's fields.")
    wanted = _WANTED.match(what)
    if not wanted:
        return BadBody(f"The field `{field}` has a wrong value ({what}). Correct it.", field)
    words = " or ".join(_WORDS.get(name, name) for name in wanted[1].split(" | "))
    return BadBody(f"The field `{field}` must be {words}. Correct it.", field)


def join(path: str, name: str) -> str:
    """A field's path below another."""
    return name if not path else path if not name else path + ("" if name.startswith("[") else ".") + name
