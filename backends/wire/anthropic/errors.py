"""Errors of a Messages upstream in neutral form, and neutral errors in the words that a Messages client acts on."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from backends.wire.errors import ApiError, error_type, read_error
from backends.wire.kinds import Protocol

OVERFLOW = "context_length_exceeded"
_OVERFLOW_WORDS = re.compile(
    r"prompt is too long|exceed(s|ed)? (the )?(context|maximum context)|context_length_exceeded|context window"
    r"|maximum context length",
    re.IGNORECASE,
)
_OWN_WORDS = "prompt is too long"
_OWN_TYPES = frozenset(
    (
        "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
        "conflict_error", "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error",
    )
)  # fmt: skip
_MOST_TEXT = 500
_NUMBER = re.compile(r"\d[\d,]*")


def parse_error(status: int, body: bytes) -> ApiError:
    """What an upstream's error answer says. Never raises; a body that is no JSON is quoted."""
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict):
        return neutral(replace(read_error(payload), status=status))
    text = body.decode("utf-8", "replace").strip()
    if not text or text.startswith("<"):
        return ApiError(status, f"The upstream answered with status {status} and no readable error.")
    return ApiError(status, text[:_MOST_TEXT])


def neutral(error: ApiError) -> ApiError:
    """An error as any protocol can write it: a type that the status implies is left out, an overflow has a code."""
    kind = None if error.type == error_type(Protocol.ANTHROPIC, error.status) else error.type
    is_overflow = error.status in (400, 413) and error.code is None and _OVERFLOW_WORDS.search(error.message)
    return replace(error, type=kind, code=OVERFLOW if is_overflow else error.code)


def client_error(error: ApiError) -> ApiError:
    """An error of any protocol as a Messages client understands it.

    Types of other protocols give way to the one that the status implies. A client that compacts its history does so
    on the words of this protocol, so an overflow is told in them.
    """
    kind = error.type if error.type in _OWN_TYPES else None
    message = error.message
    is_overflow = error.code == OVERFLOW or (error.status == 400 and _OVERFLOW_WORDS.search(message))
    if is_overflow and _OWN_WORDS not in message.lower():
        message = _overflow_message(message)
    return replace(error, type=kind, message=message)


def _overflow_message(message: str) -> str:
    """`prompt is too long: N tokens > M maximum`, as far as the upstream's message has the numbers."""
    counts = sorted({int(found.replace(",", "")[:18]) for found in _NUMBER.findall(message)}, reverse=True)
    large = [count for count in counts if count >= 1000]
    if len(large) >= 2:
        return f"{_OWN_WORDS}: {large[0]} tokens > {large[1]} maximum"
    return f"{_OWN_WORDS}: {message}"
