"""Patchbay's own errors on their way to the client, always in the shape of the path's protocol."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpResponse

from backends.wire.errors import ApiError, error_body
from backends.wire.kinds import Protocol


class ProxyError(Exception):
    """A request ends here, with this status and message. `is_rejection`: it never got as far as an upstream."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        is_rejection: bool = False,
    ) -> None:
        super().__init__(message)
        self.api_error = ApiError(status, message, type=kind, code=code, param=param)
        self.headers = dict(headers or {})
        self.is_rejection = is_rejection

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.api_error.status


def error_response(
    protocol: Protocol, error: ApiError, request_id: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """`error` as a response; the request id also stands where each SDK looks for it."""
    response = HttpResponse(
        error_body(protocol, error, request_id), status=error.status, content_type="application/json"
    )
    response["x-patchbay-request-id"] = request_id
    response["request-id" if protocol is Protocol.ANTHROPIC else "x-request-id"] = request_id
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def unauthorized() -> ProxyError:
    """401 without a word about which keys exist."""
    return ProxyError(
        401,
        "A valid Patchbay key is needed: send it as x-api-key or Authorization: Bearer."
        " `python manage.py keys add NAME` makes one.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
        is_rejection=True,
    )
