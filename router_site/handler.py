"""The lean ASGI handler of the API URLs: Django's routing and async views without its per-request threads.

Django's own handler starts two threads for each request and runs the admin's middleware; a proxied request
needs neither. Rule: the view runs in this task; a client that leaves cancels it within the same turn of
the loop, and a stream's `close()` runs in any case.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver

from proxyapp.request import ApiRequest, ClientGone
from proxyapp.streaming import StreamResponse
from proxyapp.views import not_found, server_error
from router_site.server.hub import Receive, Scope, Send

logger = logging.getLogger("patchbay.handler")
URLCONF = "router_site.api_urls"


@lru_cache(maxsize=1024)
def resolve(path: str) -> ResolverMatch | None:
    """The API view for a path, or None."""
    try:
        return get_resolver(URLCONF).resolve(path)
    except Resolver404:
        return None


class ApiHandler:
    """ASGI application for everything in `router_site/api_urls.py`; 404 in the path's protocol otherwise."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = ApiRequest(scope, receive)
        try:
            response = await _respond(request)
            await _send(response, request, send)
        except ClientGone:
            logger.debug("The client left before its request was complete.")
        except asyncio.CancelledError:
            if not request.client_gone:
                raise
        finally:
            request.stop_watching()


async def _respond(request: ApiRequest) -> HttpResponseBase:
    match = resolve(request.path)
    try:
        if match is None:
            return not_found(request)
        response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
        return response
    except ClientGone:
        raise
    except Exception:
        # The outermost edge: a bug of ours must not take the connection, nor show itself to the client.
        logger.exception("%s %s failed inside Patchbay.", request.method, request.path)
        return server_error(request)


async def _send(response: HttpResponseBase, request: ApiRequest, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    if isinstance(response, StreamResponse):
        await _send_stream(response, headers, send)
        return
    assert isinstance(response, HttpResponse)
    body = response.content
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


async def _send_stream(response: StreamResponse, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    """`close()` runs whatever happens, also when the client left before the first byte."""
    try:
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        if not response.source.has_bytes:  # it is slow to say something: the headers go out all the same
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        async for chunk in response.source:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        response.close()  # its record is kept before the client can know that the answer is whole
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        response.close()
