"""OpenAI Chat Completions and Completions in the direct lane: reading a stream, ending one that was cut."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from backends.wire.errors import ApiError, error_body, read_error
from backends.wire.kinds import Kind, Protocol
from backends.wire.sse import SseEvent
from backends.wire.stream import CUT_CODE, StreamTap, load, load_object
from backends.wire.usage import usage_from

_NOTHING = Raw(b"null")
_CONTENT = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal", "function_call", "audio")


class _Choice(Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None
    delta: Raw = _NOTHING
    text: str | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = None
    usage: Raw = _NOTHING
    error: Raw = _NOTHING
    x_groq: Raw = _NOTHING


_CHUNK = msgspec.json.Decoder(_Chunk)


class ChatTap(StreamTap):
    """Reads a stream of POST /v1/chat/completions, or of /v1/completions.

    It is finished by `[DONE]`, or at its end if every choice that was seen has got its finish reason: some
    servers send no `[DONE]`.
    """

    __slots__ = ("_ended", "_open")

    def __init__(self, kind: Kind = Kind.CHAT) -> None:
        super().__init__(kind)
        self._open: set[int] = set()
        self._ended: set[int] = set()

    def close(self) -> None:
        """The end of the stream, also for `[DONE]` without a blank line: clients stop there all the same."""
        done = self._reader.pending.rstrip(b"\n") in (b"data: [DONE]", b"data:[DONE]")
        if done or (self._ended and not self._open):
            self._finish()

    def cut(self, message: str, request_id: str) -> bytes:
        """A chunk with a top-level `error`, and no `[DONE]` after it."""
        error = ApiError(502, message, code=CUT_CODE)
        data = error_body(Protocol.OPENAI, error, request_id)
        return self._cut_into(data, b'"choices":[],' + data[1:-1])

    def _see(self, event: SseEvent) -> None:
        data = event.data
        if data.startswith(b"[DONE]"):
            self._finish()
            return
        chunk = _decode(data)
        if chunk is None:
            return
        if chunk.error != _NOTHING and load(chunk.error):
            self._fail(read_error({"error": load(chunk.error)}))
            return
        if chunk.model and not self.model:
            self.model = chunk.model
        if chunk.choices:
            self._see_choices(chunk.choices)
        if chunk.usage != _NOTHING or chunk.x_groq != _NOTHING:
            self._count(chunk)

    def _see_choices(self, choices: list[_Choice]) -> None:
        for choice in choices:
            if not choice.finish_reason:
                if choice.index not in self._ended:
                    self._open.add(choice.index)
            elif choice.finish_reason == "error":
                self._fail(ApiError(500, "The upstream ended its answer with the finish reason `error`."))
                return
            else:
                self._open.discard(choice.index)
                self._ended.add(choice.index)
                self.content_seen = True
            if not self.content_seen and (choice.text or _has_content(choice.delta)):
                self.content_seen = True

    def _count(self, chunk: _Chunk) -> None:
        """The last usage counts. Groq has it in a place of its own."""
        raw = bytes(chunk.usage)
        usage = load_object(raw)
        if not usage:
            usage, raw = _inner(chunk.x_groq, "usage"), b""
        self.usage = usage_from(self.kind, usage, raw) or self.usage
        self.usage_is_final = bool(self.usage and self._ended and not self._open)


def _decode(data: bytes) -> _Chunk | None:
    """The chunk, or what of it has the right type; None if it is no JSON object."""
    try:
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        return _tolerant(load_object(data))
    except (ValueError, RecursionError):
        return None


def _tolerant(obj: Mapping[str, object]) -> _Chunk:
    raw = {name: Raw(msgspec.json.encode(obj[name])) for name in ("usage", "error", "x_groq") if name in obj}
    choices, model = obj.get("choices"), obj.get("model")
    return _Chunk(
        choices=[_choice(item) for item in choices if isinstance(item, Mapping)]
        if isinstance(choices, list)
        else None,
        model=model if isinstance(model, str) else None,
        **raw,
    )


def _choice(obj: Mapping[str, object]) -> _Choice:
    index, reason, text = obj.get("index"), obj.get("finish_reason"), obj.get("text")
    return _Choice(
        index=index if type(index) is int else 0,
        finish_reason=reason if isinstance(reason, str) else None,
        delta=Raw(msgspec.json.encode(obj.get("delta"))),
        text=text if isinstance(text, str) else None,
    )


def _has_content(delta: Raw) -> bool:
    """Whether the delta holds anything of an answer. A role or an empty text alone does not."""
    obj = load_object(delta)
    return any(obj.get(name) for name in _CONTENT)


def _inner(raw: Raw, name: str) -> Mapping[str, object]:
    value = load_object(raw).get(name)
    return value if isinstance(value, Mapping) else {}
