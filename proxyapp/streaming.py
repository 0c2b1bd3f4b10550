"""Streaming responses: a status, headers, and a source of bytes that is closed whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

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


class StreamResponse(HttpResponseBase):
    """A response over a source. Our handler and Django's call `close()` whenever one exists."""

    streaming = True

    def __init__(self, source: Source, status: int, headers: dict[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.source)

    def close(self) -> None:
        """End the source. Django's request_finished signal is for database connections, which nobody here holds."""
        self.source.close()
