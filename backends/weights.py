"""Which of several targets a session goes to: by weight, and always the same one. Pure.

Each target draws a number from a hash of session and target, and the largest by weight comes first ("weighted
rendezvous hashing"). So a session keeps its target and its prompt cache; a target that is added or removed moves only
the sessions that come to it or lose it; and when the first fails, the next is shared by weight as well.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from hashlib import blake2b

_STEPS = 2.0**64


def share(session: str, members: Sequence[tuple[Hashable, int]]) -> list[int]:
    """The places of the members (name, weight of 1 or more) in the order in which this session tries them.

    Without a session the heaviest comes first.
    """
    if not session:
        return sorted(range(len(members)), key=lambda index: -members[index][1])
    draws = [math.log(_fraction(session, name)) / weight for name, weight in members]
    return sorted(range(len(members)), key=lambda index: -draws[index])


def _fraction(session: str, name: Hashable) -> float:
    """A number over 0 and under 1 that follows from both."""
    digest = blake2b(repr((session, name)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _STEPS
