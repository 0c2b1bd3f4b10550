"""Patchbay's own configuration as data: what is written by `export` and taken by `import`. Never a secret.

Rule: a shape's fields are columns of its model, under the same name; what a model has beside them is a secret, a
relation or a note of Patchbay's own, and is listed in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from django.db import models, transaction

from accounts.models import Account, ClientKey, OAuthProvider
from backends.models import Backend, PriceOverride, RedactionRule, RequestTemplate, Route, RouteTarget
from backends.move_in.shapes import (
    VERSION,
    AccountShape,
    BackendShape,
    ClientKeyShape,
    Configuration,
    OAuthProviderShape,
    PriceShape,
    RedactionRuleShape,
    RouteShape,
    Shape,
    TargetShape,
    TemplateShape,
)

S = TypeVar("S", bound=Shape)


def export_text() -> str:
    """The whole configuration as JSON: the same text for the same configuration."""
    return json.dumps(msgspec.to_builtins(configuration()), indent=2, sort_keys=True) + "\n"


@transaction.atomic
def configuration() -> Configuration:
    """Everything that `import` can make again, in order of name."""
    return Configuration(
        patchbay=VERSION,
        backends=[backend_shape(row) for row in _sorted(Backend.objects.all(), "name")],
        oauth_providers=[
            oauth_provider_shape(row)
            for row in OAuthProvider.objects.select_related("backend").order_by("backend__name")
        ],
        accounts=[account_shape(row) for row in _sorted(Account.objects.select_related("backend"), "alias")],
        templates=[_shape(TemplateShape, row) for row in _sorted(RequestTemplate.objects.all(), "name")],
        redaction_rules=[
            _shape(RedactionRuleShape, row) for row in _sorted(RedactionRule.objects.all(), "name")
        ],
        prices=[price_shape(row) for row in PriceOverride.objects.select_related("backend")],
        routes=[route_shape(row) for row in _sorted(_routes(), "pattern")],
        client_keys=[client_key_shape(row) for row in _sorted(ClientKey.objects.all(), "name")],
    )


def backend_shape(row: Backend) -> BackendShape:
    """A backend."""
    return _shape(BackendShape, row)


def account_shape(row: Account) -> AccountShape:
    """An account without its credential."""
    return _shape(AccountShape, row, backend=row.backend.name)


def route_shape(row: Route) -> RouteShape:
    """A route with its targets in order."""
    targets = [target_shape(target) for target in row.targets.all()]
    return _shape(RouteShape, row, targets=targets, template=row.template.name if row.template else "")


def target_shape(row: RouteTarget) -> TargetShape:
    """One target."""
    return _shape(TargetShape, row, backend=row.backend.name)


def price_shape(row: PriceOverride) -> PriceShape:
    """The operator's prices of some models from a day on."""
    return _shape(PriceShape, row, backend=row.backend.name if row.backend else "")


def client_key_shape(row: ClientKey) -> ClientKeyShape:
    """A client key's name and limits."""
    return _shape(ClientKeyShape, row, is_revoked=row.revoked_at is not None)


def oauth_provider_shape(row: OAuthProvider) -> OAuthProviderShape:
    """The OAuth client of one backend, as it stands in the database; the environment's is not exported."""
    return _shape(OAuthProviderShape, row, backend=row.backend.name)


def columns(shape: Shape, *others: str) -> dict[str, Any]:
    """The shape's fields as columns of a new row, less those that are no columns of it."""
    return {name: getattr(shape, name) for name in shape.__struct_fields__ if name not in others}


def _shape(kind: type[S], row: models.Model, **given: object) -> S:
    return kind(
        **{name: given[name] if name in given else getattr(row, name) for name in kind.__struct_fields__}
    )


def _routes() -> Iterable[Route]:
    return Route.objects.select_related("template").prefetch_related("targets__backend")


def _sorted(rows: Iterable[models.Model], name: str) -> list[Any]:
    return sorted(rows, key=lambda row: str(getattr(row, name)))
