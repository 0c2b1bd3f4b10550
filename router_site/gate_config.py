"""What the gate lets in, worked out once from the settings so that a request costs a few set lookups."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Hosts and origins, as lower-case bytes in the spelling of the headers."""

    port: int
    hosts: frozenset[bytes]  # our own names, with our port
    extra_hosts: frozenset[bytes]  # PATCHBAY_ALLOWED_HOSTS: with a port exactly that, without one any
    origins: frozenset[bytes]  # our own pages
    cors_origins: frozenset[bytes]  # PATCHBAY_CORS_ORIGIN
    any_address: bool  # bound to all addresses: the address a request was sent to is ours as well

    @classmethod
    def make(
        cls, *, host: str, port: int, allowed_hosts: Iterable[str] = (), cors_origins: Iterable[str] = ()
    ) -> GateConfig:
        """From plain settings."""
        any_address = host.strip("[]") in ("0.0.0.0", "::", "")
        names = [*LOOPBACK_NAMES, *([] if any_address else [_bracketed(host.lower())])]
        hosts = frozenset(spelling for name in names for spelling in _spellings(name, port))
        return cls(
            port=port,
            hosts=hosts,
            extra_hosts=frozenset(_bracketed(name.strip().lower()).encode() for name in allowed_hosts),
            origins=frozenset(b"http://" + spelling for spelling in hosts),
            cors_origins=frozenset(origin.strip().rstrip("/").encode() for origin in cors_origins),
            any_address=any_address,
        )

    @classmethod
    def from_settings(cls) -> GateConfig:
        """From Django's settings."""
        from django.conf import settings

        return cls.make(
            host=settings.PATCHBAY_HOST,
            port=settings.PATCHBAY_PORT,
            allowed_hosts=settings.PATCHBAY_ALLOWED_HOSTS,
            cors_origins=settings.PATCHBAY_CORS_ORIGIN,
        )

    def spellings(self, address: str) -> tuple[bytes, ...]:
        """How a Host header may spell an address at our port."""
        return _spellings(_bracketed(_unmapped(address)), self.port)


def _spellings(name: str, port: int) -> tuple[bytes, ...]:
    """With our port; without one only where browsers leave it out."""
    full = f"{name}:{port}".encode()
    return (full, name.encode()) if port == 80 else (full,)


def _bracketed(name: str) -> str:
    """An IPv6 address needs brackets in a URL; `name` may have them already."""
    try:
        return f"[{ipaddress.IPv6Address(name)}]"
    except ValueError:
        return name


def _unmapped(address: str) -> str:
    """127.0.0.1 for ::ffff:127.0.0.1, as a socket bound to both families reports it."""
    try:
        mapped = ipaddress.IPv6Address(address.partition("%")[0]).ipv4_mapped
    except ValueError:
        return address
    return str(mapped) if mapped else address
