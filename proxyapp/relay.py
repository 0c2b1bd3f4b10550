"""The relay: a stream from upstream to the client, one piece at a time, through a flow.

Rule: it is an object with an idempotent `close()`, not a generator. A client that leaves while the headers
go out would never start a generator, and its `finally` would never run; `close()` runs whatever happens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from analytics.drafts import Outcome, RecordDraft
from backends.errors import UpstreamError
from backends.upstream import UpstreamResponse
from proxyapp.flows import Flow

HOLD_BYTES = 256 * 1024
HOLD_SECONDS = 5.0
STOPPED = "stopped by the operator"
LINGER_SECONDS = 1.0  # after the terminal event: time for upstream to end its response properly
PING_SECONDS = 15.0  # of silence towards the client; some clients give up after 20

_live: set[Relay] = set()


class Relay:
    """One upstream stream on its way to the client. `on_close` gets the outcome and a message, once.

    `idle_seconds`: how long upstream may say nothing. Pings to the client do not count as saying something.
    """

    def __init__(
        self, response: UpstreamResponse, flow: Flow, draft: RecordDraft, *, idle_seconds: float = 300.0
    ) -> None:
        self.flow = flow
        self.on_close: Callable[[Outcome, str], None] | None = None
        self.passed = 0  # bytes for the client
        self.added = (
            0  # bytes of our own among those it gets: pings, the error that ends a stream that was cut
        )
        self._response = response
        self._pieces = aiter(response)
        self._draft = draft
        self._idle_seconds = idle_seconds
        self._heard_at = self._said_at = time.monotonic()
        self._held: list[bytes] = []
        self._at_end = False
        self._failure = ""
        self._outcome: Outcome | None = None
        self._reader: asyncio.Task[object] | None = None
        self._farewell = ""  # what the client is told when we end the stream ourselves

    # --- before the commit point -----------------------------------------------------------------------------

    async def prime(self) -> None:
        """Hold what comes until the first meaningful event, an error or the end; bounded in bytes and time."""
        size = 0
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                while not self._is_decided and size < HOLD_BYTES:
                    chunk = await self._read()
                    size += len(chunk)
                    if chunk:
                        self._held.append(chunk)
        except TimeoutError:
            pass  # upstream is alive but slow to say something: let the client see that

    @property
    def _is_decided(self) -> bool:
        return self._at_end or self.flow.content_seen or self.flow.finished or self.flow.error is not None

    @property
    def has_bytes(self) -> bool:
        """Whether something can be sent at once."""
        return bool(self._held)

    @property
    def failed_early(self) -> bool:
        """Whether nothing but a failure came: an error event or the end, before any content."""
        flow = self.flow
        return not flow.content_seen and (flow.error is not None or (self._at_end and not flow.finished))

    @property
    def failure(self) -> str:
        """Why upstream ended before its terminal event, in words."""
        return (self._failure or "the stream ended before its terminal event").rstrip(".")

    # --- after it --------------------------------------------------------------------------------------------

    def __aiter__(self) -> Relay:
        self._reader = asyncio.current_task()
        _live.add(self)
        return self

    async def __anext__(self) -> bytes:
        if self._farewell and not self._at_end:
            return self._take_leave()  # ended before the first byte was asked for
        if self._held:
            held, self._held = b"".join(self._held), []
            return held
        try:
            while not self._at_end:
                if chunk := await self._read_or_ping():
                    self._said_at = time.monotonic()
                    return chunk
        except asyncio.CancelledError:
            if not self._farewell or self._at_end or self._reader is None:
                raise
            self._reader.uncancel()
            return self._take_leave()
        return self._finish()

    async def _read_or_ping(self) -> bytes:
        """The next bytes for the client; a ping when it has heard nothing for long. May be empty."""
        if not (ping := self.flow.ping()):
            return await self._read()
        try:
            async with asyncio.timeout(PING_SECONDS - (time.monotonic() - self._said_at)):
                return await self._read()
        except TimeoutError:
            if time.monotonic() - self._heard_at < self._idle_seconds:
                self.added += len(ping)
                return ping
            self._failure = f"the upstream said nothing for {self._idle_seconds:g} seconds"
            return self._end()

    async def _read(self) -> bytes:
        """What the client gets for the next piece of upstream's; `_at_end` is set when there is no more."""
        try:
            if self.flow.finished:
                chunk = await self._read_after_terminal()
            else:
                chunk = await anext(self._pieces, b"")
        except UpstreamError as exc:
            chunk, self._failure = b"", str(exc)
        if not chunk:
            return self._end()
        self._heard_at = time.monotonic()
        had_content = self.flow.content_seen
        passed = self.flow.pass_on(chunk)
        self.passed += len(passed)
        if self.flow.content_seen and not had_content:
            self._draft.ttft_ms = self._draft.since_start_ms()
        if self.flow.error is not None and not self.flow.finished:
            self._at_end, self._failure = True, self.flow.error.message  # unreadable: this chunk is the last
        return passed

    async def _read_after_terminal(self) -> bytes:
        """The client has all it needs: what is left gets a second, then the upstream is closed."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                return await anext(self._pieces, b"")
        except (TimeoutError, UpstreamError):
            return b""

    def _end(self) -> bytes:
        self._at_end = True
        rest = self.flow.end()
        self.passed += len(rest)
        return rest

    def _finish(self) -> bytes:
        """After the last byte: nothing if upstream finished, else one error event and then nothing."""
        if self._outcome is not None:
            raise StopAsyncIteration
        if self.flow.finished:
            self._outcome = Outcome.ERROR if self.flow.error else Outcome.OK
            raise StopAsyncIteration
        self._outcome = Outcome.TRUNCATED
        return self._cut(f"The upstream stopped early: {self.failure}. Send the request again.")

    def _cut(self, message: str) -> bytes:
        """The error event that ends the stream for the client."""
        last = self.flow.cut(message, self._draft.id)
        self.added += len(last)
        return last

    # --- the end ---------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """End this stream with an error event, now."""
        self._end_early(
            Outcome.SHUTDOWN,
            "Patchbay is shutting down",
            "Patchbay is shutting down. Send the request again.",
        )

    def stop(self) -> bool:
        """The same, because the operator wants it. False when the stream is as good as over."""
        told = "This request was stopped by the operator of Patchbay."
        return self._end_early(Outcome.CANCELLED, STOPPED, told)

    def _end_early(self, outcome: Outcome, failure: str, farewell: str) -> bool:
        if self._outcome is not None or self._at_end or self.flow.finished:
            return False
        self._outcome, self._failure, self._farewell = outcome, failure, farewell
        if self._reader is not None:
            self._reader.cancel()
        return True

    def _take_leave(self) -> bytes:
        """The error event; upstream is closed at once, however slowly the client reads it."""
        held, self._held, self._at_end = self._held, [], True
        self._response.close()
        return b"".join(held) + self._cut(self._farewell)

    def close(self) -> None:
        """Close the upstream and report how it ended. Synchronous, idempotent, safe in any `finally`."""
        _live.discard(self)
        self._response.close()
        if (report := self.on_close) is not None:
            self.on_close = None
            message = self.flow.error.message if self.flow.error else self._failure
            report(self._outcome or self._outcome_of_leaving(), message)

    def _outcome_of_leaving(self) -> Outcome:
        """The client closed first. Many SDKs do so at the terminal event: that is a whole answer, not a cancel."""
        if not self.flow.finished or self._held:
            return Outcome.CANCELLED
        return Outcome.ERROR if self.flow.error else Outcome.OK


def shut_down_relays() -> None:
    """The drain deadline has come: every running stream ends with an error event."""
    for relay in list(_live):
        relay.shut_down()
