"""Where a model would go and why: the router's own decision, with the lane and the accounts of every target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accounts.key_models import may_use
from accounts.pool import Ask, Choice, pool
from accounts.snapshot import Snapshot
from backends.capabilities import Capabilities
from backends.conditions import Facts
from backends.config import RouteTemplate
from backends.routing import Decision, PassedOver, Target, decide
from backends.wire.kinds import Kind, Protocol, carrier
from backends.wire.pairs import losses
from backends.wire.quirks import Quirk
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
    """One target in fallback order. `choice`: what its pool would choose now, and why not the others.

    `left_out`: what the backend refused by name before, and what requests go without since.
    """

    backend: str
    model: str
    lanes: tuple[LaneFacts, ...]
    changed_by: str
    choice: Choice
    capabilities: Capabilities
    left_out: tuple[Quirk, ...]

    @property
    def accounts(self) -> dict[str, str]:
        """alias → why it cannot serve; "" if it can."""
        return {found.alias: found.excluded for found in self.choice.considered}

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        accounts = [
            {
                "alias": found.alias,
                "ready": not found.excluded,
                "reason": found.excluded or None,
                "headroom": found.headroom,
                "score": found.score,
            }
            for found in self.choice.considered
        ]
        return {
            "backend": self.backend,
            "model": self.model,
            "lanes": [lane.as_dict() for lane in self.lanes],
            "changedBy": self.changed_by or None,
            "capabilities": self.capabilities.as_dict(),
            "quirks": [{"kind": quirk.kind.value, "name": quirk.name} for quirk in self.left_out],
            "strategy": self.choice.strategy,
            "wouldChoose": self.choice.chosen or None,
            "accounts": accounts,
        }

    def lines(self) -> Iterator[str]:
        """For people; the first is the target itself."""
        because = f" (changed by {self.changed_by})" if self.changed_by else ""
        yield f"{self.backend}: {self.model}{because}"
        yield from (lane.line() for lane in self.lanes)
        if known := self.capabilities.as_dict():
            yield f"known of the model: {', '.join(_capability(name, value) for name, value in known.items())}"
        if self.left_out:
            yield f"left out, since it refused them: {', '.join(quirk.name for quirk in self.left_out)}"
        yield f"accounts: {self._accounts() or 'none; add one with accounts add'}"
        if self.choice.chosen:
            yield f"would take {self.choice.chosen} now, by {self.choice.strategy}"

    def _accounts(self) -> str:
        parts = []
        for found in self.choice.considered:
            left = "nothing observed" if found.headroom is None else f"{found.headroom:.0%} left"
            parts.append(f"{found.alias} ({found.excluded or f'ready, {left}'})")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, ready to be shown. `forbidden`: why the client key may not have it; "" if it may.

    `template`: what the route puts into its requests.
    """

    asked: str
    protocol: Protocol
    rule: str
    reason: str
    targets: tuple[TargetFacts, ...]
    passed_over: tuple[PassedOver, ...] = ()
    forbidden: str = ""
    template: RouteTemplate | None = None

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {
            "model": self.asked,
            "protocol": self.protocol.value,
            "rule": self.rule,
            "reason": self.reason,
            "targets": [target.as_dict() for target in self.targets],
            "passedOver": [passed._asdict() for passed in self.passed_over],
            "forbidden": self.forbidden or None,
            "template": self._template(),
        }

    def _template(self) -> dict[str, object] | None:
        found = self.template
        if found is None:
            return None
        return {"name": found.name, "version": found.version, "problem": found.problem or None}

    @property
    def title(self) -> str:
        """What was asked, and the rule."""
        return f"{self.asked} ({self.protocol.value} client): {self.reason}"

    def lines(self) -> list[str]:
        """For people."""
        lines = [self.title]
        if self.forbidden:
            lines.append(f"  refused with 403: {self.forbidden}")
        if self.template is not None:
            lines.append(f"  with template {self.template}")
        for number, target in enumerate(self.targets, start=1):
            first, *rest = target.lines()
            lines += [f"  {number}. {first}", *(f"     {line}" for line in rest)]
        return lines + [f"  passed over: {passed}" for passed in self.passed_over]


def explain(
    model: str, protocol: Protocol | None, snapshot: Snapshot, facts: Facts | None = None
) -> Explanation:
    """What a request for `model` by a client of `protocol` would do. Sends nothing. Raises NoRoute.

    Without a protocol: by a client of the one that the first target speaks. `facts`: those of the request; without
    them no condition is looked at.
    """
    if protocol is not None:
        return _explanation(model, protocol, snapshot, facts)
    found = _explanation(model, Protocol.OPENAI, snapshot, facts)
    if found.targets[0].lanes[0].lane == "direct":
        return found
    return _explanation(model, Protocol.ANTHROPIC, snapshot, facts)


def _explanation(model: str, protocol: Protocol, snapshot: Snapshot, facts: Facts | None) -> Explanation:
    decision = decide(model, protocol, snapshot.routing, facts)
    targets = tuple(_facts(target, protocol, snapshot) for target in decision.targets)
    key = facts.key if facts else ""
    return Explanation(
        asked=model,
        protocol=protocol,
        rule=decision.rule.value,
        reason=decision.reason,
        targets=targets,
        passed_over=decision.passed_over,
        forbidden=_forbidden(key, decision, snapshot) if key else "",
        template=decision.targets[0].template,
    )


def _forbidden(key: str, decision: Decision, snapshot: Snapshot) -> str:
    found = next((config for config in snapshot.client_keys.values() if config.name == key), None)
    if found is None or may_use(found.model_globs, decision):
        return ""
    return f"client key {key} may use only {', '.join(found.model_globs)}"


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
    backend, model = target.backend, target.model
    if target.is_unresolved:
        model = f"{model} (the newest of the family, once {backend.name} has listed its models)"
    choice = pool.preview(Ask(backend, snapshot.pool(backend.name), target.model))
    return TargetFacts(
        backend=backend.name,
        model=model,
        lanes=lanes_of(target, protocol),
        changed_by=target.mutation,
        choice=choice,
        capabilities=backend.capabilities(target.model),
        left_out=() if snapshot.routing.passthrough else backend.quirks_of(target.model),
    )


def _capability(name: str, value: object) -> str:
    if name == "context":
        return f"context of {value:,} tokens"
    return name if value else f"no {name}"
