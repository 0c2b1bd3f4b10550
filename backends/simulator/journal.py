"""The ledger of what the simulated provider received and answered, and so would have billed.

Rule: entries are facts seen on the socket; times are `time.monotonic()` seconds. Bodies are kept up to a cap.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

import msgspec

from backends.simulator.asking import JsonObject

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class TokenNote:
    """What a token request was about: the grant type, and login and generation of the code or token it brought.

    outcome: `rotated`, `kept` (no new refresh token), `unanswered` and `failed` (scripted, nothing was issued),
    else why it was refused: `refresh_token_reused`, `revoked`, `unknown`, `pkce_failed`, …
    """

    grant: str
    login: str = ""
    generation: int = 0
    outcome: str = ""


@dataclass(slots=True, eq=False)
class Entry:
    """One request. Times are None until the thing happened."""

    number: int
    connection: int
    reused: bool  # not the first request on its connection
    started: float
    headers_at: float | None = None
    body_at: float | None = None
    first_byte_at: float | None = None
    last_byte_at: float | None = None
    closed_at: float | None = None
    client_gone_at: float | None = None  # the client left before the answer was complete
    closed_by: str | None = None  # "peer" or "us"
    method: str = ""
    target: str = ""  # path and query as received
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""  # at most the journal's cap; empty once its budget is spent
    body_size: int = 0
    sha256: str = ""  # of the whole body
    key: str | None = None
    login: str = ""  # whose OAuth login the request came with
    token: TokenNote | None = None  # of a token request
    kind: str = ""
    model: str = ""
    stream: bool = False
    script: str = ""
    request_id: str = ""
    status: int | None = None
    events: int = 0
    bytes_written: int = 0  # handed to the socket, head included
    completed: bool = False  # the whole answer was handed to the socket
    usage: JsonObject | None = None  # as reported in the answer, in the protocol's own shape
    logged: bool = False  # already written to the journal's file

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def done(self) -> bool:
        """Nothing more will happen to this request."""
        return self.completed or self.closed_at is not None

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case; None if absent."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> JsonObject:
        """The body as a JSON object."""
        value = msgspec.json.decode(self.body)
        if not isinstance(value, dict):
            raise TypeError("The body is JSON, but no object.")
        return value

    def as_json(self) -> bytes:
        """The entry as one JSON line without its newline; the body as text, or base64 if it is none."""
        apart = ("headers", "body", "logged")
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in apart}
        fields["headers"] = [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers
        ]
        try:
            fields["body"] = self.body.decode()
        except UnicodeDecodeError:
            fields["body_b64"] = base64.b64encode(self.body).decode()
        return msgspec.json.encode(fields)


class Journal:
    """Entries in order of arrival; the oldest go when `limit` is reached, `total` keeps counting."""

    def __init__(
        self,
        *,
        limit: int = 20_000,
        body_cap: int = 1 << 20,
        body_budget: int = 64 << 20,
        file: IO[bytes] | None = None,
    ) -> None:
        self.body_cap = body_cap
        self._body_budget = body_budget  # bytes of all kept bodies; beyond it the oldest lose theirs
        self._with_body: deque[Entry] = deque(maxlen=limit)
        self._kept = 0
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._file = file
        self._waiting: list[asyncio.Event] = []
        self.total = 0
        self.connections = 0
        self.open_connections = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries)

    def of(self, *, key: str | None = None, kind: str | None = None, path: str | None = None) -> list[Entry]:
        """Entries of this key, kind and path, where given."""
        return [
            entry
            for entry in self.entries
            if (key is None or entry.key == key)
            and (kind is None or entry.kind == kind)
            and (path is None or entry.path == path)
        ]

    def begin(self, connection: int, *, reused: bool) -> Entry:
        """A request line starts to arrive."""
        self.total += 1
        entry = Entry(self.total, connection, reused, time.monotonic())
        self._entries.append(entry)
        return entry

    def keep_body(self, entry: Entry, body: bytes) -> None:
        """Note the received body: all of its hash and size, and as much of it as the cap allows."""
        entry.body_size = len(body)
        entry.sha256 = hashlib.sha256(body).hexdigest()
        entry.body = body[: self.body_cap]
        if len(self._with_body) == self._with_body.maxlen:
            self._kept -= len(self._with_body.popleft().body)
        self._with_body.append(entry)
        self._kept += len(entry.body)
        while self._kept > self._body_budget:
            oldest = self._with_body.popleft()
            self._kept -= len(oldest.body)
            oldest.body = b""

    def changed(self, entry: Entry | None = None) -> None:
        """Something was noted: wake those who wait, and write the entry out once it is final."""
        for waiting in self._waiting:
            waiting.set()
        if self._file is not None and entry is not None and entry.done and not entry.logged:
            entry.logged = True
            self._file.write(entry.as_json() + b"\n")
            self._file.flush()

    def clear(self) -> None:
        """Forget all entries; counts of connections stay."""
        self._entries.clear()
        self._with_body.clear()
        self._kept = 0

    async def wait_for(self, predicate: Callable[[Entry], object], timeout: float = 5.0) -> Entry:
        """The first entry, present or future, for which `predicate` holds. Raises TimeoutError."""
        change = asyncio.Event()
        self._waiting.append(change)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for entry in self._entries:
                        if predicate(entry):
                            return entry
                    await change.wait()
                    change.clear()
        except TimeoutError:
            raise TimeoutError(f"No entry of {len(self)} matched within {timeout} s.") from None
        finally:
            self._waiting.remove(change)

    async def wait_idle(self, timeout: float = 5.0) -> None:
        """Return when no connection is open. Raises TimeoutError."""
        change = asyncio.Event()
        self._waiting.append(change)
        try:
            async with asyncio.timeout(timeout):
                while self.open_connections:
                    await change.wait()
                    change.clear()
        finally:
            self._waiting.remove(change)
