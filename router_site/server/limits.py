"""How much one client may ask of the server. Bytes and seconds; the defaults are those of the contract."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server. A test sets short ones; production changes `max_body` only."""

    # request head
    max_head: int = 64 * KIB
    max_line: int = 16 * KIB
    max_headers: int = 200
    header_seconds: float = 15.0
    # request body
    max_body: int = 32 * MIB
    max_bodies_in_flight: int = 256 * MIB
    body_seconds: float = 30.0
    body_bytes_per_second: int = 16 * KIB
    # connections
    max_connections: int = 8192
    keep_alive_seconds: float = 75.0
    pipelined_bytes: int = 16 * KIB
    # a refused client may still be sending: read this much, this long, so that it sees the answer
    linger_bytes: int = MIB
    linger_seconds: float = 1.0
    # a client that does not read: what we hold for it, and for how long
    write_buffer: int = 64 * KIB
    socket_buffer: int = 256 * KIB
    stall_seconds: float = 300.0
    # an application that goes on after its client has left
    application_close_seconds: float = 10.0
