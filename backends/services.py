"""Changing backends and routes: the one function behind command, admin button and endpoint.

Services take and return plain objects, raise ServiceError with a text for people, and never print.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from backends.addresses import check_base_url
from backends.conditions import NO_CONDITIONS, BadCondition, parse_conditions
from backends.config import specificity_of
from backends.models import Backend, LearnedQuirk, RequestTemplate, Route, RouteTarget
from backends.presets import PRESETS, find_preset
from backends.route_checks import Findings, Surroundings, check_route, kind_of
from backends.snapshot import load_routing
from backends.targets import BadTarget, TargetSpec, parse_targets
from backends.wire.kinds import Protocol
from backends.wire.quirks import Quirk


class ServiceError(Exception):
    """Something asked for cannot be done. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class NewBackend:
    """What `backend add` takes. What is left empty comes from the preset of that name."""

    name: str
    base_url: str = ""
    protocol: str = ""
    model_globs: tuple[str, ...] = ()
    responses: bool | None = None
    redacts: bool = False


@transaction.atomic
def backend_add(new: NewBackend) -> Backend:
    """Create a backend from a known name, or from a base URL. Raises ServiceError."""
    found = find_preset(new.name)
    if found is None and not new.base_url:
        known = ", ".join(sorted(PRESETS))
        raise ServiceError(f"{new.name!r} is not a known provider, so it needs --base-url. Known: {known}.")
    if Backend.objects.filter(name__iexact=new.name).exists():
        raise ServiceError(f"Backend {new.name} exists. Remove it first, or choose another name.")
    key, preset = found or ("", None)
    base_url = new.base_url or (preset.base_url if preset else "")
    row = Backend(
        name=new.name,
        preset=key,
        base_url=base_url,
        protocol=new.protocol or (preset.protocol.value if preset else Protocol.OPENAI.value),
        model_globs=list(new.model_globs),
        responses=new.responses,
        redacts=new.redacts,
    )
    save_checked(row)
    refuse_own_address(row)
    return row


def backend_redacts(name: str, redacts: bool) -> Backend:
    """Turn redaction on or off for a backend. Raises ServiceError."""
    row = get_backend(name)
    row.redacts = redacts
    save_checked(row)
    return row


def backend_remove(name: str) -> None:
    """Delete a backend with its accounts and route targets. Raises ServiceError if there is none."""
    get_backend(name).delete()


def get_backend(name: str) -> Backend:
    """The backend of this name, without regard to case. Raises ServiceError."""
    row = Backend.objects.filter(name__iexact=name).first()
    if row is None:
        names = ", ".join(Backend.objects.values_list("name", flat=True)) or "none yet"
        raise ServiceError(f"There is no backend {name!r}. Backends: {names}.")
    return row


def route_add(pattern: str, targets: Sequence[str], template: str = "") -> Route:
    """Create a route from targets as `routes add` takes them. Raises ServiceError; warnings do not hold it up."""
    return route_create(pattern, read_targets(targets), template)


def read_targets(targets: Sequence[str]) -> list[TargetSpec]:
    """Targets from their texts. Raises ServiceError."""
    if not targets:
        raise ServiceError("A route needs at least one TARGET: backend or backend:model.")
    try:
        return parse_targets(targets)
    except BadTarget as exc:
        raise ServiceError(str(exc)) from exc


def get_template(name: str) -> RequestTemplate:
    """The request template of this name. Raises ServiceError."""
    row = RequestTemplate.objects.filter(name=name).first()
    if row is None:
        names = ", ".join(RequestTemplate.objects.values_list("name", flat=True)) or "none yet"
        raise ServiceError(f"There is no template {name!r}. Templates: {names}.")
    return row


@transaction.atomic
def route_create(pattern: str, targets: Sequence[TargetSpec], template: str = "") -> Route:
    """Create a route, with the request template of this name if one is given. Raises ServiceError."""
    row = Route(pattern=pattern, template=get_template(template) if template else None)
    save_checked(row)
    for spec in targets:
        target = RouteTarget(
            route=row,
            position=spec.position,
            backend=get_backend(spec.backend),
            model=spec.model,
            weight=spec.weight,
            conditions=spec.conditions.as_json(),
        )
        save_checked(target)
    return row


def route_findings(
    pattern: str, targets: Sequence[TargetSpec], keys: Collection[str] | None = None
) -> Findings:
    """What is wrong, or may be, with a route that is to be saved. `keys`: the names of the client keys."""
    backends = {name.lower(): enabled for name, enabled in Backend.objects.values_list("name", "is_enabled")}
    return check_route(pattern.strip().lower(), targets, Surroundings(load_routing(), backends, keys))


def target_specs(row: Route) -> list[TargetSpec]:
    """The targets of a saved route. Conditions that make no sense, in a restored database, count as none."""
    return [_target_spec(target) for target in row.targets.all()]


def _target_spec(row: RouteTarget) -> TargetSpec:
    try:
        conditions = parse_conditions(row.conditions)
    except BadCondition:
        conditions = NO_CONDITIONS
    return TargetSpec(row.backend.name, row.model, row.weight, row.position, conditions)


def routes_in_order() -> list[Route]:
    """Every route, in the order in which the router looks at them: aliases, patterns, the default route."""
    rows = list(Route.objects.select_related("template").prefetch_related("targets__backend"))
    return sorted(rows, key=_order)


def _order(row: Route) -> tuple[int, tuple[int, int, str]]:
    kind = kind_of(row.pattern)
    return (_STEPS[kind], specificity_of(row.pattern) if kind == "pattern" else (0, 0, row.pattern))


_STEPS = {"alias": 0, "pattern": 1, "default": 2}


def route_remove(pattern: str) -> None:
    """Delete a route. Raises ServiceError if there is none."""
    row = Route.objects.filter(pattern=pattern.strip().lower()).first()
    if row is None:
        patterns = ", ".join(Route.objects.values_list("pattern", flat=True)) or "none yet"
        raise ServiceError(f"There is no route {pattern!r}. Routes: {patterns}.")
    row.delete()


@transaction.atomic
def quirks_reset(backend: str = "", model: str = "") -> tuple[LearnedQuirk, ...]:
    """Forget what a backend refused (of one model, if given), or what all did; returns it. Raises ServiceError."""
    rows = LearnedQuirk.objects.select_related("backend")
    if backend:
        rows = rows.filter(backend=get_backend(backend))
    if model:
        rows = rows.filter(model=model.strip().lower())
    found = tuple(rows)
    for row in found:
        row.delete()
    return found


MOST_QUIRKS = 500


def quirks_learn(backend: str, model: str, quirks: Iterable[Quirk], evidence: str) -> None:
    """Remember what a backend (by name) refused for a model. Unknown backend: nothing, it was removed meanwhile."""
    row = Backend.objects.filter(name=backend).first()
    if row is None:
        return
    for quirk in quirks:
        if row.quirks.count() >= MOST_QUIRKS:
            return
        names = {"backend": row, "model": model[:200], "kind": quirk.kind.value, "name": quirk.name[:200]}
        LearnedQuirk.objects.get_or_create(**names, defaults={"evidence": evidence[:500]})


def save_checked(row: models.Model) -> None:
    """Validate a whole row as the admin would, then save it. Raises ServiceError in one line."""
    try:
        row.full_clean()
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc
    row.save()


def one_line(exc: ValidationError) -> str:
    """A form's worth of messages as one line, each with its field."""
    if not hasattr(exc, "error_dict"):
        return " ".join(exc.messages)
    parts = (
        " ".join(messages) if field == "__all__" else f"{field}: {' '.join(messages)}"
        for field, messages in exc.message_dict.items()
    )
    return " ".join(parts)


def refuse_own_address(row: Backend) -> None:
    """A backend that is Patchbay itself would call itself for ever. Raises ServiceError."""
    base = check_base_url(row.base_url)
    own = {"127.0.0.1", "localhost", "::1", settings.PATCHBAY_HOST.lower()}
    if base.host in own and base.port == settings.PATCHBAY_PORT:
        raise ServiceError(f"{row.base_url} is Patchbay's own address. Give the address of the model server.")
