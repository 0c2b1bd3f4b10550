"""Routes: the table in the order in which it is matched, and where an imagined request would go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.explain import Explanation, explain
from accounts.forms_routes import PreviewForm
from accounts.preview import facts_of
from accounts.snapshot import Snapshot, keeper
from analytics.pages.frame import show, staff_page
from analytics.pages.live_state import on_the_loop
from backends.conditions import FEATURES
from backends.config import RouteConfig, Routing, TargetConfig
from backends.models import Route
from backends.routing import NoRoute, family_backend
from backends.services import ServiceError
from backends.targets import conditions_text
from backends.wire.kinds import Protocol

FAMILIES = ((Protocol.ANTHROPIC, "claude-*, opus, sonnet, haiku"), (Protocol.OPENAI, "gpt-*, o1, o3, o4, …"))


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """One place a rule sends to. `share`: its part of the requests in percent; None when it shares with nobody."""

    backend: str
    model: str
    conditions: str
    share: int | None
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class ShownRule:
    """One step of the search. `pk`: the route in the admin; None for what is built in."""

    kind: str
    pattern: str
    targets: tuple[ShownTarget, ...] = ()
    text: str = ""
    pk: int | None = None


@staff_page
def routes_page(request: HttpRequest) -> HttpResponseBase:
    """The table, and the answer to what is asked. Reads only, so GET is right."""
    snapshot = keeper.current
    form = PreviewForm(request.GET if request.GET.get("model", "").strip() else None)
    context: dict[str, Any] = {"form": form, "keys": _key_names(snapshot)}
    context["features"] = [form[word] for word in FEATURES]
    if form.is_bound and form.is_valid():
        context |= explained(form.cleaned_data, snapshot)
    rows = dict(Route.objects.values_list("pattern", "pk"))
    disabled = Route.objects.filter(is_enabled=False).order_by("pattern")
    context |= {"rules": list(rules(snapshot.routing, rows)), "disabled": disabled}
    return show(request, "dashboard/routes.html", "routes", context)


def explained(asked: dict[str, Any], snapshot: Snapshot) -> dict[str, object]:
    """The router's own decision about a request that somebody imagines, or why there is none."""
    try:
        facts = facts_of(asked)
        protocol = Protocol(asked["protocol"]) if asked["protocol"] else None
        found: Explanation = on_the_loop(lambda: explain(asked["model"], protocol, snapshot, facts))
    except (NoRoute, ServiceError) as exc:
        return {"problem": str(exc)}
    return {"found": found}


def _key_names(snapshot: Snapshot) -> list[str]:
    return sorted(config.name for config in snapshot.client_keys.values())


# --- the table --------------------------------------------------------------------------------------------------


def rules(routing: Routing, pks: dict[str, int]) -> Iterator[ShownRule]:
    """Every step of the search for a model's backend, in order."""
    if routing.force_model:
        yield ShownRule("forced", "every model", text=f"is answered by {routing.force_model} (--model)")
    yield ShownRule("prefix", "backend:model", text="the backend of that name, without any other rule")
    if not routing.passthrough:
        yield from (_route("alias", route, routing, pks) for route in routing.aliases.values())
    yield from (_route("pattern", route, routing, pks) for route in routing.globs)
    for protocol, names in FAMILIES:
        if (backend := family_backend(protocol, routing)) is not None:
            yield ShownRule("family", names, (ShownTarget(backend.name, "", "", None, False),))
    for backend in routing.backends.values():
        if count := len(backend.offered()):
            text = f"{backend.name}, for the {count} model{'s' * (count != 1)} that it lists"
            yield ShownRule("catalog", "a model's own name", text=text)
    if routing.default is not None:
        yield _route("default", routing.default, routing, pks)


def _route(kind: str, route: RouteConfig, routing: Routing, pks: dict[str, int]) -> ShownRule:
    targets = tuple(_target(target, route, routing) for target in route.targets)
    return ShownRule(kind, route.pattern, targets, pk=pks.get(route.pattern))


def _target(target: TargetConfig, route: RouteConfig, routing: Routing) -> ShownTarget:
    group = [other.weight for other in route.targets if other.position == target.position]
    return ShownTarget(
        target.backend,
        target.model,
        conditions_text(target.conditions),
        round(100 * target.weight / sum(group)) if len(group) > 1 else None,
        target.backend.lower() not in routing.backends,
    )
