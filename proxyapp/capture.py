"""Taking down what passes, where the operator asked for it: the body as the client sent it, the answer as it got it.

Rule: the hot path keeps references and copies nothing; without the wish for bodies nothing here touches a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from analytics.bodies.store import KEEP_BYTES, KeptBody, body_store
from analytics.models import Body
from proxyapp.call import ClientCall
from proxyapp.streaming import Source, StreamResponse


def keeps_bodies(call: ClientCall) -> bool:
    """Whether the setting, the client key or the backend that answered last wants its bodies kept."""
    if settings.PATCHBAY_LOG_BODIES or call.caller.keeps_bodies:
        return True
    backend = call.snapshot.routing.backends.get(call.draft.backend.lower())
    return backend is not None and backend.keeps_bodies


_Answer = TypeVar("_Answer", HttpResponseBase, None)


def captured(call: ClientCall | None, response: _Answer) -> _Answer:
    """The response as it is; the bodies are kept if somebody wants that, a stream's once it has ended.

    Without a call nothing was read that could be kept; without a response nobody was there to get one.
    """
    if call is None or not keeps_bodies(call):
        return response
    sent = call.headers.get(b"content-type", b"").decode("latin-1")
    body_store.add(KeptBody(call.draft.id, Body.REQUEST, [call.body], len(call.body), sent))
    if isinstance(response, StreamResponse):
        response.source = CapturedSource(response.source, call.draft.id, response.get("content-type", ""))
    elif isinstance(response, HttpResponse):
        body, content_type = response.content, response.get("content-type", "")
        body_store.add(KeptBody(call.draft.id, Body.RESPONSE, [body], len(body), content_type))
    return response


class CapturedSource:
    """A source of bytes that remembers them as they pass, up to a bound, and keeps them when it is closed."""

    def __init__(self, source: Source, request_id: str, content_type: str) -> None:
        self._source = source
        self._request_id = request_id
        self._content_type = content_type
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_kept = False

    @property
    def has_bytes(self) -> bool:
        """Whether something can be sent at once."""
        return self._source.has_bytes

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._pieces = aiter(self._source)
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._pieces)
        if self._size < KEEP_BYTES:
            self._chunks.append(chunk)
        self._size += len(chunk)
        return chunk

    def close(self) -> None:
        """End the source, then keep what has passed, once."""
        self._source.close()
        if not self._is_kept:
            self._is_kept = True
            body_store.add(
                KeptBody(self._request_id, Body.RESPONSE, self._chunks, self._size, self._content_type)
            )
