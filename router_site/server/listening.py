"""Binding the port, with an error that says which one and what to do."""

from __future__ import annotations

import errno
import os
import resource
import socket

BACKLOG = 2048

_REASONS = {
    errno.EADDRINUSE: "is already in use. Stop the program that uses it, or choose another port with --port.",
    errno.EACCES: "needs rights that this user does not have. Choose a port above 1023 with --port.",
    errno.EADDRNOTAVAIL: "is not an address of this machine. Choose another one with --host.",
}


class BindError(Exception):
    """The port cannot be bound. The text names it and says what to do."""


def bind(host: str, port: int, *, socket_buffer: int) -> socket.socket:
    """A listening socket; `port` 0 takes a free one. `socket_buffer`: bytes the kernel holds per client."""
    family, address = _resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        known = _REASONS.get(exc.errno or 0)
        reason = known or f"cannot be bound ({os.strerror(exc.errno or 0)}). Choose another --host or --port."
        raise BindError(f"{host}:{port} {reason}") from exc
    listener.setblocking(False)
    return listener


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this user have: each stream needs two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The address to bind: IPv4 first where a name has both."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise BindError(
            f"{host} is not a host name or an address. Give one with --host, for example 127.0.0.1."
        ) from exc
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))
