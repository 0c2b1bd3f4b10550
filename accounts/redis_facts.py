"""What processes tell each other of an account: its windows, its benches, the window it is charged to. Pure.

A fact has a rank, made of the server's time: the highest rank stands, in Redis and in every process, in whatever
order facts arrive. Moments travel as the server's time (`accounts.redis_clock`), never as anybody's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from accounts.pool_state import AccountState
from accounts.redact import redact
from accounts.redis_clock import ServerClock
from accounts.windows import BenchKind, BenchState, WindowState
from backends.wire.limits import Reading

DIGITS = 20
LIFTED = "1"
REASON_CHARS = 300
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Fact:
    """`field` names it, `data` is JSON; "" says that a bench was lifted."""

    field: str
    rank: str
    data: str

    @property
    def at(self) -> int:
        """When it was observed, in the server's microseconds."""
        return int(self.rank[:DIGITS])


class _Window(msgspec.Struct, array_like=True):
    utilization: float
    remaining: int | None
    limit: int | None
    is_rejected: bool
    names_reset: bool
    retires_at: int


class _Bench(msgspec.Struct, array_like=True):
    reason: str
    strikes: int
    until: int
    window: str


_read_window = msgspec.json.Decoder(_Window).decode
_read_bench = msgspec.json.Decoder(_Bench).decode
_read_field = msgspec.json.Decoder(tuple[str, ...]).decode


def window_field(uid: str, key: tuple[str, str]) -> str:
    """The name of a window's fact."""
    return _name("w", uid, *key)


def bench_field(uid: str, key: tuple[BenchKind, str]) -> str:
    """The name of a bench's fact."""
    return _name("b", uid, *key)


def claim_field(uid: str) -> str:
    """The name of the fact which window the account is charged to."""
    return _name("c", uid)


def _name(*parts: str) -> str:
    return _encode([_sendable(part) for part in parts]).decode()


def _sendable(text: str) -> str:
    """A client's name for a model may hold halves of characters, which no other process could read."""
    return text.encode(errors="replace").decode()


def window_fact(uid: str, window: WindowState, server: ServerClock, known: str = "") -> Fact:
    """A reading: the last observed stands. `known`: its rank so far, if it has one."""
    reading = window.reading
    data = _Window(
        reading.utilization,
        reading.remaining,
        reading.limit,
        reading.is_rejected,
        reading.resets_at is not None,
        server.to_server(window.retires_at),
    )
    rank = known or _digits(server.to_server(window.observed_at))
    return Fact(window_field(uid, window.key), rank, _encode(data).decode())


def bench_fact(uid: str, bench: BenchState, server: ServerClock, known: str = "") -> Fact:
    """A bench: the last set stands, of the same one the longest. `known`: its rank so far, if it only got longer.

    The moment is taken from there, since the server's clock is known a little better every time it is asked.
    """
    until = server.to_server(bench.until)
    since = known[:DIGITS] or _digits(server.to_server(bench.since))
    reason = _sendable(redact(bench.reason)[:REASON_CHARS])
    data = _Bench(reason, bench.strikes, until, _sendable(bench.window))
    return Fact(bench_field(uid, bench.key), f"{since}0{_digits(until)}", _encode(data).decode())


def lifted_fact(uid: str, bench: BenchState, server: ServerClock, known: str = "") -> Fact:
    """The same bench is over: outranks every length of it, and nothing that was set later."""
    since = known[:DIGITS] or _digits(server.to_server(bench.since))
    return Fact(bench_field(uid, bench.key), f"{since}{LIFTED}{_digits(0)}", "")


def claim_fact(uid: str, claim: str, at: int) -> Fact:
    """The window that the last answer was charged to."""
    return Fact(claim_field(uid), _digits(at), claim)


def _digits(number: int) -> str:
    return f"{number:0{DIGITS}d}"


def parts_of(field: str) -> tuple[str, ...]:
    """Its kind (w, b or c), whose it is, and the rest of its key."""
    return _read_field(field)


def believe(fact: Fact, state: AccountState, server: ServerClock, epoch: float) -> None:
    """Make it so in this process. `epoch`: when the pool's clock was 0, in seconds since the epoch."""
    kind, _, *key = parts_of(fact.field)
    if kind == "c":
        state.claim = fact.data
    elif kind == "w":
        window, model_class = key
        state.windows[window, model_class] = _window(window, model_class, fact, server, epoch)
    elif fact.data:
        bench = _bench(BenchKind(key[0]), key[1], fact, server)
        state.benches[bench.key] = bench
    else:
        state.benches.pop((BenchKind(key[0]), key[1]), None)
    state.changed()


def _window(name: str, model_class: str, fact: Fact, server: ServerClock, epoch: float) -> WindowState:
    data = _read_window(fact.data)
    retires_at = server.to_ours(data.retires_at)
    resets_at = epoch + retires_at if data.names_reset else None
    reading = Reading(
        name, model_class, data.utilization, data.remaining, data.limit, resets_at, data.is_rejected
    )
    return WindowState(reading, retires_at, server.to_ours(fact.at))


def _bench(kind: BenchKind, model_class: str, fact: Fact, server: ServerClock) -> BenchState:
    data = _read_bench(fact.data)
    since, until = server.to_ours(fact.at), server.to_ours(data.until)
    return BenchState(kind, model_class, data.reason, data.strikes, since, until, data.window)


# --- as scripts take and give them --------------------------------------------------------------------------------


def put(fact: Fact) -> tuple[object, ...]:
    """The operation that tells a fact."""
    return ("put", fact.field, fact.rank, fact.data)


def drop(fact: Fact) -> tuple[object, ...]:
    """The operation that drops it, unless it was renewed."""
    return ("drop", fact.field, fact.rank)


def groups(flat: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Scripts give lists flat."""
    return zip(*[iter(flat)] * size, strict=True)


def stored_fact(stored: tuple[bytes, bytes]) -> Fact:
    """A fact as Redis keeps it: field, and rank and data."""
    rank, _, data = stored[1].decode().partition(" ")
    return Fact(stored[0].decode(), rank, data)
