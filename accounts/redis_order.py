"""The queue's order over all processes: places are numbered by Redis, and every process knows all of them.

Only the order is shared. A request waits in its own process, and who is first is decided there, from this copy; a
process that has just not heard of a place yet may be a millisecond unfair, never wrong about an account.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterator, Mapping

from accounts.queue_order import Order, Place

Tell = Callable[..., None]


def digest(*parts: str) -> str:
    """A name that is the same in every process and tells nothing."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part.encode(errors="surrogatepass")
        hashed.update(len(text).to_bytes(8, "big") + text)
    return hashed.hexdigest()


def _spelled(value: object) -> str:
    """The same text for equal values in every process, also for sets."""
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(map(_spelled, value)))}}}"
    if isinstance(value, tuple):
        return f"({','.join(map(_spelled, value))})"
    return repr(value)


class RedisOrder(Order):
    """`tell` sends an operation to the others, or nothing while nobody can hear it."""

    def __init__(self, process: str, tell: Tell) -> None:
        super().__init__(name=f"{process}-")
        self._tell = tell

    def key_of(self, key: str) -> Hashable:
        """Keys are named by a digest."""
        return digest(key)

    def lane_of(self, lane: Hashable) -> Hashable:
        """Lanes are named by a digest."""
        return digest(_spelled(lane))

    def enter(self, key: str, lane: Hashable) -> Place:
        """A place at once, by what this process knows; the number that counts comes with the announcement."""
        place = super().enter(key, lane)
        place.number = math.inf
        self._tell("enter", place.id, place.key, place.lane, 0)
        return place

    def serve(self, place: Place) -> None:
        """It got what it waited for, and the next may try."""
        super().serve(place)
        super().leave(place)
        self._tell("leave", place.id, 1)

    def leave(self, place: Place) -> None:
        """It waits no more."""
        if place.id in self.here:
            super().leave(place)
            self._tell("leave", place.id, 0)

    def send_away(self, place: Place) -> None:
        """Its own process will tell the request."""
        super().send_away(place)
        self._tell("away", place.id)

    # --- what is heard -----------------------------------------------------------------------------------------

    def hear_enter(self, id: str, key: str, lane: str, turn: int, number: int) -> None:
        """A place was numbered, here or elsewhere."""
        if id in self.here:
            place = self.here[id]
            place.turn, place.number = turn, number
            self.add(self.here, place)
        elif not id.startswith(self.name):
            self.add(self.elsewhere, Place(id, key, lane, turn, number))
        self._rearrange()

    def hear_leave(self, id: str, served: int) -> None:
        """A place is empty."""
        place = self.elsewhere.pop(id, None)
        if place is None:
            return
        if served:
            self.served = max(self.served, place.turn)
        self.forget(place.key)
        self._rearrange()

    def hear_away(self, id: str) -> None:
        """Another process needs the place of one of ours."""
        if id in self.here and self.room is not None:
            self.room.send_away(id)

    def join(self, waiters: Mapping[str, str]) -> set[str]:
        """Take over who waits, as Redis knows it. Returns the places that it takes for ours."""
        self.elsewhere.clear()
        for id, record in waiters.items():
            key, lane, turn, number, _ = record.split("\t")
            self.hear_enter(id, key, lane, int(turn), int(number))
        self._rearrange()
        return {id for id in waiters if id.startswith(self.name)}

    def corrections(self, known: set[str]) -> Iterator[tuple[object, ...]]:
        """What makes these places, which Redis takes for ours, those that are."""
        for place in self.here.values():
            if place.id not in known:
                yield ("enter", place.id, place.key, place.lane, int(place.turn))
        for id in known - self.here.keys():
            yield ("leave", id, 0)

    def part(self) -> None:
        """Nothing is heard of the others any more."""
        self.elsewhere.clear()
        self._rearrange()

    def _rearrange(self) -> None:
        if self.room is not None:
            self.room.rearrange()
