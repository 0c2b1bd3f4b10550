"""OpenAI Responses in the direct lane: reading a passing stream, and ending one that was cut."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from backends.wire.errors import ApiError, error_object, read_error
from backends.wire.kinds import Kind, Protocol
from backends.wire.sse import SseEvent, encode_event
from backends.wire.stream import StreamTap, load_object, pending_data
from backends.wire.usage import usage_from

_OPENING = frozenset(("response.created", "response.in_progress", "response.queued"))
_ENDS = frozenset(("response.completed", "response.incomplete", "response.cancelled"))
_LARGEST_KEPT = (
    256 * 1024
)  # the opening event repeats the request's tools; a larger one is not kept for `cut`
_OUTCOME: dict[str, object] = {"status": "failed", "output": [], "usage": None, "incomplete_details": None}
# What the SDKs' types require of a response, for an upstream that did not say.
_BLANK: dict[str, object] = {
    "object": "response",
    "created_at": 0,
    "model": "",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


class _Typed(msgspec.Struct, gc=False):
    type: str = ""
    sequence_number: int | None = None


_TYPE = msgspec.json.Decoder(_Typed)


class ResponsesTap(StreamTap):
    """Reads a stream of POST /v1/responses."""

    __slots__ = ("_last", "_opening", "response_id")

    def __init__(self, kind: Kind = Kind.RESPONSES) -> None:
        super().__init__(kind)
        self.response_id = ""
        self._opening = b""  # data of the first event that carries the response object
        self._last = b""

    def cut(self, message: str, request_id: str) -> bytes:
        """An `error` event and, once the response has an id, `response.failed` under the same id.

        The error stands in both known places: flat, as documented, and under `error`, which makes SDKs raise.
        """
        number = self._next_number()
        error = ApiError(502, message, code="server_error")
        flat = {
            "type": "error",
            "code": error.code,
            "message": message,
            "param": None,
            "sequence_number": number,
        }
        data = msgspec.json.encode(flat | error_object(Protocol.OPENAI, error, request_id))
        first = self._cut_into(data, data[1:-1], name=b"error", is_end=self._ends_pending())
        response = self._failed_response(message)
        if response is None:
            return first
        failed = {"type": "response.failed", "response": response, "sequence_number": number + 1}
        return first + encode_event(msgspec.json.encode(failed), b"response.failed")

    def _see(self, event: SseEvent) -> None:
        self._last = event.data
        name = event.name.decode("latin-1") or _read(event.data).type
        if not self.content_seen and name.startswith("response.") and name not in _OPENING:
            self.content_seen = name != "response.failed"
        if name in _OPENING:
            self._open(event.data)
        elif name in _ENDS:
            self._end(event.data)
        elif name == "error":
            self._fail(read_error(load_object(event.data)))
        elif name == "response.failed":
            self._end(event.data, failed=True)

    def _open(self, data: bytes) -> None:
        if not self._opening and len(data) <= _LARGEST_KEPT:
            self._opening = data
        if self.model is None:
            self._take_facts(_response(data))

    def _end(self, data: bytes, *, failed: bool = False) -> None:
        response = _response(data)
        self._take_facts(response)
        self.usage_is_final = isinstance(response.get("usage"), Mapping)
        if failed:
            self._fail(read_error(response))
        else:
            self._finish()

    def _take_facts(self, response: Mapping[str, object]) -> None:
        model, usage, named = response.get("model"), response.get("usage"), response.get("id")
        self.response_id = named if isinstance(named, str) else self.response_id
        self.model = model if isinstance(model, str) else self.model
        if isinstance(usage, Mapping):
            self.usage = usage_from(self.kind, usage) or self.usage

    def _next_number(self) -> int:
        for data in (pending_data(self._reader.pending), self._last):
            number = _read(data).sequence_number
            if number is not None and 0 <= number < 2**53:
                return number + 1
        return 0

    def _ends_pending(self) -> bool:
        """Whether the unfinished event, as far as it came, is the regular end of a stream."""
        pending = self._reader.pending
        return any(end.encode() in pending for end in _ENDS)

    def _failed_response(self, message: str) -> dict[str, object] | None:
        seen = _response(self._opening)
        if not isinstance(seen.get("id"), str):
            return None
        return {**_BLANK, **seen, **_OUTCOME, "error": {"code": "server_error", "message": message}}


def _response(data: bytes) -> Mapping[str, object]:
    response = load_object(data).get("response")
    return response if isinstance(response, Mapping) else {}


def _read(data: bytes) -> _Typed:
    """Type and number of an event, as far as they are what they should be."""
    try:
        return _TYPE.decode(data)
    except msgspec.ValidationError:
        found = load_object(data)
        kind, number = found.get("type"), found.get("sequence_number")
        return _Typed(kind if isinstance(kind, str) else "", number if type(number) is int else None)
    except (ValueError, RecursionError):
        return _Typed()
