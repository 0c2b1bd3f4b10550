"""Which backend answers a model name: one pure function, the same for requests, `explain` and the admin.

The order: forced model, `backend:model` prefix, exact alias, most specific pattern, built-in families,
a backend whose catalog lists the name, the default route, else NoRoute with the closest known names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import groupby, islice
from typing import NamedTuple

from backends.conditions import Facts
from backends.config import (
    FAMILIES,
    BackendConfig,
    CatalogEntry,
    RouteConfig,
    RouteTemplate,
    Routing,
    TargetConfig,
)
from backends.weights import share
from backends.wire.kinds import Protocol

_OPENAI_FAMILY = re.compile(r"gpt-.*|chatgpt-.*|o[134](-.*)?|text-embedding-.*|text-davinci-.*", re.DOTALL)
_ANTHROPIC_FAMILY = re.compile(r"claude-.*", re.DOTALL)
_MOST_COMPARED = 2000
MOST_KEPT, LONGEST_KEPT = 1000, 200  # decisions of one configuration, characters of a name


class Rule(StrEnum):
    """Why a model went where it went."""

    FORCED = "forced"
    PREFIX = "prefix"
    ALIAS = "alias"
    ROUTE = "route"
    FAMILY = "family"
    CATALOG = "catalog"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """A backend and the model name to ask it for. `mutation` says why the name differs from the client's."""

    backend: BackendConfig
    model: str
    mutation: str = ""
    is_unresolved: bool = False  # a family name whose newest member the catalog cannot tell yet
    template: RouteTemplate | None = None  # of the route that led here


class PassedOver(NamedTuple):
    """A target of the route that this request does not go to, and why."""

    backend: str
    model: str
    why: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.model} ({self.why})"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes, in fallback order, and why. `passed_over`: targets that do not count for this request."""

    asked: str
    rule: Rule
    reason: str
    targets: tuple[Target, ...]
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def story(self) -> str:
        """The reason, and who was passed over, in one line."""
        return f"{self.reason}; {self.note}" if self.note else self.reason

    @property
    def note(self) -> str:
        """Who was passed over; "" for nobody."""
        return f"passed over {', '.join(map(str, self.passed_over))}" if self.passed_over else ""


class NoRoute(Exception):
    """No backend is known for the model."""

    def __init__(self, asked: str, why: str, known: Sequence[str] = ()) -> None:
        self.asked, self.why, self._known = asked, why, known
        super().__init__(why)

    @cached_property
    def near(self) -> tuple[str, ...]:
        """The closest known names: looked for only when somebody reads them."""
        known = {known.lower(): known for known in islice(self._known, _MOST_COMPARED)}
        matches = difflib.get_close_matches(self.asked.strip().lower(), known, n=3, cutoff=0.5)
        return tuple(known[match] for match in matches)

    def __str__(self) -> str:
        return f"{self.why} Did you mean {', '.join(self.near)}?" if self.near else self.why


class NoTarget(NoRoute):
    """A route matches, and none of its targets is for this request."""


def decide(model: str, protocol: Protocol, routing: Routing, facts: Facts | None = None) -> Decision:
    """The targets for `model`, asked by a client of `protocol`, under one configuration.

    `facts` are those of the request; without them no condition is looked at. Raises NoRoute, and NoTarget when a
    route matches whose conditions leave nobody.
    """
    key = (model, protocol)
    known: Decision | None = routing.decided.get(key)
    if known is not None:
        return known
    decision = _decision(model, protocol, routing, facts)
    if _is_fixed(decision, routing) and len(model) <= LONGEST_KEPT:
        if len(routing.decided) >= MOST_KEPT:
            routing.decided.clear()
        routing.decided[key] = decision
    return decision


def _is_fixed(decision: Decision, routing: Routing) -> bool:
    """Whether every request for this name is decided alike: there was one target, and nobody asks for conditions."""
    return len(decision.targets) + len(decision.passed_over) == 1 and not routing.has_conditions


def _decision(model: str, protocol: Protocol, routing: Routing, facts: Facts | None) -> Decision:
    forced = routing.force_model
    decision = _decide(forced or model, protocol, routing, facts)
    if not forced:
        return decision
    targets = tuple(_as_mutation(target, model, Rule.FORCED) for target in decision.targets)
    reason = f"--model forces {forced}; {decision.reason}"
    return replace(decision, asked=model, rule=Rule.FORCED, reason=reason, targets=targets)


def _decide(model: str, protocol: Protocol, routing: Routing, facts: Facts | None) -> Decision:
    name = model.strip().lower()
    if found := _by_prefix(model.strip(), routing):
        return found
    if not routing.passthrough and (alias := routing.aliases.get(name)):
        return _by_route(alias, model, routing, Rule.ALIAS, facts)
    if route := routing.glob_route(name):
        return _by_route(route, model, routing, Rule.ROUTE, facts)
    return _by_built_in(model, name, protocol, routing, facts)


def _by_prefix(model: str, routing: Routing) -> Decision | None:
    """`backend:model`, if that backend exists and a model follows; only the first segment is cut."""
    prefix, colon, rest = model.partition(":")
    if not colon or not rest:
        return None
    backend = routing.backends.get(prefix.lower())
    if backend is None and prefix.lower() == "claude":
        backend = family_backend(Protocol.ANTHROPIC, routing)
    if backend is None:
        return None
    target = _target(backend, rest, model, Rule.PREFIX, routing)
    return Decision(model, Rule.PREFIX, f"the prefix {prefix}: names backend {backend.name}", (target,))


def _by_route(route: RouteConfig, model: str, routing: Routing, rule: Rule, facts: Facts | None) -> Decision:
    """The route's targets whose backends are enabled and whose conditions hold, less those that cannot serve."""
    found: list[Target] = []
    passed: list[PassedOver] = []
    reason = f"{rule.value} {route.pattern}"
    for config, weights in _in_order(route, facts):
        backend = routing.backends.get(config.backend.lower())
        name = model if routing.passthrough else config.model or model
        why = "the backend is disabled" if backend is None else _unmet(config, facts)
        if why or backend is None:
            passed.append(PassedOver(config.backend, name, why))
            continue
        if weights and not found:
            reason += f", weight {config.weight} of {weights}"
        found.append(_target(backend, name, model, rule, routing))
    if not found:
        raise _no_target(route, model, passed)
    if facts is not None and len(found) > 1:
        found, unable = _able(found, facts)
        passed += unable
    if route.template is not None and not routing.passthrough:
        found = [replace(target, template=route.template) for target in found]
    return Decision(model, rule, reason, tuple(found), tuple(passed))


def _in_order(route: RouteConfig, facts: Facts | None) -> Iterator[tuple[TargetConfig, int]]:
    """The route's targets in fallback order, each with the sum of its group's weights; 0 for one that is alone."""
    if len(route.targets) == 1:
        yield route.targets[0], 0
        return
    for _, members in groupby(route.targets, key=lambda target: target.position):
        group = list(members)
        if len(group) == 1:
            yield group[0], 0
            continue
        total = sum(target.weight for target in group)
        session = "" if facts is None else facts.session
        keyed = [((target.backend.lower(), target.model), target.weight) for target in group]
        for index in share(session, keyed):
            yield group[index], total


def _unmet(config: TargetConfig, facts: Facts | None) -> str:
    return "" if facts is None or not config.conditions else config.conditions.unmet(facts)


def _able(found: list[Target], facts: Facts) -> tuple[list[Target], list[PassedOver]]:
    """Those that can serve, as far as is known. If nobody can, all stay: the tables may be wrong."""
    lacks = [target.backend.capabilities(target.model).lacks(facts) for target in found]
    if not any(lacks) or all(lacks):
        return found, []
    pairs = list(zip(found, lacks, strict=True))
    unable = [PassedOver(target.backend.name, target.model, why) for target, why in pairs if why]
    return [target for target, why in pairs if not why], unable


def _no_target(route: RouteConfig, model: str, passed: list[PassedOver]) -> NoRoute:
    if all(target.why == "the backend is disabled" for target in passed):
        why = f"Route {route.pattern} has no enabled backend. Enable one or change the route."
        return NoRoute(model, why)
    listed = ", ".join(map(str, passed))
    why = (
        f"No target of route {route.pattern} is for this request: {listed}. Add a target without conditions."
    )
    return NoTarget(model, why)


def _by_built_in(
    model: str, name: str, protocol: Protocol, routing: Routing, facts: Facts | None
) -> Decision:
    family = family_protocol(name)
    if family and (backend := family_backend(family, routing)):
        reason = f"{name} is a name of the {family.value} family"
        return Decision(model, Rule.FAMILY, reason, (_target(backend, model, model, Rule.FAMILY, routing),))
    if backends := _listing(name, protocol, routing):
        targets = tuple(_target(backend, model, model, Rule.CATALOG, routing) for backend in backends)
        return Decision(model, Rule.CATALOG, f"the catalog of {backends[0].name} lists it", targets[:1])
    if routing.default:
        return _by_route(routing.default, model, routing, Rule.DEFAULT, facts)
    raise NoRoute(model, _why_none(model, routing), known_names(routing))


def family_protocol(name: str) -> Protocol | None:
    """The protocol whose own service makes models of this name (lower case), or None."""
    if name in FAMILIES or _ANTHROPIC_FAMILY.fullmatch(name):
        return Protocol.ANTHROPIC
    return Protocol.OPENAI if _OPENAI_FAMILY.fullmatch(name) else None


def family_backend(protocol: Protocol, routing: Routing) -> BackendConfig | None:
    """ "The Anthropic backend", "the OpenAI backend": by its name, else by its preset, else the only one."""
    named = routing.backends.get(protocol.value)
    if named is not None and not named.is_demo:
        return named
    speaking = [backend for backend in routing.real_backends if backend.protocol is protocol]
    by_preset = [backend for backend in speaking if backend.preset == protocol.value]
    if by_preset:
        return by_preset[0]
    return speaking[0] if len(speaking) == 1 else None


def newest_of_family(family: str, backend: BackendConfig) -> CatalogEntry | None:
    """The newest model of `opus`, `sonnet` or `haiku` in the backend's catalog: by date, then by version."""
    members = [entry for entry in backend.offered() if _is_member(family, entry.model)]
    return max(members, key=lambda entry: (entry.created, _version(entry.model)), default=None)


def known_names(routing: Routing) -> list[str]:
    """Every name that a client could ask for: aliases first, then each catalog."""
    names = list(routing.aliases)
    for backend in routing.backends.values():
        names.extend(entry.model for entry in backend.offered())
    return list(dict.fromkeys(names))


def _target(backend: BackendConfig, model: str, asked: str, rule: Rule, routing: Routing) -> Target:
    """A target with family names resolved, and the reason why its model is not the client's text."""
    family = model.strip().lower()
    if family in FAMILIES and not routing.passthrough and family not in backend.catalog:
        newest = newest_of_family(family, backend)
        if newest is None:
            return Target(backend, model, "" if model == asked else rule.value, is_unresolved=True)
        return Target(backend, newest.model, rule.value if rule is not Rule.CATALOG else "catalog")
    if model == asked:
        stripped = model.strip()
        return Target(backend, stripped, "" if stripped == asked else "trimmed")
    return Target(backend, model, rule.value)


def _as_mutation(target: Target, asked: str, rule: Rule) -> Target:
    return replace(target, mutation="" if target.model == asked else rule.value)


def _listing(name: str, protocol: Protocol, routing: Routing) -> list[BackendConfig]:
    """Backends that list the name: those of the client's own protocol first."""
    listing = [backend for backend in routing.backends.values() if backend.lists(name)]
    return sorted(
        listing, key=lambda backend: (backend.protocol is not protocol, backend.is_demo, backend.name)
    )


def _is_member(family: str, model: str) -> bool:
    return family in re.split(r"[-_./:@]", model.lower())


def _version(model: str) -> tuple[tuple[int, ...], int, str]:
    """Sorts `…-5-5` over `…-4-8`, and a plain name over its dated snapshot of equal version."""
    numbers = [int(part) for part in re.findall(r"\d+", model)]
    version = tuple(number for number in numbers if number < 1000)
    return (version, -len(model), model)


def _why_none(model: str, routing: Routing) -> str:
    if not routing.real_backends:
        return (
            f"No backend is configured, so nothing answers {model!r}. Add one with"
            " `python manage.py backend add NAME`, or try the built-in model demo."
        )
    return (
        f"No backend is known for model {model!r}. Add a route for it, or ask for a name in GET /v1/models."
    )
