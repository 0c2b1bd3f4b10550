"""What one client request carries through the pipeline."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from accounts.client_auth import Caller
from accounts.snapshot import Snapshot
from analytics.drafts import RecordDraft
from backends.config import Timeouts
from backends.wire.conversation import Conversation
from backends.wire.kinds import Kind
from backends.wire.splice import Peek


@dataclass(slots=True)
class ClientCall:
    """A request that was read and checked. `snapshot` stays the same to its end."""

    kind: Kind
    body: bytes
    peek: Peek
    headers: Mapping[bytes, bytes]
    query: bytes
    caller: Caller
    draft: RecordDraft
    snapshot: Snapshot
    conversation: Conversation | None = None  # in the neutral form, once a translated lane has needed it
    deadline: float = 0.0  # monotonic; until then the commit point must be reached, over all attempts

    def start_deadline(self, timeouts: Timeouts) -> None:
        """One absolute deadline, set by the first target's backend. Retries never extend it."""
        if not self.deadline:
            wait = timeouts.first_byte if self.peek.stream else timeouts.first_byte_plain
            self.deadline = time.monotonic() + timeouts.connect + wait

    @property
    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())
