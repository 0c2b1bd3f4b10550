"""Changing backends and routes: the one function behind command, admin button and endpoint.

Services take and return plain objects, raise ServiceError with a text for people, and never print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from backends.addresses import check_base_url
from backends.models import Backend, Route, RouteTarget
from backends.presets import PRESETS, find_preset
from backends.routing import NoRoute, decide
from backends.snapshot import load_routing
from backends.wire.kinds import Protocol


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
    )
    save_checked(row)
    refuse_own_address(row)
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


@transaction.atomic
def route_add(pattern: str, targets: Sequence[str]) -> Route:
    """Create a route; each target is `backend` or `backend:model`. Raises ServiceError."""
    if not targets:
        raise ServiceError("A route needs at least one TARGET: backend or backend:model.")
    row = Route(pattern=pattern)
    save_checked(row)
    for position, text in enumerate(targets):
        name, _, model = text.partition(":")
        RouteTarget.objects.create(
            route=row, position=position, backend=get_backend(name), model=model.strip()
        )
    return row


def route_remove(pattern: str) -> None:
    """Delete a route. Raises ServiceError if there is none."""
    row = Route.objects.filter(pattern=pattern.strip().lower()).first()
    if row is None:
        patterns = ", ".join(Route.objects.values_list("pattern", flat=True)) or "none yet"
        raise ServiceError(f"There is no route {pattern!r}. Routes: {patterns}.")
    row.delete()


@dataclass(frozen=True, slots=True)
class RoutePreview:
    """Where a model would go, in one sentence and target by target."""

    text: str
    targets: tuple[str, ...] = ()
    found: bool = True


def route_preview(model: str, protocol: Protocol) -> RoutePreview:
    """What the router would decide now for a request that asks for `model`. Sends nothing."""
    try:
        decision = decide(model, protocol, load_routing())
    except NoRoute as exc:
        return RoutePreview(f"Model {model} would go nowhere: {exc}", found=False)
    targets = tuple(f"{target.backend.name}:{target.model}" for target in decision.targets)
    return RoutePreview(f"Model {model} would go to: {' → '.join(targets)} ({decision.reason})", targets)


def route_warnings(row: Route) -> list[str]:
    """What is wrong with a saved route, though it may be meant."""
    disabled = row.targets.filter(backend__is_enabled=False).values_list("backend__name", flat=True)
    warnings = [
        f"Backend {name} is disabled; route {row.pattern} passes it over." for name in dict.fromkeys(disabled)
    ]
    if not row.targets.exists():
        warnings.append(f"Route {row.pattern} has no target left, so its models get an error. Add one.")
    return warnings


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
