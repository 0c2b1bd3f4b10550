"""A week of synthetic sessions, the same for every strategy: people by day, agents in bursts, several families.

Nothing here was measured on anybody's traffic. The shape is what coding assistants are known to cause: a session
is tens of requests that each repeat a growing context, and a fleet of agents starts many sessions at one moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

HOUR = 3600.0
WEEK = 7 * 24 * HOUR

MODELS = {"claude-sonnet-4-6": 0.60, "claude-opus-4-8": 0.28, "claude-haiku-4-5": 0.12}
# How much a person works in each hour of a working day, 0 to 1.
RHYTHM = (0, 0, 0, 0, 0, 0, 0, 0.1, 0.4, 0.9, 1, 1, 0.5, 0.7, 1, 1, 0.9, 0.7, 0.4, 0.3, 0.4, 0.4, 0.2, 0.1)
WEEKEND = 0.25
PEOPLE, SESSIONS_A_DAY = 8, 5.0
FLEETS_A_DAY = 4.0
NIGHT_SHARE = 0.3  # of the fleets: those that run by schedule, at any hour


def work_of(hour: int) -> float:
    """How much is worked in an hour of the week (0 is Monday, midnight), 0 to 1."""
    return RHYTHM[hour % 24] * (WEEKEND if hour % 168 >= 5 * 24 else 1.0)


@dataclass(frozen=True, slots=True)
class Turn:
    """One request. `pause`: seconds since the answer before it; `seconds`: how long the answer takes.

    `fresh` and `output` are thousands of tokens that this turn adds to the context.
    """

    pause: float
    seconds: float
    fresh: float
    output: float


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation, from `start` (seconds into the week)."""

    id: str
    key: str
    model: str
    start: float
    turns: tuple[Turn, ...]


def week(seed: int, scale: float = 1.0) -> list[Session]:
    """The sessions of one week in order of their start. `scale` multiplies people and fleets of agents."""
    chance = random.Random(f"traffic {seed}")
    sessions = [*_people(chance, scale), *_fleets(chance, scale)]
    return sorted(sessions, key=lambda session: session.start)


def _people(chance: random.Random, scale: float) -> Iterator[Session]:
    for person in range(round(PEOPLE * scale)):
        for start in _moments(chance, SESSIONS_A_DAY, night_share=0.0):
            turns = tuple(_turn(chance, pause=60.0) for _ in range(_turns(chance, 25)))
            yield Session(f"p{person}-{start:.0f}", f"person-{person}", _model(chance), start, turns)


def _fleets(chance: random.Random, scale: float) -> Iterator[Session]:
    for start in _moments(chance, FLEETS_A_DAY * scale, night_share=NIGHT_SHARE):
        model = _model(chance)
        for agent in range(chance.randint(4, 16)):
            turns = tuple(_turn(chance, pause=6.0) for _ in range(_turns(chance, 18)))
            begins = start + chance.uniform(0, 20)
            yield Session(f"f{start:.0f}-{agent}", "agents", model, begins, turns)


def _moments(chance: random.Random, a_day: float, *, night_share: float) -> list[float]:
    """When things start: by the rhythm of a working day, a share of them at any hour."""
    found = []
    peak = a_day * (1 - night_share) / sum(RHYTHM)
    for hour in range(7 * 24):
        expected = peak * work_of(hour) + a_day * night_share / 24
        found += [(hour + chance.random()) * HOUR for _ in range(_poisson(chance, expected))]
    return found


def _poisson(chance: random.Random, mean: float) -> int:
    count, passed = 0, chance.expovariate(1.0)
    while passed < mean:
        count += 1
        passed += chance.expovariate(1.0)
    return count


def _turns(chance: random.Random, mean: int) -> int:
    return min(200, 1 + int(chance.expovariate(1 / mean)))


def _turn(chance: random.Random, *, pause: float) -> Turn:
    return Turn(
        pause=min(3 * HOUR, chance.lognormvariate(0, 1.1) * pause),
        seconds=min(300.0, 3 + chance.lognormvariate(0, 0.8) * 12),
        fresh=min(40.0, chance.lognormvariate(0, 1.0) * 2.0),
        output=min(16.0, chance.lognormvariate(0, 1.0) * 0.6),
    )


def _model(chance: random.Random) -> str:
    return chance.choices(list(MODELS), weights=list(MODELS.values()))[0]
