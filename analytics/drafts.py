"""A record while its request runs: filled in step by step, then handed to the recorder once."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from analytics.decision import ChoiceNote
from backends.wire.kinds import Kind, Protocol
from backends.wire.usage import Usage

_ids = random.Random(secrets.randbits(256))


def new_request_id() -> str:
    """A fresh `x-patchbay-request-id`, the record's key: `req_` and 24 hexadecimal digits.

    The milliseconds since the epoch come first, so that new records stand together in every index, however many there
    are. Unique, not secret: one read of the system's randomness per process, since each costs a system call.
    """
    return f"req_{time.time_ns() // 1_000_000:012x}{_ids.getrandbits(48):012x}"


def _now() -> datetime:
    return datetime.now(UTC)


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    TRUNCATED = "truncated"
    REJECTED = "rejected"
    SHUTDOWN = "shutdown"


class AttemptDraft(msgspec.Struct):
    """One try at one upstream. Times are seconds on the monotonic clock."""

    backend: str
    account: str
    model: str
    started_at: datetime = msgspec.field(default_factory=_now)
    began: float = msgspec.field(default_factory=time.monotonic)
    duration_ms: float = 0.0
    status: int | None = None
    outcome: str = ""
    verdict: str = ""
    error: str = ""

    def end(self, outcome: str, verdict: str, error: str = "") -> None:
        """Fix how long it took and how it ended."""
        self.duration_ms = (time.monotonic() - self.began) * 1000
        self.outcome, self.verdict, self.error = outcome, verdict, error


class RecordDraft(msgspec.Struct):
    """One client request. `began` is when its headers were in, on the monotonic clock.

    `provider` is the backend's preset: whose prices apply, "" for none. `rule` and `route_reason` are the router's,
    `route_note` its part about targets that were passed over, `choices` the pool's, in the order they were made.
    `agent` and `parent_agent` name who within the session asked, "" where the client does not say.
    `request_bytes` and `response_bytes` are the sizes of the bodies as the client sent and got them; `lease_ms` is
    the time that choosing accounts took, without the wait for one. `alarm`: something that should not be.
    `on_end` is called once, when the request has ended.
    """

    id: str
    protocol: Protocol
    kind: Kind | None
    method: str = ""
    path: str = ""
    client: str = ""
    started_at: datetime = msgspec.field(default_factory=_now)
    began: float = msgspec.field(default_factory=time.monotonic)
    duration_ms: float = 0.0
    status: int | None = None
    outcome: Outcome | None = None
    lane: str = ""
    stream: bool = False
    model_asked: str = ""
    model_used: str = ""
    backend: str = ""
    account: str = ""
    key: str = ""
    session: str = ""
    session_source: str = ""
    agent: str = ""
    parent_agent: str = ""
    trace_parent: str = ""  # the caller's span, as W3C Trace Context writes it
    provider: str = ""
    rule: str = ""
    route_reason: str = ""
    route_note: str = ""
    choices: list[ChoiceNote] = []
    usage: Usage | None = None
    usage_is_final: bool = True
    connect_ms: float | None = None
    ttfb_ms: float | None = None
    ttft_ms: float | None = None
    overhead_ms: float | None = None
    lease_ms: float | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    queued_s: float = 0.0  # time spent waiting for an account
    upstream_s: float = 0.0  # time spent waiting for upstreams, for the overhead
    mutations: list[str] = []
    lost: list[str] = []
    error: str = ""
    alarm: str = ""
    attempts: list[AttemptDraft] = []
    on_end: Callable[[], None] | None = None

    def since_start_ms(self) -> float:
        """Milliseconds since the request's headers were in."""
        return (time.monotonic() - self.began) * 1000

    def line(self) -> str:
        """One line for the log."""
        where = f"{self.backend}/{self.account}:{self.model_used}" if self.account else self.backend or "-"
        timing = f"{self.duration_ms:.0f} ms"
        outcome = self.outcome.value if self.outcome else ""
        return " ".join(
            (
                self.id,
                self.method,
                self.path,
                str(self.status or "-"),
                outcome,
                timing,
                self.model_asked or "-",
                where,
            )
        )

    def end(self, outcome: Outcome, error: str = "") -> bool:
        """Fix the outcome and the duration. Only the first call counts; it returns True."""
        if self.outcome is not None:
            return False
        self.outcome, self.duration_ms = outcome, self.since_start_ms()
        self.error = self.error or error
        if (on_end := self.on_end) is not None:
            self.on_end = None
            on_end()
        return True
