"""Refusing before a body is read: what the gate refuses, and calls without a valid key.

The view checks the key again, from the snapshot it then works with; this only saves reading what nobody may send.
"""

from __future__ import annotations

from accounts.client_auth import authenticate
from accounts.snapshot import keeper
from proxyapp.callers import refused_caller
from router_site.asgi import application
from router_site.gate import JSON_PATHS
from router_site.refusals import Refusal
from router_site.server.hub import Scope


def admit(scope: Scope) -> Refusal | None:
    """Why this request is refused already, or None. Sets `scope["patchbay"]`."""
    refused = application.refusal(scope)
    if refused is not None or scope["path"] not in JSON_PATHS or scope["method"] != "POST":
        return refused
    is_loopback = scope["patchbay"]["peer"] == "loopback"
    sent = dict(scope["headers"])
    if authenticate(sent, keeper.current, is_loopback=is_loopback) is not None:
        return None
    error = refused_caller(sent, scope.get("client"))
    headers = tuple((name.lower().encode(), value.encode()) for name, value in error.headers.items())
    return Refusal(error.status, str(error), error.api_error.code, headers)
