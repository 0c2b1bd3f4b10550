"""Responses of the proxy path: whole ones, and streams whose source of bytes is closed whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from django.http import HttpResponse
from django.http.response import HttpResponseBase

SSE_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class Source(Protocol):
    """Where a stream's bytes come from. `close()` is synchronous and may be called more than once."""

    @property
    def has_bytes(self) -> bool:
        """Whether something can be sent at once."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Answer(HttpResponse):
    """A whole answer with headers whose names are in lower case and whose texts fit a header.

    Django's own constructors check and convert each header, and make a cookie jar: a twentieth of a request's time.
    What a line break in a header would do is checked by whoever writes the response.
    """

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.headers = headers  # type: ignore[assignment]  # read like Django's own, and written by name
        self._container = [body]


class StreamResponse(HttpResponseBase):
    """A response over a source, its headers as an `Answer` has them. Our handler calls `close()` whenever one exists.

    Of an upstream that names no content type a stream of events was read.
    """

    streaming = True

    def __init__(self, source: Source, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.headers = {  # type: ignore[assignment]
            "content-type": SSE_HEADERS["content-type"],
            **headers,
        }
        self.source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.source)

    def close(self) -> None:
        """End the source. Django's request_finished signal is for database connections, which nobody here holds."""
        self.source.close()
