"""A session as a tree: the session itself, the agents that it started, theirs, and the turns of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from analytics.drafts import Outcome
from analytics.models import RequestRecord
from analytics.pricing import CostSource
from analytics.usage_sums import Sums

FAILED = frozenset((Outcome.ERROR.value, Outcome.TRUNCATED.value, Outcome.SHUTDOWN.value))


@dataclass
class Node:
    """One agent with its turns in order of time; `name` is "" for the session itself. `depth`: 0 for that."""

    name: str
    depth: int = 0
    turns: list[RequestRecord] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def own(self) -> Sums:
        """The sums of its own turns."""
        return sums_of(self.turns)

    @property
    def all(self) -> Sums:
        """The sums of its turns and of those of the agents below it."""
        total = self.own
        for child in self.children:
            total.add(child.all)
        return total

    def walk(self) -> Iterator[Node]:
        """Itself, then what is below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def tree_of(turns: Sequence[RequestRecord]) -> Node:
    """The tree of these turns, given in order of time. An agent whose parent never spoke hangs on the session."""
    root = Node("")
    nodes: dict[str, Node] = {"": root}
    parents: dict[str, str] = {}
    for turn in turns:
        name = turn.agent or ""
        nodes.setdefault(name, Node(name)).turns.append(turn)
        if name:
            parents.setdefault(name, turn.parent_agent or "")
    for name, parent in parents.items():
        above = parent if parent in nodes and not _leads_to(name, parent, parents) else ""
        nodes[above].children.append(nodes[name])
    _measure(root)
    return root


def _leads_to(name: str, parent: str, parents: dict[str, str]) -> bool:
    """Whether `parent` stands below `name` by what clients say, which may be a circle."""
    seen: set[str] = set()
    while parent and parent not in seen:
        if parent == name:
            return True
        seen.add(parent)
        parent = parents.get(parent, "")
    return bool(parent)


def _measure(node: Node) -> None:
    for child in node.children:
        child.depth = node.depth + 1
        _measure(child)


def sums_of(turns: Iterable[RequestRecord]) -> Sums:
    """The sums of some requests."""
    total = Sums()
    for turn in turns:
        is_rejected = turn.outcome == Outcome.REJECTED.value
        total.add(
            Sums(
                requests=1,
                errors=int(turn.outcome in FAILED),
                rejected=int(is_rejected),
                priced=int(turn.cost is not None),
                unpriced=int(turn.cost_source == CostSource.UNPRICED.value),
                estimated=int(turn.usage_source == "estimated"),
                fresh_input_tokens=turn.fresh_input_tokens or 0,
                cache_read_tokens=turn.cache_read_tokens or 0,
                cache_write_tokens=turn.cache_write_tokens or 0,
                output_tokens=turn.output_tokens or 0,
                reasoning_tokens=turn.reasoning_tokens or 0,
                spent=turn.cost or Decimal(0),
                duration_ms=0.0 if is_rejected else turn.duration_ms,
            )
        )
    return total


def end_of(turn: RequestRecord) -> datetime:
    """When a request had ended."""
    return turn.started_at + timedelta(milliseconds=turn.duration_ms)
