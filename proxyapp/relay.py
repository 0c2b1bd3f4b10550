"""The relay: bytes of a stream from upstream to the client, watched by a tap, changed by nobody.

Rule: it is an object with an idempotent `close()`, not a generator. A client that leaves while the headers
go out would never start a generator, and its `finally` would never run; `close()` runs whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from analytics.drafts import Outcome, RecordDraft
from backends.errors import UpstreamError
from backends.upstream import UpstreamResponse
from backends.wire.tap import StreamTap

HOLD_BYTES = 256 * 1024
HOLD_SECONDS = 5.0
LINGER_SECONDS = 1.0  # after the terminal event: time for upstream to end its response properly

_live: set[Relay] = set()


class Relay:
    """One upstream stream on its way to the client. `on_close` gets the outcome and a message, once."""

    def __init__(self, response: UpstreamResponse, tap: StreamTap, draft: RecordDraft) -> None:
        self.tap = tap
        self.on_close: Callable[[Outcome, str], None] | None = None
        self._response = response
        self._pieces = aiter(response)
        self._draft = draft
        self._held: list[bytes] = []
        self._at_end = False
        self._failure = ""
        self._outcome: Outcome | None = None
        self._reader: asyncio.Task[object] | None = None
        self._shutting_down = False

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
        return self._at_end or self.tap.content_seen or self.tap.finished or self.tap.error is not None

    @property
    def has_bytes(self) -> bool:
        """Whether something can be sent at once."""
        return bool(self._held)

    @property
    def failed_early(self) -> bool:
        """Whether nothing but a failure came: an error event or the end, before any content."""
        tap = self.tap
        return not tap.content_seen and (tap.error is not None or (self._at_end and not tap.finished))

    @property
    def failure(self) -> str:
        """Why upstream ended before its terminal event, in words."""
        return self._failure or "the stream ended before its terminal event"

    def __aiter__(self) -> Relay:
        self._reader = asyncio.current_task()
        _live.add(self)
        return self

    async def __anext__(self) -> bytes:
        if self._held:
            held, self._held = b"".join(self._held), []
            return held
        if self._at_end:
            return self._finish()
        try:
            chunk = await self._read()
        except asyncio.CancelledError:
            if not self._shutting_down or self._reader is None:
                raise
            self._reader.uncancel()
            return self._end_for_shutdown()
        return chunk or self._finish()

    async def _read(self) -> bytes:
        """The next bytes; empty at the end, whatever ended it."""
        try:
            if self.tap.finished:
                chunk = await self._read_after_terminal()
            else:
                chunk = await anext(self._pieces, b"")
        except UpstreamError as exc:
            chunk, self._failure = b"", str(exc)
        if not chunk:
            self._at_end = True
            self.tap.close()
            return b""
        had_content = self.tap.content_seen
        self.tap.feed(chunk)
        if self.tap.content_seen and not had_content:
            self._draft.ttft_ms = self._draft.since_start_ms()
        if self.tap.error is not None and not self.tap.finished:
            self._at_end, self._failure = True, self.tap.error.message  # unreadable: this chunk is the last
        return chunk

    async def _read_after_terminal(self) -> bytes:
        """The client has all it needs: what is left gets a second, then the upstream is closed."""
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                return await anext(self._pieces, b"")
        except (TimeoutError, UpstreamError):
            return b""

    def _finish(self) -> bytes:
        """After the last byte: nothing if upstream finished, else one error event and then nothing."""
        if self._outcome is not None:
            raise StopAsyncIteration
        if self.tap.finished:
            self._outcome = Outcome.ERROR if self.tap.error else Outcome.OK
            raise StopAsyncIteration
        self._outcome = Outcome.TRUNCATED
        return self.tap.cut(
            f"The upstream stopped early: {self.failure}. Send the request again.", self._draft.id
        )

    def _end_for_shutdown(self) -> bytes:
        self._at_end, self._outcome = True, Outcome.SHUTDOWN
        self._failure = "Patchbay is shutting down"
        return self.tap.cut("Patchbay is shutting down. Send the request again.", self._draft.id)

    def shut_down(self) -> None:
        """End this stream with an error event, now."""
        if self._reader is not None and self._outcome is None:
            self._shutting_down = True
            self._reader.cancel()

    def close(self) -> None:
        """Close the upstream and report how it ended. Synchronous, idempotent, safe in any `finally`."""
        _live.discard(self)
        self._response.close()
        if (report := self.on_close) is not None:
            self.on_close = None
            message = self.tap.error.message if self.tap.error else self._failure
            report(self._outcome or self._outcome_of_leaving(), message)

    def _outcome_of_leaving(self) -> Outcome:
        """The client closed first. Many SDKs do so at the terminal event: that is a whole answer, not a cancel."""
        if not self.tap.finished or self._held:
            return Outcome.CANCELLED
        return Outcome.ERROR if self.tap.error else Outcome.OK


def shut_down_relays() -> None:
    """The drain deadline has come: every running stream ends with an error event."""
    for relay in list(_live):
        relay.shut_down()
