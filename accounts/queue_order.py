"""Whose turn it is in the queue. Kept apart from the queue itself: processes can share the order, not the requests.

A place is a number: one more than its key's last, but not less than the number that was served last. Sorted by it,
keys take turns however many requests each of them has waiting (start-time fair queueing).
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True, eq=False)
class Place:
    """Where one request stands. `key` and `lane` are as the order compares them; `number` parts equal turns."""

    id: str
    key: Hashable
    lane: Hashable
    turn: float
    number: float

    @property
    def rank(self) -> tuple[float, float]:
        """Who is first."""
        return (self.turn, self.number)


class Room(Protocol):
    """What an order tells the queue of its process."""

    def rearrange(self) -> None:
        """Places have changed, here or elsewhere."""

    def send_away(self, place_id: str) -> None:
        """Another process gave this place to somebody else."""


@dataclass
class Order:
    """The order among the requests of one process. `elsewhere` are places in other processes: here none.

    `name` begins the id of every place.
    """

    name: str = ""
    here: dict[str, Place] = field(default_factory=dict)
    elsewhere: dict[str, Place] = field(default_factory=dict)
    room: Room | None = None
    served: float = 0.0
    _last: dict[Hashable, float] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __len__(self) -> int:
        return len(self.here) + len(self.elsewhere)

    def key_of(self, key: str) -> Hashable:
        """A client key as places name it."""
        return key

    def lane_of(self, lane: Hashable) -> Hashable:
        """A lane as places name it."""
        return lane

    def enter(self, key: str, lane: Hashable) -> Place:
        """The place of one more request."""
        number = next(self._numbers)
        place = Place(f"{self.name}{number}", self.key_of(key), self.lane_of(lane), 0.0, number)
        place.turn = self.next_turn(place.key)
        self.add(self.here, place)
        return place

    def next_turn(self, key: Hashable) -> float:
        """The number that this key's next request would get."""
        return max(self.served, self._last.get(key, 0.0)) + 1

    def add(self, places: dict[str, Place], place: Place) -> None:
        """Note a place among those here or elsewhere."""
        places[place.id] = place
        self._last[place.key] = max(self._last.get(place.key, 0.0), place.turn)

    def serve(self, place: Place) -> None:
        """It got what it waited for."""
        self.served = max(self.served, place.turn)

    def leave(self, place: Place) -> None:
        """It waits no more, served or not."""
        if self.here.pop(place.id, None) is not None:
            self.forget(place.key)

    def forget(self, key: Hashable) -> None:
        """A key that has nobody waiting starts afresh, and so does an empty queue."""
        if not any(place.key == key for place in self.places()):
            self._last.pop(key, None)
        if not len(self):
            self.served = 0.0

    def places(self) -> Iterator[Place]:
        """Everybody's."""
        return itertools.chain(self.here.values(), self.elsewhere.values())

    def send_away(self, place: Place) -> None:
        """Take the place of a request that waits in another process."""
        self.elsewhere.pop(place.id, None)

    def is_after_another(self, place: Place) -> bool:
        """Whether somebody in another process waits for the same and came first."""
        return any(other.lane == place.lane and other.rank < place.rank for other in self.elsewhere.values())
