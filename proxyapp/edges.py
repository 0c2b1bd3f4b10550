"""What changes requests and answers at the edge to a backend, in the backend's own words: templates and redaction.

A lane knows protocols; an edge knows a rule that the operator made. Edges stand between the lane and the wire, so
one edge serves both lanes: it gets the request as it is about to go up, and the answer before anybody reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from backends.wire.conversation import Unreadable
from backends.wire.errors import ApiError
from backends.wire.usage import Usage
from proxyapp.flows import Flow
from proxyapp.lane import Lane, Outgoing

LARGE_BODY = 128 * 1024  # bytes; to redact it takes about 3 ms, or 60 ms where every word is an address


class EdgeStream(Protocol):
    """Upstream's bytes, changed piece by piece. May hold some back until more have come."""

    def feed(self, chunk: bytes) -> bytes:
        """What can be told after these bytes; may be empty."""

    def end(self) -> bytes:
        """What was held back. Nothing comes after it; a second call gives nothing."""


class Edge(Protocol):
    """One rule at work on one attempt."""

    async def outgoing(self, going: Outgoing) -> None:
        """Change the request in place and list each change in its mutations. Raises ProxyError."""

    def whole(self, body: bytes) -> bytes:
        """A whole answer, or an error; the same object when there is nothing to change. A large one in a thread."""

    def stream(self) -> EdgeStream | None:
        """For a stream; None when nothing in it can need a change."""

    def conceal(self, text: str) -> str:
        """A text for the history and the log, without what only the client may see; mostly the text itself."""


class EdgedLane:
    """A lane with edges: the first is the nearest to the lane, the last the nearest to the wire."""

    def __init__(self, lane: Lane, edges: Sequence[Edge]) -> None:
        self.name, self.kind = lane.name, lane.kind
        self._lane, self._edges = lane, edges

    async def request(self) -> Outgoing:
        going = await self._lane.request()
        for edge in self._edges:
            await edge.outgoing(going)
        return going

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        return self._lane.headers(headers)

    async def plain(self, body: bytes) -> bytes:
        is_large = len(body) > LARGE_BODY
        body = await asyncio.to_thread(self._inward, body) if is_large else self._inward(body)
        try:
            return await self._lane.plain(body)
        except Unreadable as exc:  # it may quote what the backend said
            raise Unreadable(self._conceal(str(exc))) from exc

    def refusal(self, status: int, body: bytes) -> tuple[int, bytes]:
        return self._lane.refusal(status, self._inward(body))

    def tell(self, error: ApiError) -> tuple[int, bytes]:
        status, told = self._lane.tell(error)
        return status, self._inward(told)

    def flow(self) -> Flow:
        streams = [stream for edge in reversed(self._edges) if (stream := edge.stream()) is not None]
        return EdgedFlow(self._lane.flow(), streams, self._conceal) if streams else self._lane.flow()

    def completed(self, usage: Usage | None) -> None:
        self._lane.completed(usage)

    def _inward(self, body: bytes) -> bytes:
        for edge in reversed(self._edges):
            body = edge.whole(body)
        return body

    def _conceal(self, text: str) -> str:
        for edge in self._edges:
            text = edge.conceal(text)
        return text


class EdgedFlow:
    """A flow that gets upstream's bytes through the edges' streams, the nearest to the wire first.

    What it says of an error is for the history: `conceal` takes out what the edges have put back for the client.
    """

    def __init__(self, flow: Flow, streams: Sequence[EdgeStream], conceal: Callable[[str], str]) -> None:
        self._flow, self._streams, self._conceal = flow, streams, conceal

    @property
    def content_seen(self) -> bool:
        return self._flow.content_seen

    @property
    def finished(self) -> bool:
        return self._flow.finished

    @property
    def error(self) -> ApiError | None:
        error = self._flow.error
        return None if error is None else replace(error, message=self._conceal(error.message))

    @property
    def usage(self) -> Usage | None:
        return self._flow.usage

    @property
    def usage_is_final(self) -> bool:
        return self._flow.usage_is_final

    def pass_on(self, chunk: bytes) -> bytes:
        for stream in self._streams:
            chunk = stream.feed(chunk)
        return self._passed(chunk)

    def end(self) -> bytes:
        return self._passed(self._rest()) + self._flow.end()

    def cut(self, message: str, request_id: str) -> bytes:
        return self._passed(self._rest()) + self._flow.cut(message, request_id)

    def ping(self) -> bytes:
        return self._flow.ping()

    def _passed(self, chunk: bytes) -> bytes:
        return self._flow.pass_on(chunk) if chunk else b""

    def _rest(self) -> bytes:
        """What the streams held back, each through those after it."""
        rest = b""
        for stream in self._streams:
            rest = (stream.feed(rest) if rest else b"") + stream.end()
        return rest


def with_edges(lane: Lane, edges: Sequence[Edge]) -> Lane:
    """The lane itself where there are no edges, as for most requests."""
    return EdgedLane(lane, edges) if edges else lane
