"""How long a token still lives, and when it is time for a new one.

Rule: a step of the wall clock neither ends a token early nor keeps a dead one. Rows say when a token ends by the
wall clock; from the moment this process first saw the token, the rest is counted on a clock that nobody sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from accounts.clock import clock

LAST_SECONDS = 30.0  # a token with less left is not used for a new request
AT_ONCE_SECONDS = 60.0  # with less left it is refreshed without jitter
EARLY_SECONDS = 1800.0  # refreshed from so long before its end…
EARLY_SHARE = 0.2  # …or, of a shorter life, in this last part of it


@dataclass(slots=True)
class _Seen:
    generation: int
    expires_at: float
    offset: float  # wall clock minus steady clock when the token was first seen
    lifetime: float | None = None


@dataclass
class TokenLives:
    """What this process knows of the tokens' lives. `wall` is seconds since the epoch, `steady` is never set."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = clock
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def note(self, uid: str, generation: int, expires_at: float, lifetime: float | None) -> None:
        """A token was seen. The first sight counts; its lifetime, in seconds, is added when it becomes known."""
        seen = self._seen.get(uid)
        if seen is None or (seen.generation, seen.expires_at) != (generation, expires_at):
            seen = self._seen[uid] = _Seen(generation, expires_at, self.wall() - self.steady())
        if lifetime is not None:
            seen.lifetime = lifetime

    def seconds_left(self, uid: str, generation: int, expires_at: float, now: float | None = None) -> float:
        """Until the token's end, negative after it. `now`: the wall clock as the caller read it."""
        self.note(uid, generation, expires_at, None)
        steps = (self.wall() - self.steady()) - self._seen[uid].offset
        return expires_at - ((self.wall() if now is None else now) - steps)

    def last_seconds(self, uid: str) -> float:
        """How much must be left for a new request: 30 s, less for a token whose whole life is short."""
        seen = self._seen.get(uid)
        return LAST_SECONDS if seen is None else min(LAST_SECONDS, early_seconds(seen.lifetime))


def early_seconds(lifetime: float | None) -> float:
    """How long before its end a token of this lifetime (None: unknown) is to be refreshed."""
    if lifetime is None:
        return EARLY_SECONDS
    return min(EARLY_SECONDS, EARLY_SHARE * max(lifetime, 0.0))


def due_in(left: float, lifetime: float | None, jitter: float) -> float:
    """Seconds until the refresh of a token with `left` seconds to live; not above 0: now. `jitter` is 0 to 1.

    The jitter puts it off by a quarter of the time there is, so that the processes of one machine, and machines
    that were started together, do not all ask at once.
    """
    early = early_seconds(lifetime)
    if min(left, early) <= AT_ONCE_SECONDS:
        return left - early
    return min(left - early + jitter * early / 4, left - AT_ONCE_SECONDS)


lives = TokenLives()
