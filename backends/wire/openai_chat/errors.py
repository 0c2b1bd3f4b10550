"""Errors of OpenAI and the servers that imitate it, as ApiError."""

from __future__ import annotations

import re
from collections.abc import Mapping

from backends.wire.errors import ApiError, read_error
from backends.wire.stream import load

_OVERFLOW_CODES = ("context_length_exceeded", "exceed_context_size_error", "string_above_max_length")
_OVERFLOW = re.compile(
    r"maximum context length|context length (?:is|of)|context_length_exceeded|prompt is too long"
    r"|exceeds? the (?:available |maximum |model'?s? )?context|context window|input is too long|too many tokens",
    re.IGNORECASE,
)
_COUNT = re.compile(r"(?<![\w.-])\d[\d,]{2,12}(?![\w-])")  # not a part of a model's name
_WORDS = ("insufficient_quota", "model_not_found", "usage_limit_reached", "invalid_prompt")
_MOST = 2000  # characters of a message


def parse_error(status: int, body: bytes) -> ApiError:
    """An upstream's error response. Never raises; `status` is the HTTP status it came with."""
    payload = load(body)
    if isinstance(payload, list) and payload:
        payload = payload[0]  # Gemini
    if isinstance(payload, Mapping) and not payload.get("error"):
        payload = _flat(payload)
    if not isinstance(payload, Mapping):
        return neutral(ApiError(status, _plain(status, body)), status)
    return neutral(read_error(payload), status)


def _flat(payload: Mapping[str, object]) -> Mapping[str, object]:
    """Other shapes: `{"message"}` as in vLLM, `{"detail"}` as in FastAPI, a string or a list of faults."""
    detail = payload.get("detail")
    if isinstance(detail, Mapping):
        return {"error": detail} if detail.get("message") else detail
    if isinstance(detail, list):
        return {"message": "; ".join(_fault(item) for item in detail[:10])}
    return {"message": detail} if isinstance(detail, str) else payload


def _fault(item: object) -> str:
    if not isinstance(item, Mapping):
        return str(item)[:200]
    place = item.get("loc")
    where = ".".join(str(step) for step in place) if isinstance(place, list) else ""
    return f"{where}: {item.get('msg')}"[:200]


def _plain(status: int, body: bytes) -> str:
    """Text that is no JSON: a proxy's page, or a short message."""
    text = body[:_MOST].decode("utf-8", "replace").strip()
    if not text or text.startswith("<"):
        return f"The upstream answered with status {status} and no error message."
    return text


def neutral(error: ApiError, status: int | None) -> ApiError:
    """The error without the words of one protocol: the type follows from the status, the code stays if it tells more.

    `status` None: it came inside a stream, and its own status counts.
    """
    status = error.status if status is None else status
    code = error.code or (error.type if error.type in _WORDS else None)
    message = error.message[:_MOST]
    if code is not None and code.isdigit():
        code = None
    is_overflow = code in _OVERFLOW_CODES or error.type in _OVERFLOW_CODES
    if status in (400, 413, 422, 500) and (is_overflow or (status != 500 and _OVERFLOW.search(message))):
        return ApiError(400, _too_long(message), code="context_length_exceeded", param=error.param)
    return ApiError(status, message, code=code, param=error.param)


def _too_long(message: str) -> str:
    """In the words that coding clients look for before they shorten a conversation."""
    if message.lower().startswith("prompt is too long"):
        return message
    numbers = [int(number.replace(",", "")) for number in _COUNT.findall(message)][:2]
    if len(numbers) == 2 and numbers[0] != numbers[1]:  # the limit is the smaller one, whichever stands first
        return f"prompt is too long: {max(numbers)} tokens > {min(numbers)} maximum"
    return f"prompt is too long: {message}"
