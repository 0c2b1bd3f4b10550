"""What is wrong, or may be wrong, with a route before it is saved. Pure: it looks at one `Routing` and a few names.

An error makes the route impossible; a warning may be meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backends.conditions import NO_CONDITIONS
from backends.config import DEFAULT_PATTERN, FAMILIES, BackendConfig, RouteConfig, Routing
from backends.globs import WILDCARDS, glob_matches, is_exact, literal_prefix
from backends.routing import family_backend
from backends.targets import TargetSpec
from backends.wire.kinds import Protocol

_CANNOT = {"tools": "tools", "images": "images", "schema": "JSON schemas", "documents": "documents"}
# What stands for a `*` when a pattern is tried out: nothing, and texts that no pattern is likely to name.
_SAMPLES = ("", "qz7", "qz7-wk3")


@dataclass(frozen=True, slots=True)
class Findings:
    """Sentences for people; errors refuse the route."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a route is checked against. `backends`: every backend's name in lower case → whether it is enabled.

    `routing` holds the enabled ones, and the other routes. `keys`: the names of the client keys; None: not known here.
    """

    routing: Routing
    backends: Mapping[str, bool] = field(default_factory=dict)
    keys: Collection[str] | None = None


def check_route(pattern: str, targets: Sequence[TargetSpec], around: Surroundings) -> Findings:
    """Look at a route that somebody wants to save. `pattern` is in lower case and well-formed."""
    unknown = [target.backend for target in targets if target.backend.lower() not in around.backends]
    names = ", ".join(around.backends) or "none yet"
    errors = [f"There is no backend {name!r}. Backends: {names}." for name in dict.fromkeys(unknown)]
    warnings = [
        *_reachable(pattern, around),
        *(text for target in targets for text in _target(pattern, target, around)),
        *_together(pattern, targets),
    ]
    return Findings(tuple(errors), tuple(dict.fromkeys(warnings)))


# --- the pattern ------------------------------------------------------------------------------------------------


def _reachable(pattern: str, around: Surroundings) -> Iterator[str]:
    routing = around.routing
    if routing.force_model and not glob_matches(pattern, routing.force_model.lower()):
        yield f"--model sends every request to {routing.force_model}, so no request comes to this route."
    prefix, colon, _ = literal_prefix(pattern).partition(":")
    named = routing.backends.get(prefix) or (
        family_backend(Protocol.ANTHROPIC, routing) if prefix == "claude" else None
    )
    if colon and named is not None:
        text = "Names that begin with {}: ask backend {} directly, so no request comes to this route."
        yield text.format(prefix, named.name)
    elif winner := _shadow(pattern, routing):
        yield f"Route {winner} goes before {pattern} for every name tried, so no request may come to this route."


def _shadow(pattern: str, routing: Routing) -> str:
    """The pattern that takes every sample of what this one matches; "" if this one takes any."""
    if is_exact(pattern) or pattern == DEFAULT_PATTERN:
        return ""
    rivals = [route for route in routing.routes if route.pattern != pattern]
    own = RouteConfig(pattern, ())
    tried = Routing(routing.backends, (*rivals, own))
    winners = set()
    for sample in _SAMPLES:
        name = pattern.replace("*", sample).replace("?", "q")
        found = tried.aliases.get(name) or tried.glob_route(name)
        if found is None or found is own:
            return ""
        winners.add(found.pattern)
    return min(winners)


# --- each target ------------------------------------------------------------------------------------------------


def _target(pattern: str, target: TargetSpec, around: Surroundings) -> Iterator[str]:
    if around.backends.get(target.backend.lower()) is False:
        yield f"Backend {target.backend} is disabled, so it is passed over."
    if around.keys is not None:
        for key in target.conditions.keys:
            if key not in around.keys:
                yield f"Target {target.name} is for client key {key}, and there is no such key."
    backend = around.routing.backends.get(target.backend.lower())
    model = target.model or (pattern if is_exact(pattern) else "")
    if backend is not None and model:
        yield from _model(pattern, target, model.lower(), backend, around.routing)


def _model(
    pattern: str, target: TargetSpec, model: str, backend: BackendConfig, routing: Routing
) -> Iterator[str]:
    is_listed = _lists(backend, model)
    if model in routing.aliases and model != pattern and not is_listed:
        yield (
            f"{model} is an alias here, and the model of a target is not looked up again: backend {backend.name} will"
            f" be asked for {model!r} itself."
        )
    elif backend.catalog and not is_listed:
        near = difflib.get_close_matches(model, list(backend.catalog)[:2000], n=3, cutoff=0.5)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        yield f"Backend {backend.name} does not list the model {model}.{hint}"
    known, needs = backend.capabilities(model), target.conditions.needs
    for word in needs:
        if getattr(known, word, None) is False:
            yield f"{backend.name}:{model} takes no {_CANNOT[word]}, and the target is only for requests with them."
    least = target.conditions.min_tokens
    if least is not None and known.context is not None and least >= known.context:
        yield (
            f"{backend.name}:{model} has a context of {known.context:,} tokens, and the target is only for requests"
            f" of {least:,} or more."
        )


def _lists(backend: BackendConfig, model: str) -> bool:
    """Whether the backend's own list names it; `[1m]` or a suffix behind a `:` may be a variant of what it names."""
    plain = re.sub(r"\[[^\]]*\]$", "", model)
    names = {model, plain, plain.rpartition(":")[0]} - {""}
    return model in FAMILIES or any(name in backend.catalog or backend.lists(name) for name in names)


# --- all of them together ---------------------------------------------------------------------------------------


def _together(pattern: str, targets: Sequence[TargetSpec]) -> Iterator[str]:
    seen = set()
    for target in targets:
        what = (target.backend.lower(), target.model.lower(), target.conditions)
        if what in seen:
            yield f"Target {target.name} is there twice."
        seen.add(what)
    if targets and all(target.conditions != NO_CONDITIONS for target in targets):
        yield (
            f"Every target of {pattern} has conditions, so a request that meets none of them gets an error. End with a"
            " target without conditions, unless that is meant."
        )


def kind_of(pattern: str) -> str:
    """`alias`, `pattern` or `default`: in which of the three steps it is looked at."""
    return "default" if pattern == DEFAULT_PATTERN else "pattern" if WILDCARDS.search(pattern) else "alias"
