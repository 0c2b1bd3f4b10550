"""The answer to a request that the application never sees, in the shape of its path's protocol.

Shared by the server (framing, limits, deadlines) and by the gate (Host, Origin, content type).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backends.wire.errors import ApiError, error_body
from backends.wire.kinds import Protocol, protocol_of_path

RawHeaders = list[tuple[bytes, bytes]]

# Called once for every refused request: (method, path, status, message, request id, peer class).
# Method and path are "" when the request was refused before they were read.
OnRejected = Callable[[str, str, int, str, str, str], None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served. The message tells the caller what to do; `headers` go with the answer."""

    status: int
    message: str
    code: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


def refusal_answer(refusal: Refusal, path: str, request_id: str) -> tuple[RawHeaders, bytes]:
    """Headers and body of the answer: JSON, not cached, with the request id."""
    protocol = protocol_of_path(path)
    error = ApiError(status=refusal.status, message=refusal.message, code=refusal.code)
    body = error_body(protocol, error, request_id)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-patchbay-request-id", request_id.encode()),
        (b"request-id" if protocol is Protocol.ANTHROPIC else b"x-request-id", request_id.encode()),
        *refusal.headers,
    ]
    return headers, body
