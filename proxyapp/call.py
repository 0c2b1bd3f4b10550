"""What one client request carries through the pipeline."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from accounts.client_auth import Caller
from accounts.snapshot import Snapshot
from analytics.drafts import RecordDraft
from backends.config import Timeouts
from backends.wire.conversation import Conversation
from backends.wire.kinds import Kind
from backends.wire.quirks import Quirk
from backends.wire.session import Session
from backends.wire.splice import Peek
from proxyapp.facts import CallFacts

if TYPE_CHECKING:
    from proxyapp.key_holds import KeyHold


class ClientCall(msgspec.Struct):
    """A request that was read and checked. `snapshot` stays the same to its end."""

    kind: Kind
    body: bytes
    peek: Peek
    headers: Mapping[bytes, bytes]
    query: bytes
    caller: Caller
    draft: RecordDraft
    snapshot: Snapshot
    session: Session
    hold: KeyHold | None = None  # of its client key's limits, if there are any
    conversation: Conversation | None = None  # in the neutral form, once a translated lane has needed it
    only_account: str = ""  # the alias of the one account that may serve it, if the operator named one
    deadline: float = math.inf  # monotonic; until then the commit point must be reached, over all attempts
    # What a backend refused by name, by backend and model, and what it said: left out of the next attempt there.
    refused: dict[tuple[str, str], dict[Quirk, str]] = {}
    _facts: CallFacts | None = None

    @property
    def facts(self) -> CallFacts:
        """What routing may know of this request. Without a session its own id stands for the conversation."""
        if self._facts is None:
            session = self.session.id or self.draft.id
            self._facts = CallFacts(
                self.kind, self.body, self.peek.clues, key=self.caller.key, session=session
            )
        return self._facts

    def start_deadline(self, timeouts: Timeouts) -> None:
        """One absolute deadline, set by the first target's backend. Retries never extend it; see `waited()`."""
        if self.deadline == math.inf:
            wait = timeouts.first_byte if self.peek.stream else timeouts.first_byte_plain
            self.deadline = time.monotonic() + timeouts.connect + wait

    def waited(self, seconds: float) -> None:
        """Time spent in the queue: no upstream had it, so it does not count against the deadline."""
        self.draft.queued_s += seconds
        self.deadline += seconds

    @property
    def seconds_left(self) -> float:
        """Until the deadline; never negative, and without end before the first attempt."""
        return max(0.0, self.deadline - time.monotonic())
