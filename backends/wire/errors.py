"""Errors in the words of each protocol: our own, written; an upstream's, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from backends.wire.kinds import Protocol


@dataclass(frozen=True, slots=True)
class ApiError:
    """One error. `type` None means: what the protocol calls this status. `param` names the field at fault."""

    status: int
    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}

# What an error's `type` or `code` would have been as an HTTP status. Both protocols share one table: their
# words do not collide, and gateways mix them.
_STATUS_OF_WORD = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "usage_limit_reached": 429,
    "usage_not_included": 429,
    "requests": 429,
    "tokens": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def error_type(protocol: Protocol, status: int) -> str:
    """What the protocol calls an error of this HTTP status."""
    if protocol is Protocol.ANTHROPIC:
        return _ANTHROPIC_TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return _OPENAI_TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")


def error_body(protocol: Protocol, error: ApiError, request_id: str) -> bytes:
    """The JSON body of an error in the protocol's shape. The OpenAI shape has no place for the request id."""
    return msgspec.json.encode(error_object(protocol, error, request_id))


def error_object(protocol: Protocol, error: ApiError, request_id: str) -> dict[str, object]:
    """The same as `error_body`, before it is encoded."""
    kind = error.type or error_type(protocol, error.status)
    if protocol is Protocol.ANTHROPIC:
        inner: dict[str, object] = {"type": kind, "message": error.message}
        if error.code:
            inner["details"] = {"error_code": error.code}
        return {"type": "error", "error": inner, "request_id": request_id}
    code = error.code or _OPENAI_CODES.get(error.status)
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}


def read_error(payload: object) -> ApiError:
    """What an upstream's error object says, as an ApiError; `status` is what it would have been over HTTP.

    Takes the whole payload (`{"error": …}`, Anthropic's envelope, the flat form of a Responses `error` event)
    and never raises: whatever cannot be understood is an error of status 500.
    """
    found = payload
    if isinstance(payload, Mapping) and payload.get("error"):
        found = payload["error"]
    if not isinstance(found, Mapping):
        return ApiError(500, _text(found) or "The upstream reported an error without a message.")
    details = found.get("details")
    code = found.get("code") or (details.get("error_code") if isinstance(details, Mapping) else None)
    kind = _text(found.get("type"))
    message = _text(found.get("message")) or "The upstream reported an error without a message."
    status = _status(kind, code)
    return ApiError(
        status, message, None if kind == "error" else kind, _text(code), _text(found.get("param"))
    )


def _status(kind: str | None, code: object) -> int:
    """The code is more exact than the type, so it is asked first. OpenRouter's codes are HTTP statuses."""
    if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599:
        return code
    if (
        isinstance(code, str)
        and code.isascii()
        and code.isdigit()
        and len(code) == 3
        and 400 <= int(code) <= 599
    ):
        return int(code)
    by_code = _STATUS_OF_WORD.get(code) if isinstance(code, str) else None
    return by_code or _STATUS_OF_WORD.get(kind or "") or 500


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    return (
        str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
    )
