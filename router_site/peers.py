"""Where a request comes from: this machine, or another."""

from __future__ import annotations

import functools
import ipaddress
from typing import Literal

Peer = Literal["loopback", "remote"]


@functools.lru_cache(maxsize=1024)
def peer_class(host: str | None) -> Peer:
    """`loopback` for an address that only this machine can have, also mapped into IPv6; else `remote`."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return "remote"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return "loopback" if (mapped or address).is_loopback else "remote"
