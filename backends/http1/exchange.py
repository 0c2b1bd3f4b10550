"""One request on its way and the answer to it, as its sender sees them.

Rule: holds at most HIGH_WATER unread bytes plus one read of the transport; the line's timer serves all deadlines.
`close()` may be called at any time and from anywhere, also twice; it never waits.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from backends.errors import FirstByteTimeout, IdleTimeout, SendTimedOut, StreamCut, UpstreamError
from backends.http1.request import Deadlines, Request

HIGH_WATER = (
    64 * 1024
)  # reading goes on when all of it was taken; a reader that stops costs this and one read


class Line(Protocol):
    """What an exchange needs from the connection that carries it."""

    def resume_answer(self) -> None: ...
    def ring_by(self, moment: float) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """The connection writes into it; the sender awaits `answered()`, then iterates over the body."""

    __slots__ = (
        "_chunks",
        "_deadline",
        "_line",
        "_loop",
        "_waiter",
        "buffered",
        "complete",
        "connect_seconds",
        "deadlines",
        "error",
        "headers",
        "peer",
        "request",
        "resent",
        "reused",
        "sent",
        "status",
        "touched",
        "until_close",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, line: Line, request: Request, deadlines: Deadlines, peer: str
    ) -> None:
        self.status = 0  # the final one; 0 until its headers are in
        self.headers: list[tuple[bytes, bytes]] = []  # names in lower case
        self.reused = False  # it ran on a connection that had served before, or was kept unused
        self.resent = False  # a first copy met a connection that the upstream had closed meanwhile
        self.request = request
        self.deadlines = deadlines
        self.peer = peer  # "host:port", for messages
        self.connect_seconds = 0.0  # until a connection was there: 0 for a kept one
        self.sent = False  # the whole request has left this process
        self.touched = False  # at least one byte came back
        self.until_close = False  # the body has no length: it ends when the connection does
        self.complete = False
        self.error: UpstreamError | None = None
        self.buffered = 0
        self._chunks: list[bytes] = []
        self._line: Line | None = line
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._deadline: float | None = None

    # For the sender.

    async def answered(self) -> None:
        """Wait for the final response headers. Raises UpstreamError; cancelled, it closes the connection."""
        if not self.status and self.error is None:
            try:
                await self._wait()
            except BaseException:
                self.close()
                raise
        if not self.status and self.error is not None:
            raise self.error

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        """All body bytes that have come since the last call, at least one. Raises StreamFailed."""
        if not self._chunks and not self.complete and self.error is None:
            self._expect_within(self.deadlines.idle)
            try:
                await self._wait()
            finally:
                self._deadline = None
        if self._chunks:
            return self._take()
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    def close(self) -> None:
        """Give the connection back if the answer is in, else close it at once."""
        dropped = self._line is not None or self.buffered
        self._chunks.clear()
        self.buffered = 0
        if dropped:
            self.fail(StreamCut(f"The answer of {self.peer} was dropped before its end by this side."))

    # For the connection.

    def keep(self, data: bytes) -> None:
        self._chunks.append(data)
        self.buffered += len(data)

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def progressed(self, *, sent: bool) -> None:
        """A part of the request left, or all of it: the wait for the next step starts now."""
        self.sent = sent
        self._expect_within(self.deadlines.first_byte)

    def answer_began(self, status: int) -> None:
        self.status = status
        self._deadline = None

    def finish(self) -> None:
        """The whole answer is in, and the connection is no longer ours."""
        self.complete = True
        self._let_go()

    def fail(self, error: UpstreamError) -> None:
        """End it. What came before stays readable; the first failure is the one that is told."""
        line = self._line
        self.error = self.error or error
        self._let_go()
        if line is not None:
            line.abort()

    def looked_at_the_clock(self) -> float | None:
        """Fail when the deadline has passed. Returns the one that is still to come, None when nothing is waited for."""
        if self._deadline is None or self._deadline > self._loop.time():
            return self._deadline
        self.fail(self._too_late())
        return None

    def _let_go(self) -> None:
        self._line = None
        self._deadline = None
        self.wake()

    def _take(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        self.buffered = 0
        if self._line is not None:
            self._line.resume_answer()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _expect_within(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._line is not None:
            self._line.ring_by(self._deadline)

    def _too_late(self) -> UpstreamError:
        if self.status:
            return IdleTimeout(
                f"{self.peer} sent nothing for {self.deadlines.idle:g} s in the middle of its answer. "
                "If it may think that long, raise the backend's idle timeout."
            )
        seconds = self.deadlines.first_byte
        if self.sent:
            return FirstByteTimeout(
                f"{self.peer} took the request and sent no response headers for {seconds:g} s. "
                "If it may take that long, raise the backend's first byte timeout."
            )
        return SendTimedOut(
            f"{self.peer} stopped reading the request for {seconds:g} s. Check whether it is overloaded."
        )
