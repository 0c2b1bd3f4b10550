"""Middleware for the pages. The API never passes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from proxyapp.page_headers import add_page_headers

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class PageHeadersMiddleware:
    """Content policy and no-store on every page; works in both worlds, so it costs no thread hop."""

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
            return add_page_headers(response)
        return _later(response)


async def _later(response: Awaitable[HttpResponseBase]) -> HttpResponseBase:
    return add_page_headers(await response)
