"""A session as a picture: a lane for each agent, a bar for each turn, by start and duration. Pure.

People pause for hours between turns that take seconds. So a pause longer than MOST_IDLE_SHARE of the working time is
drawn that short, and marked; a bar's length always tells the truth beside the other bars.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics.models import RequestRecord
from analytics.pages.session_tree import Node, end_of

WIDTH = 1000.0
LEAST_WIDTH = 2.0
BAR, GAP = 10, 3
MOST_IDLE_SHARE = 0.03
MARKED = 4.0  # a pause is marked when it is drawn shorter by this factor


@dataclass(frozen=True, slots=True)
class Bar:
    """One turn. `waited`: the part of its width before the first content came."""

    turn: RequestRecord
    x: float
    width: float
    y: int
    waited: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One agent; turns that ran at the same time lie below each other. `height` in the unit of `y`."""

    node: Node
    bars: list[Bar]
    height: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes on one axis of WIDTH. `cuts`: where a pause was shortened, and by how much."""

    lanes: list[Lane]
    cuts: list[tuple[float, timedelta]]
    worked: timedelta


def timeline(root: Node) -> Timeline:
    """The picture of a session's tree."""
    nodes = [node for node in root.walk() if node.turns]
    axis = _Axis([(turn.started_at, end_of(turn)) for node in nodes for turn in node.turns])
    return Timeline([_lane(node, axis) for node in nodes], axis.cuts, axis.worked)


class _Axis:
    """Moments to places, with long pauses made short."""

    def __init__(self, spans: Iterable[tuple[datetime, datetime]]) -> None:
        busy = _merged(sorted(spans))
        self.worked = sum((end - begin for begin, end in busy), timedelta())
        most_idle = max(self.worked.total_seconds() * MOST_IDLE_SHARE, 0.001)
        self._begins: list[datetime] = []
        self._offsets: list[float] = []
        cuts: list[tuple[float, timedelta]] = []
        at, before = 0.0, None
        for begin, end in busy:
            if before is not None:
                pause = begin - before
                shown = min(pause.total_seconds(), most_idle)
                if shown * MARKED < pause.total_seconds():
                    cuts.append((at + shown / 2, pause))
                at += shown
            self._begins.append(begin)
            self._offsets.append(at)
            at += (end - begin).total_seconds()
            before = end
        self._scale = WIDTH / at if at else 0.0
        self.cuts = [(round(place * self._scale, 2), pause) for place, pause in cuts]

    def place(self, moment: datetime) -> float:
        """Of a moment at which something ran."""
        index = max(0, bisect_right(self._begins, moment) - 1)
        seconds = (moment - self._begins[index]).total_seconds()
        return (self._offsets[index] + seconds) * self._scale


def _merged(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The times at which anything ran."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _lane(node: Node, axis: _Axis) -> Lane:
    rows: list[float] = []  # where each row is free again
    bars = []
    for turn in node.turns:
        x, end = axis.place(turn.started_at), axis.place(end_of(turn))
        x = min(x, WIDTH - LEAST_WIDTH)
        width = max(LEAST_WIDTH, end - x)
        row = next((index for index, free in enumerate(rows) if free <= x + 0.01), len(rows))
        rows[row : row + 1] = [max(x, end)]
        share = min(1.0, turn.ttft_ms / turn.duration_ms) if turn.ttft_ms and turn.duration_ms else 0.0
        bars.append(Bar(turn, round(x, 2), round(width, 2), row * (BAR + GAP), round(width * share, 2)))
    return Lane(node, bars, max(1, len(rows)) * (BAR + GAP))
