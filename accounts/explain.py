"""Where a model would go and why: the router's own decision, with the lane and the accounts of every target."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.pool import pool_obstacles
from accounts.snapshot import Snapshot
from backends.routing import Target, decide
from backends.wire.kinds import Protocol


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One target in fallback order. `accounts` maps alias to why it cannot serve; "" if it can."""

    backend: str
    model: str
    lane: str
    changed_by: str
    accounts: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        accounts = [
            {"alias": alias, "ready": not why, "reason": why or None} for alias, why in self.accounts.items()
        ]
        return {
            "backend": self.backend,
            "model": self.model,
            "lane": self.lane,
            "changedBy": self.changed_by or None,
            "accounts": accounts,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, ready to be shown."""

    asked: str
    protocol: Protocol
    rule: str
    reason: str
    targets: tuple[TargetFacts, ...]

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "model": self.asked,
            "protocol": self.protocol.value,
            "rule": self.rule,
            "reason": self.reason,
            "targets": [target.as_dict() for target in self.targets],
        }


def explain(model: str, protocol: Protocol, snapshot: Snapshot) -> Explanation:
    """What a request for `model` by a client of `protocol` would do. Sends nothing. Raises NoRoute."""
    decision = decide(model, protocol, snapshot.routing)
    targets = tuple(_facts(target, protocol, snapshot) for target in decision.targets)
    return Explanation(model, protocol, decision.rule.value, decision.reason, targets)


def lane_of(target: Target, protocol: Protocol) -> str:
    """`direct`, or why a client of `protocol` cannot be served by this target yet."""
    backend = target.backend
    if any(kind.protocol is protocol for kind in backend.kinds):
        return "direct"
    return f"not possible yet: {backend.name} speaks {backend.protocol.value} only"


def _facts(target: Target, protocol: Protocol, snapshot: Snapshot) -> TargetFacts:
    model = target.model
    if target.is_unresolved:
        model = f"{model} (the newest of the family, once {target.backend.name} has listed its models)"
    obstacles = pool_obstacles(snapshot, target.backend.name)
    return TargetFacts(target.backend.name, model, lane_of(target, protocol), target.mutation, obstacles)
