"""Middleware for the pages. The API never passes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from backends.wire.controls import visible_utf8
from proxyapp.page_headers import add_page_headers

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class PageHeadersMiddleware:
    """Content policy and no-store on every page, and no control character; works in both worlds: no thread hop."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        response = self.get_response(request)
        if isinstance(response, HttpResponseBase):
            return _finished(response)
        return _later(response)


async def _later(response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
    return _finished(await response)


def _finished(response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, HttpResponse) and response.headers.get("Content-Type", "").startswith(
        "text/html"
    ):
        _show_controls(response)
    return add_page_headers(response)


def _show_controls(response: HttpResponse) -> None:
    """What strangers sent is text of the page: it may neither steer a terminal nor turn what stands beside it."""
    shown = visible_utf8(response.content)
    if shown != response.content:
        response.content = shown
        response.headers["Content-Length"] = str(len(shown))
