"""The order in which a pool's accounts are tried. Pure.

Every strategy puts paid overage last. Equal accounts: the fewest in flight first, then the least recently used;
`fill-first` keeps to its order instead.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Protocol

from accounts.standing import Standing
from backends.config import Strategy

IN_FLIGHT_PERCENT = 1  # what one running request is taken to use of an account's tightest window
MOST = 16  # how many accounts one request looks at in turn


class Load(Protocol):
    """What the pool knows of an account's load. `turn` is its place in the weighted order."""

    in_flight: int
    last_used: int
    turn: float


Candidate = tuple[Standing, Load]
Score = Callable[[Standing, Load, float], float]


def ranked(candidates: Sequence[Candidate], strategy: Strategy, now: float) -> list[Candidate]:
    """The best first, `MOST` at most."""
    if len(candidates) < 2:
        return list(candidates)
    score = _SCORES[strategy]
    keeps_order = strategy is Strategy.FILL_FIRST
    keys = [
        (
            standing.is_overage,
            score(standing, load, now),
            0 if keeps_order else load.in_flight,
            0 if keeps_order else load.last_used,
            index,
        )
        for index, (standing, load) in enumerate(candidates)
    ]
    best = sorted(keys) if len(keys) <= MOST else heapq.nsmallest(MOST, keys)
    return [candidates[key[-1]] for key in best]


def score_of(standing: Standing, load: Load, strategy: Strategy, now: float) -> float:
    """The figure that the order goes by, for people: the highest goes first."""
    return -float(_SCORES[strategy](standing, load, now))


def _by_headroom(standing: Standing, load: Load, now: float) -> float:
    """The most left, to the percent (finer differences would send all to one account), less what is running."""
    return load.in_flight * IN_FLIGHT_PERCENT - standing.percent_left


def _by_forecast(standing: Standing, load: Load, now: float) -> float:
    """The best outlook for each request that would be running: see `accounts.forecast`."""
    return -standing.outlook / (load.in_flight + 1)


def _by_position(standing: Standing, load: Load, now: float) -> float:
    return standing.account.position


def _by_turn(standing: Standing, load: Load, now: float) -> float:
    return load.turn


def _by_use(standing: Standing, load: Load, now: float) -> float:
    return load.last_used


_SCORES: dict[Strategy, Score] = {
    Strategy.HEADROOM: _by_headroom,
    Strategy.FORECAST: _by_forecast,
    Strategy.FILL_FIRST: _by_position,
    Strategy.ROUND_ROBIN: _by_use,
    Strategy.WEIGHTED: _by_turn,
}
