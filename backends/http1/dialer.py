"""From a base URL to an open connection: look the name up, judge each address, connect to exactly that one.

Rule: nothing between the check and the connect looks the name up again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address

from backends.addresses import Address, BaseUrl, check_address
from backends.errors import (
    AddressRefused,
    ConnectFailed,
    ConnectRefused,
    ConnectTimedOut,
    DnsFailed,
    TlsFailed,
    UpstreamError,
)
from backends.http1.connection import Connection
from backends.http1.tls import client_context

NAME_SECONDS = 30.0  # how long a looked-up name is believed
_MAX_NAMES = 1000
Lookup = Callable[[str, int], Iterable[str]]


def system_lookup(host: str, port: int) -> list[str]:
    """The addresses of a name in the operating system's order of preference. Blocks; raises OSError."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


class Resolver:
    """Name lookups in a thread, one per name at a time, remembered for a short while."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lookup: Lookup = system_lookup) -> None:
        self._loop = loop
        self._lookup = lookup
        self._known: dict[str, tuple[float, list[Address]]] = {}
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """At least one address. Raises OSError or UnicodeError as the lookup does."""
        known = self._known.get(host)
        if known is not None and known[0] > self._loop.time():
            return known[1]
        if (running := self._running.get(host)) is None:
            running = self._loop.run_in_executor(None, self._look_up, host, port)
            self._running[host] = running
            running.add_done_callback(lambda future: self._learned(host, future))
        return await asyncio.shield(running)  # a cancelled request must not fail the others that wait

    def forget(self, host: str) -> None:
        """The addresses did not answer; the next request asks again."""
        self._known.pop(host, None)

    def _look_up(self, host: str, port: int) -> list[Address]:
        found = [ip_address(text) for text in self._lookup(host, port)]
        if not found:
            raise OSError("the name has no address")
        return found

    def _learned(self, host: str, future: asyncio.Future[list[Address]]) -> None:
        del self._running[host]
        if future.cancelled() or future.exception() is not None:
            return
        if len(self._known) >= _MAX_NAMES:
            self._known.clear()
        self._known[host] = (self._loop.time() + NAME_SECONDS, future.result())


class Dialer:
    """Opens connections. One for each event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lookup: Lookup = system_lookup,
        tls: Callable[[], ssl.SSLContext] = client_context,
    ) -> None:
        self._loop = loop
        self._resolver = Resolver(loop, lookup)
        self._tls = tls

    async def dial(self, base: BaseUrl, make: Callable[[], Connection], until: float) -> Connection:
        """A connection, before the loop time `until`. Raises AddressRefused or ConnectFailed."""
        sock = await self._tcp(base, await self._allowed(base, until), until)
        connection = make()
        try:
            if base.scheme == "https":
                await self._secure(base, sock, connection, until)
            else:
                await self._loop.create_connection(lambda: connection, sock=sock)
        except BaseException:
            connection.abort()  # asyncio itself would first wait for the other side's farewell
            sock.close()
            raise
        return connection

    async def _allowed(self, base: BaseUrl, until: float) -> list[Address]:
        """The addresses of the host that passed the check; with none, the first refusal."""
        literal = base.address
        found = [literal] if literal else await self._look_up(base, until)
        allowed: list[Address] = []
        refused: AddressRefused | None = None
        for address in found:
            try:
                allowed.append(check_address(address, base.scheme))
            except AddressRefused as error:
                refused = refused or error
        if not allowed and refused:
            raise refused
        return allowed

    async def _look_up(self, base: BaseUrl, until: float) -> list[Address]:
        try:
            async with asyncio.timeout_at(until):
                return await self._resolver.addresses(base.host, base.port)
        except TimeoutError:
            problem: UpstreamError = ConnectTimedOut(
                f"The name {base.host} was not resolved in time. Check this machine's name server."
            )
        except (OSError, UnicodeError) as error:
            problem = DnsFailed(
                f"The name {base.host} cannot be resolved ({_reason(error)}). "
                "Check its spelling in the base URL and this machine's network."
            )
        raise problem

    async def _tcp(self, base: BaseUrl, addresses: list[Address], until: float) -> socket.socket:
        """Try one after the other. Each gets half of the time that is left, the last one all of it."""
        problem: ConnectFailed | None = None
        for index, address in enumerate(addresses):
            left = until - self._loop.time()
            share = left if index == len(addresses) - 1 else left / 2
            try:
                return await self._connect(base, address, self._loop.time() + share)
            except ConnectFailed as error:
                problem = error
        self._resolver.forget(base.host)
        raise problem or ConnectFailed(f"{base.host} has no address to connect to.")

    async def _connect(self, base: BaseUrl, address: Address, until: float) -> socket.socket:
        where = f"{base.host}:{base.port}" + ("" if base.address else f" ({address})")
        try:
            return await self._open_socket(address, base.port, until)
        except TimeoutError:
            problem: ConnectFailed = ConnectTimedOut(
                f"No connection to {where} in time. Check that the server runs and no firewall is in between."
            )
        except ConnectionRefusedError:
            problem = ConnectRefused(
                f"Nothing listens on {where}. Check that the server runs and the base URL has the right port."
            )
        except OSError as error:
            problem = ConnectFailed(
                f"No connection to {where}: {_reason(error)}. Check this machine's network."
            )
        raise problem

    async def _open_socket(self, address: Address, port: int, until: float) -> socket.socket:
        family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            _keep_alive(sock)
            async with asyncio.timeout_at(until):
                await self._loop.sock_connect(sock, (str(address), port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _secure(self, base: BaseUrl, sock: socket.socket, connection: Connection, until: float) -> None:
        where = f"{base.host}:{base.port}"
        try:
            async with asyncio.timeout_at(until):
                await self._loop.create_connection(
                    lambda: connection, sock=sock, ssl=self._tls(), server_hostname=base.host
                )
            return
        except TimeoutError:
            problem = f"{where} accepted the connection and did not finish the TLS handshake in time."
        except ssl.SSLCertVerificationError as error:
            problem = (
                f"The certificate of {where} was not accepted: {error.verify_message or _reason(error)}."
            )
        except OSError as error:
            problem = f"No TLS with {where}: {_reason(error)}."
        raise TlsFailed(
            f"{problem} Check the base URL, that server's certificate, and what this machine trusts."
        )


def _keep_alive(sock: socket.socket) -> None:
    """A model may think for minutes; probes keep routers in between from forgetting the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.rstrip(".")
