"""A proxied request as the views see it: a Django request that reads its own body, once and within limits."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from typing import Any, Protocol

from django.http import HttpRequest, QueryDict

from backends.tasks import spawn
from proxyapp.errors import ProxyError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_SECONDS = 30.0
BODY_BYTES_PER_SECOND = 16 * 1024


class Line(Protocol):
    """The server's side of one request, where the server is ours: what `receive` tells, without waiting."""

    def take_body(self) -> bytes | None:
        """The whole body; None when it was taken, or when the client has left."""

    def watch(self, on_leave: Callable[[], None] | None) -> None:
        """Call this when the client leaves; None: do not any more."""


class ClientGone(Exception):
    """The client left while its body was being read. There is nobody to answer."""


class ApiRequest(HttpRequest):
    """A Django request over an ASGI scope that copies nothing it is not asked for.

    `raw_headers` maps lower-case names to values as bytes (several of one name joined by `,`).
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        # HttpRequest.__init__ would build empty QueryDicts and dicts; what is used of them is lazy below.
        self.scope = scope
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.resolver_match = None
        self.client_gone = False
        self.body_size = 0  # as it was received, still packed
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self._line: Line | None = scope.get("patchbay.exchange")
        facts: dict[str, Any] = scope.get("patchbay") or {}
        self.is_loopback = facts.get("peer") == "loopback"
        self.received_at: float = facts.get("received_at") or time.monotonic()
        self.raw_headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            known = self.raw_headers.get(name)
            self.raw_headers[name] = value if known is None else known + b"," + value

    @cached_property
    def GET(self) -> QueryDict:  # type: ignore[override]  # Django's own name for the query
        return QueryDict(self.scope["query_string"])

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]
        """For what of Django asks for it (logging, technical views); the proxy path never does."""
        meta: dict[str, Any] = {"REQUEST_METHOD": self.method, "PATH_INFO": self.path}
        for name, value in self.raw_headers.items():
            meta[f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"] = value.decode("latin-1")
        return meta

    async def read_body(self, limit: int) -> bytes:
        """The whole body, unpacked if gzip, at most `limit` bytes; then watch for the client leaving.

        Raises ProxyError (408, 413, 415) and ClientGone.
        """
        declared = self.raw_headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        body = self._line.take_body() if self._line is not None else None
        if body is None:
            body = await self._slowly_received(declared, limit)
        self.watch()
        self.body_size = len(body)
        return self._decode(_within(body, limit), limit)

    async def _slowly_received(self, declared: bytes, limit: int) -> bytes:
        """From a server that hands the body over as it comes."""
        seconds = BODY_SECONDS + int(declared or 0) / BODY_BYTES_PER_SECOND if declared.isdigit() else None
        try:
            async with asyncio.timeout(seconds or BODY_SECONDS + limit / BODY_BYTES_PER_SECOND):
                return await self._receive_body(limit)
        except TimeoutError as exc:
            raise ProxyError(
                408, "The request body came too slowly. Send it again.", is_rejection=True
            ) from exc

    def stop_watching(self) -> None:
        """Nobody needs to know any more when the client leaves."""
        if self._line is not None:
            self._line.watch(None)
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def _receive_body(self, limit: int) -> bytes:
        message: Any = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return _within(message.get("body", b""), limit)
        parts, size = [], 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self._receive()

    def _decode(self, body: bytes, limit: int) -> bytes:
        encoding = self.raw_headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding in (b"", b"identity"):
            return body
        if encoding != b"gzip":
            message = "This content-encoding is not supported. Send the body plain or with gzip."
            raise ProxyError(415, message, is_rejection=True)
        return gunzip(body, limit)

    def watch(self) -> None:
        """From now on the current task is cancelled as soon as the client leaves. What comes of a body is not read."""
        task = asyncio.current_task()
        assert task is not None
        if self._line is not None:
            self._line.watch(lambda: self._left(task))
            return
        self._watcher = spawn(self._wait_for_disconnect(task), name="client-watch")

    async def _wait_for_disconnect(self, task: asyncio.Task[Any]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left(task)

    def _left(self, task: asyncio.Task[Any]) -> None:
        self.client_gone = True
        task.cancel()


def gunzip(body: bytes, limit: int) -> bytes:
    """Unpack one gzip member, never past `limit` bytes. Raises ProxyError 400 or 413."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as exc:
        raise ProxyError(
            400, "The body is not valid gzip. Send it again, or plain.", is_rejection=True
        ) from exc
    if len(plain) > limit:
        raise too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        message = "The gzip body is cut short or has more behind its end. Send it again, or plain."
        raise ProxyError(400, message, is_rejection=True)
    return plain


def too_large(limit: int) -> ProxyError:
    """413 with the limit and the setting that moves it."""
    message = f"The request body is over {limit // 2**20} MiB. Send less, or raise PATCHBAY_MAX_BODY_MB."
    return ProxyError(413, message, is_rejection=True)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise too_large(limit)
    return body
