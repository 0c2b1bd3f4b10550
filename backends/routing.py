"""Which backend answers a model name: one pure function, the same for requests, `explain` and the admin.

The order: forced model, `backend:model` prefix, exact alias, most specific pattern, built-in families,
a backend whose catalog lists the name, the default route, else NoRoute with the closest known names.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum

from backends.config import FAMILIES, BackendConfig, CatalogEntry, RouteConfig, Routing, glob_matches
from backends.wire.kinds import Protocol

_OPENAI_FAMILY = re.compile(r"gpt-.*|chatgpt-.*|o[134](-.*)?|text-embedding-.*|text-davinci-.*", re.DOTALL)
_ANTHROPIC_FAMILY = re.compile(r"claude-.*", re.DOTALL)


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


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes, in fallback order, and why."""

    asked: str
    rule: Rule
    reason: str
    targets: tuple[Target, ...]


class NoRoute(Exception):
    """No backend is known for the model. `near` holds the closest known names."""

    def __init__(self, asked: str, why: str, near: tuple[str, ...] = ()) -> None:
        self.asked, self.why, self.near = asked, why, near
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"{why}{hint}")


def decide(model: str, protocol: Protocol, routing: Routing) -> Decision:
    """The targets for `model`, asked by a client of `protocol`, under one configuration. Raises NoRoute."""
    asked = model
    forced = routing.force_model
    decision = _decide(forced or model, protocol, routing)
    if not forced:
        return decision
    targets = tuple(_as_mutation(target, asked, Rule.FORCED) for target in decision.targets)
    return Decision(asked, Rule.FORCED, f"--model forces {forced}; {decision.reason}", targets)


def _decide(model: str, protocol: Protocol, routing: Routing) -> Decision:
    name = model.strip().lower()
    if found := _by_prefix(model.strip(), routing):
        return found
    if not routing.passthrough and (alias := routing.aliases.get(name)):
        return _by_route(alias, model, routing, Rule.ALIAS)
    if route := next((route for route in routing.globs if glob_matches(route.pattern, name)), None):
        return _by_route(route, model, routing, Rule.ROUTE)
    return _by_built_in(model, name, protocol, routing)


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


def _by_route(route: RouteConfig, model: str, routing: Routing, rule: Rule) -> Decision:
    """The route's targets whose backends are enabled."""
    enabled = [(target, routing.backends.get(target.backend.lower())) for target in route.targets]
    targets = tuple(
        _target(backend, model if routing.passthrough else target.model or model, model, rule, routing)
        for target, backend in enabled
        if backend is not None
    )
    if not targets:
        raise NoRoute(model, f"Route {route.pattern} has no enabled backend. Enable one or change the route.")
    return Decision(model, rule, f"{rule.value} {route.pattern}", targets)


def _by_built_in(model: str, name: str, protocol: Protocol, routing: Routing) -> Decision:
    family = family_protocol(name)
    if family and (backend := family_backend(family, routing)):
        reason = f"{name} is a name of the {family.value} family"
        return Decision(model, Rule.FAMILY, reason, (_target(backend, model, model, Rule.FAMILY, routing),))
    if backends := _listing(name, protocol, routing):
        targets = tuple(_target(backend, model, model, Rule.CATALOG, routing) for backend in backends)
        return Decision(model, Rule.CATALOG, f"the catalog of {backends[0].name} lists it", targets[:1])
    if routing.default:
        return _by_route(routing.default, model, routing, Rule.DEFAULT)
    raise NoRoute(model, _why_none(model, routing), _near(name, routing))


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
    mutation = "" if target.model == asked else rule.value
    return Target(target.backend, target.model, mutation, target.is_unresolved)


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


def _near(name: str, routing: Routing) -> tuple[str, ...]:
    known = {known.lower(): known for known in known_names(routing)}
    return tuple(known[match] for match in difflib.get_close_matches(name, known, n=3, cutoff=0.5))
