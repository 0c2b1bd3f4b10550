"""Where a model would go and why: the router's own decision, with the lane and the accounts of every target."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.pool import pool_obstacles
from accounts.snapshot import Snapshot
from backends.routing import Target, decide
from backends.wire.kinds import Kind, Protocol, carrier
from backends.wire.pairs import losses
from backends.wire.target import Target as WireTarget


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """How one operation of the client's protocol is served: `direct`, `translated` or `none`, and what that costs."""

    kind: Kind
    lane: str
    lost: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        facts: dict[str, object] = {"kind": self.kind.value, "lane": self.lane}
        if self.lane == "translated":
            facts |= {"lost": list(self.lost), "refused": list(self.refused)}
        return facts

    def line(self) -> str:
        """For people."""
        text = f"{self.kind.value}: {self.lane}"
        if self.lost:
            text += f"; dropped: {', '.join(self.lost)}"
        if self.refused:
            text += f"; refused: {', '.join(self.refused)}"
        return text


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One target in fallback order. `accounts` maps alias to why it cannot serve; "" if it can."""

    backend: str
    model: str
    lanes: tuple[LaneFacts, ...]
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
            "lanes": [lane.as_dict() for lane in self.lanes],
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


def lanes_of(target: Target, protocol: Protocol) -> tuple[LaneFacts, ...]:
    """How this target serves each conversation-like operation of `protocol`."""
    kinds = [Kind.MESSAGES] if protocol is Protocol.ANTHROPIC else [Kind.CHAT, Kind.RESPONSES]
    return tuple(_lane(kind, target) for kind in kinds)


def _lane(kind: Kind, target: Target) -> LaneFacts:
    carried = carrier(kind, target.backend.kinds)
    if carried is None:
        return LaneFacts(kind, "none")
    if carried is kind:
        return LaneFacts(kind, "direct")
    found = losses(kind, carried, WireTarget(target.model, target.backend.preset))
    return LaneFacts(kind, "translated", found.lost, found.refused)


def _facts(target: Target, protocol: Protocol, snapshot: Snapshot) -> TargetFacts:
    model = target.model
    if target.is_unresolved:
        model = f"{model} (the newest of the family, once {target.backend.name} has listed its models)"
    obstacles = pool_obstacles(snapshot, target.backend.name)
    return TargetFacts(target.backend.name, model, lanes_of(target, protocol), target.mutation, obstacles)
