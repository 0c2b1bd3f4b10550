"""What a backend that speaks Responses says went wrong."""

from __future__ import annotations

from dataclasses import replace

from backends.wire.errors import ApiError, read_error
from backends.wire.stream import load_object

# What these codes would have been as an HTTP status; all others are known to `read_error`.
_STATUS_OF_CODE = {
    "server_is_overloaded": 503,
    "slow_down": 503,
    "server_overloaded": 503,
    "vector_store_timeout": 504,
    "data_residency_mismatch": 400,
    "bio_policy": 400,
    "misalignment_policy_violation": 400,
    "cyber_policy": 400,
    "invalid_encrypted_content": 400,
    "previous_response_not_found": 404,
}
_LONGEST_SHOWN = 500  # characters of an error page


def parse_error(status: int, body: bytes) -> ApiError:
    """The error of an HTTP answer. Never raises; a page that is no JSON becomes the message."""
    found = load_object(body)
    if found:
        return replace(error_of(found), status=status)
    text = body[: 4 * _LONGEST_SHOWN].decode("utf-8", "replace").strip()[:_LONGEST_SHOWN]
    return ApiError(status, text or f"The backend answered with status {status} and no explanation.")


def error_of(payload: object) -> ApiError:
    """The error in an event or a failed response, with the status it would have had over HTTP."""
    error = read_error(payload)
    code = error.code or ""
    if error.status == 500 and (code in _STATUS_OF_CODE or "image" in code):
        return replace(error, status=_STATUS_OF_CODE.get(code, 400))
    return error
