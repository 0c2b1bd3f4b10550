"""The configuration as the hot path sees it: frozen, whole, free of Django.

Every request reads one `Routing` from beginning to end; an edit makes a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

from backends.addresses import BaseUrl
from backends.capabilities import NO_OVERRIDES, Capabilities, Overrides, known_capabilities
from backends.conditions import NO_CONDITIONS, Conditions
from backends.globs import GlobIndex, glob_matches, is_exact
from backends.wire.kinds import Kind, Protocol
from backends.wire.quirks import Quirk
from backends.wire.redaction import RuleSet
from backends.wire.templates import Template

DEMO_NAME = "demo"
DEMO_MODELS = ("demo", "demo-claude", "demo-gpt")
FAMILIES = ("opus", "sonnet", "haiku")
DEFAULT_PATTERN = "*"
_MOST_KNOWN = 2048


class Strategy(StrEnum):
    """How the pool of a backend chooses among the accounts that can serve."""

    HEADROOM = "headroom"
    FORECAST = "forecast"
    FILL_FIRST = "fill-first"
    ROUND_ROBIN = "round-robin"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model as its backend lists it. `created`: seconds since the epoch, 0 when unknown. `context`: in tokens."""

    model: str
    display_name: str = ""
    created: int = 0
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` is for streams, `first_byte_plain` for answers in one piece."""

    connect: float = 5.0
    first_byte: float = 120.0
    first_byte_plain: float = 600.0
    idle: float = 300.0


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """One enabled backend. `kinds` are the operations it answers in its own words."""

    name: str
    protocol: Protocol
    base: BaseUrl
    kinds: frozenset[Kind]
    preset: str = ""
    model_globs: tuple[str, ...] = ()
    catalog: Mapping[str, CatalogEntry] = field(default_factory=lambda: MappingProxyType({}))
    timeouts: Timeouts = Timeouts()
    strategy: Strategy = Strategy.HEADROOM
    overrides: Overrides = NO_OVERRIDES
    quirks: Mapping[str, tuple[Quirk, ...]] = field(default_factory=lambda: MappingProxyType({}))
    redacts: bool = False
    keeps_bodies: bool = False
    _known: dict[str, Capabilities] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_demo(self) -> bool:
        """Whether this is the built-in simulated backend."""
        return self.preset == DEMO_NAME

    def path(self, kind: Kind) -> str:
        """The URL path of an operation, below the base URL's own path.

        An OpenAI base ends in its version; an Anthropic base does not, but one that does is accepted.
        """
        return f"{self._version}{kind.path}"

    @property
    def models_path(self) -> str:
        """The URL path of the model list."""
        return f"{self._version}/models"

    @property
    def _version(self) -> str:
        has_version = self.protocol is Protocol.OPENAI or self.base.path.rstrip("/").endswith("/v1")
        return "" if has_version else "/v1"

    def lists(self, model: str) -> bool:
        """Whether the backend's catalog or its own globs name `model` (lower case)."""
        if self.model_globs:
            return any(glob_matches(glob, model) for glob in self.model_globs)
        return model in self.catalog

    def capabilities(self, model: str) -> Capabilities:
        """What is known of a model: looked up once a name, as long as this configuration is in force."""
        name = model.strip().lower()
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            listed = self.catalog.get(name)
            context = listed.context if listed else None
            known = known_capabilities(self.preset, name, context=context, overrides=self.overrides)
            self._known[name] = known
        return known

    def quirks_of(self, model: str) -> tuple[Quirk, ...]:
        """What this backend is known to refuse in requests for a model."""
        return self.quirks.get(model.strip().lower(), ()) if self.quirks else ()

    def offered(self) -> list[CatalogEntry]:
        """The catalog, less what the backend's globs leave out."""
        return [entry for name, entry in self.catalog.items() if not self.model_globs or self.lists(name)]


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One target of a route. An empty model means the name the client used.

    Targets of the same `position` share the requests by `weight`; the positions are the fallback order.
    """

    backend: str
    model: str = ""
    position: int = 0
    weight: int = 1
    conditions: Conditions = NO_CONDITIONS


@dataclass(frozen=True, slots=True)
class RouteTemplate:
    """The request template of a route, as it is in force.

    `template` None: the stored text cannot be used, for the reason in `problem`. Requests go without it, and say so.
    """

    name: str
    version: int
    template: Template | None
    problem: str = ""

    def __str__(self) -> str:
        unused = f", not used: {self.problem}" if self.template is None else ""
        return f"{self.name}, version {self.version}{unused}"


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A rule, its pattern in lower case, its targets in order of position."""

    pattern: str
    targets: tuple[TargetConfig, ...]
    template: RouteTemplate | None = None

    @property
    def is_alias(self) -> bool:
        """Whether the pattern is one exact name."""
        return is_exact(self.pattern)

    @property
    def specificity(self) -> tuple[int, int, str]:
        """Sorts the most specific pattern first: most literal characters, then fewest `*`, then the alphabet."""
        return specificity_of(self.pattern)


def specificity_of(pattern: str) -> tuple[int, int, str]:
    """What decides between two patterns that match: the smaller one wins."""
    stars = pattern.count("*")
    return (stars + pattern.count("?") - len(pattern), stars, pattern)


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is replaced in requests to backends that ask for it.

    `problem`: why the stored rules cannot be used. Then those backends get nothing, rather than what should be hidden.
    """

    rules: RuleSet = field(default_factory=lambda: RuleSet(()))
    problem: str = ""


@dataclass(frozen=True)
class Routing:
    """All that `decide()` looks at. `backends` is keyed by the name in lower case, in order of name."""

    backends: Mapping[str, BackendConfig]
    routes: tuple[RouteConfig, ...] = ()
    force_model: str = ""
    passthrough: bool = False
    redaction: Redaction = Redaction()

    @cached_property
    def aliases(self) -> Mapping[str, RouteConfig]:
        """Exact names."""
        return {route.pattern: route for route in self.routes if route.is_alias}

    @cached_property
    def globs(self) -> tuple[RouteConfig, ...]:
        """Patterns, the most specific first, without the default route."""
        globs = [route for route in self.routes if not route.is_alias and route.pattern != DEFAULT_PATTERN]
        return tuple(sorted(globs, key=lambda route: route.specificity))

    @cached_property
    def glob_index(self) -> GlobIndex:
        """The same, to be searched by name."""
        return GlobIndex([route.pattern for route in self.globs])

    @cached_property
    def default(self) -> RouteConfig | None:
        """The route whose pattern is `*`."""
        return next((route for route in self.routes if route.pattern == DEFAULT_PATTERN), None)

    @cached_property
    def real_backends(self) -> tuple[BackendConfig, ...]:
        """Every backend but the built-in simulated one."""
        return tuple(backend for backend in self.backends.values() if not backend.is_demo)

    @cached_property
    def has_conditions(self) -> bool:
        """Whether any target is for some requests only."""
        return any(target.conditions for route in self.routes for target in route.targets)

    @cached_property
    def decided(self) -> dict[tuple[str, Protocol], Any]:
        """What `decide()` keeps: decisions that hold for every request, by the name asked for and the protocol."""
        return {}

    def glob_route(self, name: str) -> RouteConfig | None:
        """The most specific route whose pattern matches a name (lower case)."""
        found = self.glob_index.first(name)
        return None if found is None else self.globs[found]

    def prepare(self) -> Routing:
        """Build what is built once, before a request needs it."""
        _ = (self.aliases, self.glob_index, self.default, self.real_backends, self.has_conditions)
        return self
