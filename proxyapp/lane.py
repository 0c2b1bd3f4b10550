"""What a lane is: one attempt's way up and down, and the request as it goes."""

from __future__ import annotations

from typing import Protocol

import msgspec

from backends.wire.errors import ApiError
from backends.wire.kinds import Kind
from backends.wire.usage import Usage
from proxyapp.flows import Flow
from proxyapp.headers import Headers


class Outgoing(msgspec.Struct):
    """The request as it goes upstream. `lost`: paths of what the backend cannot be told."""

    body: bytes
    headers: Headers
    query: bytes = b""
    mutations: list[str] = []
    lost: list[str] = []


class Lane(Protocol):
    """One attempt's way up and down. `kind` is the operation at the backend."""

    name: str
    kind: Kind

    async def request(self) -> Outgoing:
        """Raises ProxyError 400 for what the backend cannot serve."""

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        """Upstream's headers that reach the client, under the names that its SDK reads."""

    async def plain(self, body: bytes) -> bytes:
        """The client's answer from upstream's whole one. Raises Unreadable."""

    def refusal(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Upstream's error in the client's words."""

    def tell(self, error: ApiError) -> tuple[int, bytes]:
        """An error that came inside a success, as status and body of its own."""

    def flow(self) -> Flow:
        """For a stream."""

    def completed(self, usage: Usage | None) -> None:
        """The whole answer has come: what is to be learnt from it."""
