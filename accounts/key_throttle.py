"""Slowing down who guesses client keys: fifty wrong ones from one address in ten seconds, then a minute of refusals.

Rule: a right key always passes, also from an address that guesses, so nobody can lock others out: many clients may
stand behind one proxy, and all local ones behind the loopback address. What this stops is the noise; that keys cannot
be guessed is the work of their 256 random bits. The peer's own address counts, never a header.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

logger = logging.getLogger("patchbay.keys")
MOST_WRONG = 50
WITHIN_SECONDS = 10.0
LOCK_SECONDS = 60.0
MOST_PEERS = 2000
_IPV6_SITE = 64  # bits; whoever has one address of IPv6 has all that begin alike


@dataclass(slots=True)
class _Peer:
    moments: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_WRONG))
    locked_until: float = -math.inf


@dataclass
class KeyThrottle:
    """Wrong keys by address, in this process. Bounded: whoever was silent longest makes room for a new one."""

    now: Callable[[], float] = time.monotonic
    _peers: OrderedDict[str, _Peer] = field(default_factory=OrderedDict)

    def failed(self, address: str) -> int:
        """Count a wrong key; whole seconds for which this peer's wrong keys are refused unseen, 0 if they are not."""
        now, name = self.now(), site_of(address)
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = _Peer()
            if len(self._peers) > MOST_PEERS:
                self._peers.popitem(last=False)
        self._peers.move_to_end(name)
        if now < peer.locked_until:
            return math.ceil(peer.locked_until - now)
        is_too_fast = len(peer.moments) == MOST_WRONG and now - peer.moments[0] <= WITHIN_SECONDS
        peer.moments.append(now)
        if not is_too_fast:
            return 0
        peer.locked_until = now + LOCK_SECONDS
        logger.warning("%s sent %d wrong client keys within %g s.", name, MOST_WRONG, WITHIN_SECONDS)
        return math.ceil(LOCK_SECONDS)


def site_of(address: str) -> str:
    """Whom to count an address for: itself, or of IPv6 its site. What is no address is one of its own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_SITE), strict=False))


key_throttle = KeyThrottle()
