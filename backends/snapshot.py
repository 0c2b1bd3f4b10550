"""From rows to the frozen `Routing`: the backends' part of the snapshot."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from types import MappingProxyType

from django.conf import settings

from backends.addresses import BadBaseUrl, check_base_url
from backends.capabilities import NO_OVERRIDES, BadCapability, Overrides, parse_overrides
from backends.conditions import BadCondition, parse_conditions
from backends.config import (
    DEMO_MODELS,
    DEMO_NAME,
    BackendConfig,
    CatalogEntry,
    Redaction,
    RouteConfig,
    RouteTemplate,
    Routing,
    Strategy,
    TargetConfig,
    Timeouts,
)
from backends.models import Backend, CatalogModel, LearnedQuirk, RequestTemplate, Route, RouteTarget
from backends.presets import is_own_server
from backends.redaction import load_redaction
from backends.wire.kinds import Kind, Protocol
from backends.wire.quirks import Quirk, QuirkKind
from backends.wire.templates import BadTemplate, parse_spec

logger = logging.getLogger("patchbay.config")

ANTHROPIC_KINDS = frozenset({Kind.MESSAGES, Kind.COUNT_TOKENS})
OPENAI_KINDS = frozenset({Kind.CHAT, Kind.EMBEDDINGS, Kind.COMPLETIONS})


def load_routing(demo_url: str | None = None) -> Routing:
    """Read the enabled backends and routes. With `demo_url`, the simulated backend is added to them."""
    catalogs, quirks = _catalogs(), _quirks()
    enabled = Backend.objects.filter(is_enabled=True)
    backends = [_backend_config(row, catalogs[row.pk], quirks[row.pk]) for row in enabled]
    if demo_url and not any(backend and backend.name.lower() == DEMO_NAME for backend in backends):
        backends.append(demo_backend(demo_url))
    found = sorted((backend for backend in backends if backend), key=lambda backend: backend.name.lower())
    return Routing(
        backends=MappingProxyType({backend.name.lower(): backend for backend in found}),
        routes=_routes(),
        force_model=settings.PATCHBAY_FORCE_MODEL,
        passthrough=settings.PATCHBAY_PASSTHROUGH,
        redaction=_redaction(found),
    ).prepare()


def _redaction(backends: Iterable[BackendConfig]) -> Redaction:
    """The rules, if a backend wants them; a log line if it does not get what it wants."""
    names = ", ".join(backend.name for backend in backends if backend.redacts)
    if not names:
        return Redaction()
    if settings.PATCHBAY_PASSTHROUGH:
        logger.warning("Requests to %s go out as they are: nothing is redacted under --passthrough.", names)
        return Redaction()
    redaction = load_redaction()
    if redaction.problem:
        text = "%s get no requests: %s Correct the rule in the admin, or turn it off: redaction disable NAME"
        logger.error(text, names, redaction.problem)
    return redaction


def demo_backend(url: str) -> BackendConfig:
    """The simulated backend: it speaks every kind, so every client works with it."""
    catalog = {
        name: CatalogEntry(name, f"{name} (simulated by Patchbay)", 1_760_000_000) for name in DEMO_MODELS
    }
    return BackendConfig(
        name=DEMO_NAME,
        protocol=Protocol.OPENAI,
        base=check_base_url(f"{url}/v1"),
        kinds=frozenset(Kind),
        preset=DEMO_NAME,
        catalog=MappingProxyType(catalog),
    )


def backend_config(row: Backend) -> BackendConfig:
    """One row with its stored catalog. Raises BadBaseUrl for an address that may not be contacted."""
    entries = [_catalog_entry(model) for model in row.catalog.all()]
    catalog = {entry.model.lower(): entry for entry in entries}
    return _config_of(row, catalog, _by_model(row.quirks.all()))


def _backend_config(
    row: Backend, catalog: dict[str, CatalogEntry], quirks: Iterable[LearnedQuirk]
) -> BackendConfig | None:
    """None, and a log line, for a row whose address is refused: a restored database is checked as well."""
    try:
        return _config_of(row, catalog, _by_model(quirks))
    except BadBaseUrl as exc:
        logger.error("Backend %s is left out: %s Change its base URL in the admin.", row.name, exc)
        return None


def _config_of(
    row: Backend, catalog: dict[str, CatalogEntry], quirks: dict[str, tuple[Quirk, ...]]
) -> BackendConfig:
    protocol, base = Protocol(row.protocol), check_base_url(row.base_url)
    kinds = ANTHROPIC_KINDS if protocol is Protocol.ANTHROPIC else OPENAI_KINDS
    return BackendConfig(
        name=row.name,
        protocol=protocol,
        base=base,
        kinds=kinds | {Kind.RESPONSES} if row.speaks_responses else kinds,
        preset=row.preset,
        model_globs=tuple(row.model_globs),
        catalog=MappingProxyType(catalog),
        timeouts=_timeouts(row),
        strategy=Strategy(row.strategy),
        overrides=_overrides(row),
        quirks=MappingProxyType(quirks),
        redacts=row.redacts and not is_own_server(row.preset, base),
        keeps_bodies=row.keeps_bodies,
    )


def _overrides(row: Backend) -> Overrides:
    """What the operator says of its models; nothing, and a log line, if a restored database says nonsense."""
    try:
        return parse_overrides(row.capabilities)
    except BadCapability as exc:
        logger.error(
            "The capabilities of backend %s are not used: %s Correct them in the admin.", row.name, exc
        )
        return NO_OVERRIDES


def _by_model(rows: Iterable[LearnedQuirk]) -> dict[str, tuple[Quirk, ...]]:
    quirks: defaultdict[str, list[Quirk]] = defaultdict(list)
    for row in rows:
        quirks[row.model].append(Quirk(QuirkKind(row.kind), row.name))
    return {model: tuple(sorted(found)) for model, found in quirks.items()}


def _quirks() -> defaultdict[int, list[LearnedQuirk]]:
    quirks: defaultdict[int, list[LearnedQuirk]] = defaultdict(list)
    for row in LearnedQuirk.objects.all():
        quirks[row.backend_id].append(row)
    return quirks


def _timeouts(row: Backend) -> Timeouts:
    """The row's own seconds, else the setting's."""
    names = ("connect", "first_byte", "first_byte_plain", "idle")
    own = {name: getattr(row, f"{name}_timeout_s") for name in names}
    return Timeouts(**{name: own[name] or settings.PATCHBAY_UPSTREAM_TIMEOUTS[name] for name in names})


def _catalogs() -> defaultdict[int, dict[str, CatalogEntry]]:
    catalogs: defaultdict[int, dict[str, CatalogEntry]] = defaultdict(dict)
    for model in CatalogModel.objects.all():
        catalogs[model.backend_id][model.model_id.lower()] = _catalog_entry(model)
    return catalogs


def _catalog_entry(model: CatalogModel) -> CatalogEntry:
    created = int(model.created_at.timestamp()) if model.created_at else 0
    return CatalogEntry(model.model_id, model.display_name, created, model.context_tokens)


def _routes() -> tuple[RouteConfig, ...]:
    rows = list(Route.objects.filter(is_enabled=True).prefetch_related("targets__backend"))
    used = {row.template_id for row in rows if row.template_id is not None}
    templates = {row.pk: template_config(row) for row in RequestTemplate.objects.filter(pk__in=used)}
    for template in templates.values():
        if template.problem:
            text = "Requests go without template %s: %s Correct it in the admin, or run `templates set`."
            logger.error(text, template.name, template.problem)
    return tuple(route_config(row, templates.get(row.template_id or 0)) for row in rows)


def template_config(row: RequestTemplate) -> RouteTemplate:
    """A template as requests get it. One that cannot be read, in a restored database, is nobody's: it says why."""
    try:
        template = parse_spec(row.spec)
    except BadTemplate as exc:
        return RouteTemplate(row.name, row.version, None, str(exc))
    if settings.PATCHBAY_PRESERVE_TOOLS:
        template = template.keeping_tools()
    return RouteTemplate(row.name, row.version, template)


def route_config(row: Route, template: RouteTemplate | None = None) -> RouteConfig:
    """One route with its targets in order. A target whose stored conditions make no sense is left out, and logged."""
    found = (_target_config(row, target) for target in row.targets.all())
    return RouteConfig(row.pattern, tuple(target for target in found if target is not None), template)


def _target_config(route: Route, row: RouteTarget) -> TargetConfig | None:
    try:
        conditions = parse_conditions(row.conditions)
    except BadCondition as exc:
        text = "Target %s of route %s is left out: %s Correct its conditions in the admin."
        logger.error(text, row, route.pattern, exc)
        return None
    return TargetConfig(row.backend.name, row.model, row.position, row.weight, conditions)
