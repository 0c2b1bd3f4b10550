"""The configuration as the hot path sees it: frozen, whole, free of Django.

Every request reads one `Routing` from beginning to end; an edit makes a new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from backends.addresses import BaseUrl
from backends.wire.kinds import Kind, Protocol

DEMO_NAME = "demo"
DEMO_MODELS = ("demo", "demo-claude", "demo-gpt")
FAMILIES = ("opus", "sonnet", "haiku")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model as its backend lists it. `created` is seconds since the epoch, 0 when unknown."""

    model: str
    display_name: str = ""
    created: int = 0


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

    def offered(self) -> list[CatalogEntry]:
        """The catalog, less what the backend's globs leave out."""
        return [entry for name, entry in self.catalog.items() if not self.model_globs or self.lists(name)]


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One target of a route. An empty model means the name the client used."""

    backend: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A rule, its pattern in lower case."""

    pattern: str
    targets: tuple[TargetConfig, ...]

    @property
    def is_alias(self) -> bool:
        """Whether the pattern is one exact name."""
        return "*" not in self.pattern and "?" not in self.pattern

    @property
    def specificity(self) -> tuple[int, int, str]:
        """Sorts the most specific pattern first: most literal characters, then fewest `*`, then the alphabet."""
        literal = len(self.pattern) - self.pattern.count("*") - self.pattern.count("?")
        return (-literal, self.pattern.count("*"), self.pattern)


@dataclass(frozen=True)
class Routing:
    """All that `decide()` looks at. `backends` is keyed by the name in lower case, in order of name."""

    backends: Mapping[str, BackendConfig]
    routes: tuple[RouteConfig, ...] = ()
    force_model: str = ""
    passthrough: bool = False

    @cached_property
    def aliases(self) -> Mapping[str, RouteConfig]:
        """Exact names."""
        return {route.pattern: route for route in self.routes if route.is_alias}

    @cached_property
    def globs(self) -> tuple[RouteConfig, ...]:
        """Patterns, the most specific first, without the default route."""
        globs = [route for route in self.routes if not route.is_alias and route.pattern != "*"]
        return tuple(sorted(globs, key=lambda route: route.specificity))

    @cached_property
    def default(self) -> RouteConfig | None:
        """The route whose pattern is `*`."""
        return next((route for route in self.routes if route.pattern == "*"), None)

    @cached_property
    def real_backends(self) -> tuple[BackendConfig, ...]:
        """Every backend but the built-in simulated one."""
        return tuple(backend for backend in self.backends.values() if not backend.is_demo)


def glob_matches(glob: str, name: str) -> bool:
    """Whether `name` (lower case) matches a glob of `*` and `?`; everything else is literal, `[1m]` too."""
    return _glob_regex(glob.lower()).fullmatch(name) is not None


_compiled: dict[str, re.Pattern[str]] = {}


def _glob_regex(glob: str) -> re.Pattern[str]:
    """Runs of `*` are folded, so that a pattern cannot be made to match slowly on purpose."""
    if glob not in _compiled:
        if len(_compiled) > 4096:
            _compiled.clear()
        folded = re.sub(r"\*+", "*", glob)
        parts = [".*" if char == "*" else "." if char == "?" else re.escape(char) for char in folded]
        _compiled[glob] = re.compile("".join(parts), re.DOTALL)
    return _compiled[glob]
