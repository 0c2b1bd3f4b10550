"""Which tap reads which kind of stream, and what a buffered answer tells."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from backends.wire.anthropic import AnthropicTap
from backends.wire.errors import ApiError, read_error
from backends.wire.kinds import Kind
from backends.wire.openai_chat import ChatTap
from backends.wire.openai_responses import ResponsesTap
from backends.wire.stream import StreamTap, load, load_object
from backends.wire.usage import Usage, usage_from

__all__ = ["ResponseFacts", "StreamTap", "read_response", "stream_tap"]

_TAPS: dict[Kind, type[AnthropicTap] | type[ChatTap] | type[ResponsesTap]] = {
    Kind.MESSAGES: AnthropicTap,
    Kind.CHAT: ChatTap,
    Kind.COMPLETIONS: ChatTap,
    Kind.RESPONSES: ResponsesTap,
}


class ResponseFacts(Struct, frozen=True):
    """What the body of a 2xx answer tells. `valid`: it is a JSON object. `error`: an error despite 2xx."""

    usage: Usage | None
    model: str | None
    error: ApiError | None
    valid: bool


class _Named(Struct, gc=False):
    id: str = ""


_ABSENT = Raw(b"null")


class _Body(Struct, gc=False):
    model: Raw = _ABSENT
    usage: Raw = _ABSENT
    error: Raw = _ABSENT


_BODY = msgspec.json.Decoder(_Body)
_NAMED = msgspec.json.Decoder(_Named)


def stream_tap(kind: Kind) -> StreamTap:
    """A fresh tap for one stream. Raises ValueError for a kind that does not stream."""
    if kind not in _TAPS:
        raise ValueError(f"{kind.value} requests are not streamed; read their body with read_response().")
    return _TAPS[kind](kind)


def read_id(body: bytes) -> str:
    """The `id` of a buffered answer; "" where it has none. Never raises."""
    try:
        return _NAMED.decode(body).id
    except (ValueError, RecursionError):
        return ""


def read_response(kind: Kind, body: bytes) -> ResponseFacts:
    """Usage, model and error of a buffered 2xx body. Never raises; what is no JSON object is not valid."""
    try:
        found = _BODY.decode(body)
    except (ValueError, RecursionError):
        return ResponseFacts(None, None, None, valid=False)
    model = load(found.model)
    error = load(found.error) if found.error is not _ABSENT else None
    return ResponseFacts(
        usage=usage_from(kind, load_object(found.usage), bytes(found.usage)),
        model=model if isinstance(model, str) else None,
        error=read_error({"error": error}) if error else None,
        valid=True,
    )
