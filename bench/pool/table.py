"""The weeks of several seeds, added up and laid side by side. Pure, but for running the replays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from operator import add

from backends.config import Strategy
from bench.pool.provider import cost_of, provider
from bench.pool.replay import Replay
from bench.pool.traffic import week

BEATEN = (Strategy.ROUND_ROBIN, Strategy.FILL_FIRST)  # by `forecast`, or the proof fails
HEADS = ("strategy", "429s", "session moves", "unserved", "cost", "quota lapsed")


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy over so many weeks. `cost` is 1 for each week in which no session ever loses its cache."""

    requests: int = 0
    refused: int = 0
    moves: int = 0
    unserved: int = 0
    cost: float = 0.0
    lapsed: float = 0.0
    weeks: int = 0

    def __add__(self, other: Row) -> Row:
        return Row(*map(add, astuple(self), astuple(other)))

    def cells(self, name: str) -> list[str]:
        """As the table shows it; cost and quota are means."""
        cost, lapsed = self.cost / self.weeks, self.lapsed / self.weeks
        counts = [str(count) for count in (self.refused, self.moves, self.unserved)]
        return [name, *counts, f"{cost:.3f}", f"{lapsed:.0%}"]


Rows = Mapping[Strategy, Row]


def one_week(
    seed: int, load: float, scale: float = 1.0, strategies: Iterable[Strategy] = tuple(Strategy)
) -> Rows:
    """Strategies over the same week. `load`: what the traffic needs of the pool's weekly quota, 0 to 1."""
    sessions = week(seed, scale)
    least = cost_of(sessions)
    rows = {}
    for strategy in strategies:
        tally = Replay(sessions, provider(seed, least / load), strategy).run()
        rows[strategy] = Row(
            tally.requests,
            tally.refused,
            tally.moves,
            tally.unserved,
            tally.cost / least,
            tally.lapsed,
            1,
        )
    return rows


def added_up(weeks: Iterable[Rows]) -> Rows:
    """All weeks together."""
    total: dict[Strategy, Row] = {}
    for rows in weeks:
        total = {strategy: total.get(strategy, Row()) + row for strategy, row in rows.items()}
    return total


def markdown(rows: Rows) -> str:
    """The table, as documentation shows it."""
    cells = [list(HEADS), ["---"] + ["---:"] * (len(HEADS) - 1)]
    cells += [row.cells(strategy.value) for strategy, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def losses(rows: Rows) -> list[str]:
    """Where `forecast` is not better than the strategies that it has to beat."""
    ours, found = rows[Strategy.FORECAST], []
    for other in BEATEN:
        for title, mine, theirs in (
            ("429s", ours.refused, rows[other].refused),
            ("session moves", ours.moves, rows[other].moves),
        ):
            if mine >= theirs:
                found.append(f"{title}: forecast {mine}, {other.value} {theirs}")
    return found
