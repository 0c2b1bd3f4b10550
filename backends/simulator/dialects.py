"""One row for each kind of request: how it is read, answered whole, streamed, and billed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import msgspec

from backends.simulator import anthropic, openai_chat, openai_other, openai_responses
from backends.simulator.asking import Ask, BadRequest, JsonObject
from backends.simulator.events import Event, Events, Part, encode, named
from backends.simulator.reply import Reply, Tokens
from backends.wire.kinds import Kind, Protocol

_CACHED_BODY = 256 << 10
_HUGE = 10**18


@dataclass(frozen=True, slots=True)
class Dialect:
    """`whole` and `stream` take (ask, reply, id, created in epoch seconds, usage or None for none)."""

    read: Callable[[JsonObject], Ask]
    usage: Callable[[Tokens], JsonObject]
    whole: Callable[[Ask, Reply, str, int, JsonObject | None], JsonObject]
    stream: Callable[[Ask, Reply, str, int, JsonObject | None], Events] | None = None


def _message(ask: Ask, reply: Reply, ident: str, _created: int, usage: JsonObject | None) -> JsonObject:
    return anthropic.message(ask, reply, ident, usage)


def _message_stream(ask: Ask, reply: Reply, ident: str, _created: int, usage: JsonObject | None) -> Events:
    return anthropic.stream(ask, reply, ident, usage)


def _count(ask: Ask, _reply: Reply, _ident: str, _created: int, _usage: JsonObject | None) -> JsonObject:
    return {"input_tokens": ask.input_tokens}


def _vectors(ask: Ask, _reply: Reply, _ident: str, _created: int, usage: JsonObject | None) -> JsonObject:
    return openai_other.embeddings(ask, usage)


def _count_usage(tokens: Tokens) -> JsonObject:
    return {"input_tokens": tokens.fresh}


DIALECTS = {
    Kind.MESSAGES: Dialect(
        partial(anthropic.read, kind=Kind.MESSAGES), anthropic.usage_of, _message, _message_stream
    ),
    Kind.COUNT_TOKENS: Dialect(partial(anthropic.read, kind=Kind.COUNT_TOKENS), _count_usage, _count),
    Kind.CHAT: Dialect(openai_chat.read, openai_chat.usage_of, openai_chat.completion, openai_chat.stream),
    Kind.RESPONSES: Dialect(
        openai_responses.read,
        openai_responses.usage_of,
        openai_responses.response,
        openai_responses.stream,
    ),
    Kind.EMBEDDINGS: Dialect(openai_other.read_embeddings, openai_other.embedding_usage, _vectors),
    Kind.COMPLETIONS: Dialect(
        openai_other.read_completion, openai_chat.usage_of, openai_other.completion, openai_other.stream
    ),
}


def read(kind: Kind, body: bytes) -> Ask:
    """Understand a request body. Raises BadRequest."""
    return _read_cached(kind, body) if len(body) <= _CACHED_BODY else _read(kind, body)


def _read(kind: Kind, body: bytes) -> Ask:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(decoded, dict):
        raise BadRequest("The body must be a JSON object.")
    return DIALECTS[kind].read(decoded)


_read_cached = lru_cache(maxsize=128)(_read)


def spoiled_usage(usage: JsonObject, mode: str) -> JsonObject | None:
    """The usage object as the script wants it reported: none, neg, huge; else unchanged."""
    if mode == "none":
        return None
    if mode in ("neg", "huge"):
        return {name: _spoiled(value, mode) for name, value in usage.items()}
    return usage


def _spoiled(value: object, mode: str) -> object:
    if isinstance(value, dict):
        return {name: _spoiled(inner, mode) for name, inner in value.items()}
    if isinstance(value, int):
        return _HUGE if mode == "huge" else -abs(value) - 1
    return value


def doubled(events: Events, kind: Kind) -> Events:
    """Every event that reports final usage, twice."""
    carrier = Part.TERMINAL if kind is Kind.RESPONSES else Part.CLOSING
    for event in events:
        yield event
        if event.part is carrier:
            yield event


def error_body(
    protocol: Protocol,
    status: int,
    message: str,
    request_id: str,
    *,
    kind: str = "",
    code: str = "",
    param: str | None = None,
) -> bytes:
    """An error in the words of this protocol."""
    if protocol is Protocol.ANTHROPIC:
        return encode(anthropic.error(status, message, request_id, kind=kind, code=code))
    return encode(openai_chat.error(status, message, kind=kind, code=code, param=param))


def error_event(
    ask: Ask, ident: str, request_id: str, kind: str, code: str, message: str, sent: int
) -> Event:
    """The error event of a stream in which `sent` events went before. `failed`: response.failed."""
    text = message or "The simulator was told to fail in the middle of this stream."
    if ask.kind is Kind.MESSAGES:
        problem = anthropic.error(529, text, request_id, kind=kind, code=code)
        return Event(b"error", encode(problem), Part.CONTENT)
    if ask.kind is not Kind.RESPONSES:
        return Event(b"", encode(openai_chat.error(500, text, kind=kind, code=code)), Part.CONTENT)
    if kind == "failed":
        problem = openai_responses.failed(ask, ident, code or "server_error", text)
        return named("response.failed", {"sequence_number": sent, "response": problem})
    fields = {"code": code or kind or "server_error", "message": text, "param": None}
    return named("error", {"sequence_number": sent, **fields})
