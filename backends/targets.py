"""A target of a route as text, as `routes add` takes it: `backend:model?weight=3&needs=tools,images`. Pure.

The first `:` ends the backend's name and the first `?` behind it the model's. Options are joined by `&`; lists have
commas; a value may be percent-encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from urllib.parse import quote, unquote

from backends.conditions import NO_CONDITIONS, BadCondition, Conditions, parse_conditions

MAX_WEIGHT = 32_767
_LISTS = ("needs", "without", "keys", "hours", "days")
_NUMBERS = ("min_tokens", "max_tokens")
_OPTIONS = ("weight", "position", *_LISTS, *_NUMBERS)


class BadTarget(ValueError):
    """A target that cannot be understood. The text names it and says how to write it."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """One target as somebody wrote it. An empty model is the name that the client used.

    Targets of the same `position` share the requests by weight; the positions are the fallback order.
    """

    backend: str
    model: str = ""
    weight: int = 1
    position: int = 0
    conditions: Conditions = NO_CONDITIONS

    @property
    def name(self) -> str:
        """Backend and model alone."""
        return f"{self.backend}:{self.model}" if self.model else self.backend


def parse_targets(texts: Sequence[str]) -> list[TargetSpec]:
    """Targets in order. Without `position`, each has one of its own, but neighbours that give a weight share one.

    Raises BadTarget.
    """
    read = [_parse(text) for text in texts]
    placed = [position is not None for _, position, _ in read]
    if any(placed) and not all(placed):
        raise BadTarget("Give a position to every target of the route, or to none.")
    specs: list[TargetSpec] = []
    before_is_weighted = False
    for spec, position, is_weighted in read:
        if position is None:
            shares = is_weighted and before_is_weighted
            position = specs[-1].position + (not shares) if specs else 0
        specs.append(replace(spec, position=position))
        before_is_weighted = is_weighted
    return sorted(specs, key=lambda spec: spec.position)


def target_texts(specs: Sequence[TargetSpec]) -> list[str]:
    """The texts that `parse_targets` reads back as these targets, but for the numbers of their positions, and the
    weights of those that share with nobody.
    """
    groups: dict[int, int] = {}
    for spec in specs:
        groups[spec.position] = groups.get(spec.position, 0) + 1
    shared = [spec.position for spec in specs if groups[spec.position] > 1]
    order = list(groups)
    touching = any({one, two} <= set(shared) for one, two in pairwise(order))
    return [_text(spec, groups[spec.position] > 1, with_position=touching) for spec in specs]


def _text(spec: TargetSpec, is_shared: bool, *, with_position: bool) -> str:
    options = [f"position={spec.position}"] if with_position else []
    if is_shared:
        options.append(f"weight={spec.weight}")
    if spec.conditions:
        options.append(conditions_text(spec.conditions))
    return f"{spec.name}?{'&'.join(options)}" if options else spec.name


def conditions_text(conditions: Conditions) -> str:
    """`needs=tools,images&min_tokens=100000`."""
    options = []
    for name, value in conditions.as_json().items():
        parts = value if isinstance(value, list) else [value]
        options.append(f"{name}={','.join(quote(str(part), safe=':@/+') for part in parts)}")
    return "&".join(options)


def parse_conditions_text(text: str) -> Conditions:
    """The same, read back. Raises BadTarget."""
    options = _options(text.strip(), text.strip())
    if placed := [name for name in ("weight", "position") if name in options]:
        raise BadTarget(f"{placed[0]} is no condition. It has a field of its own.")
    return _conditions(text, options)


def _parse(text: str) -> tuple[TargetSpec, int | None, bool]:
    """The target, its position if it was given, and whether a weight was."""
    name, _, query = text.strip().partition("?")
    backend, _, model = name.partition(":")
    if not backend.strip():
        raise BadTarget(f"{text!r} names no backend. Write BACKEND or BACKEND:MODEL.")
    options = _options(text, query)
    weight = _number(text, "weight", options, 1, MAX_WEIGHT)
    position = _number(text, "position", options, 0, MAX_WEIGHT)
    conditions = _conditions(text, options)
    return (
        TargetSpec(backend.strip(), model.strip(), weight or 1, conditions=conditions),
        position,
        "weight" in options,
    )


def _conditions(text: str, options: dict[str, str]) -> Conditions:
    given: dict[str, object] = {
        key: [unquote(part) for part in options[key].split(",")] for key in _LISTS if key in options
    }
    given |= {key: _number(text, key, options, 1, None) for key in _NUMBERS if key in options}
    try:
        return parse_conditions(given)
    except BadCondition as exc:
        raise BadTarget(f"{text}: {exc}") from exc


def _options(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if name not in _OPTIONS or not equals:
            known = ", ".join(_OPTIONS)
            raise BadTarget(f"{text}: {part!r} is no option. The options are {known}, as NAME=VALUE.")
        if name in options:
            raise BadTarget(f"{text}: {name} is given twice. Join the values with commas.")
        options[name] = value
    return options


def _number(text: str, name: str, options: dict[str, str], least: int, most: int | None) -> int | None:
    if name not in options:
        return None
    value = options[name].replace("_", "")
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise BadTarget(f"{text}: {name} must be a whole number.")
    if int(value) < least or (most is not None and int(value) > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise BadTarget(f"{text}: {name} must be a whole number {bounds}.")
    return int(value)
