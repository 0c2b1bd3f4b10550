"""Changing request templates: the one way in for the admin, the command, the import and the export.

Every save that changes something is a new version, and every version is kept. Two people who edit the same template do
not undo each other's work: whoever saves an older version than the one in force is told so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from backends.models import ConfigVersion, RequestTemplate, TemplateVersion
from backends.services import ServiceError, save_checked
from backends.wire.templates import BadTemplate, parse_spec


def read_json(text: str) -> object:
    """The JSON that somebody typed. Raises ServiceError, with the line, also where a name stands twice."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as exc:
        raise ServiceError(
            f"Line {exc.lineno}, column {exc.colno}: {exc.msg}. Correct the JSON there."
        ) from exc
    except RecursionError:
        raise ServiceError("The JSON nests too deep. Flatten it.") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ServiceError(f"The name {twice[0]!r} stands twice in one object. Write it once.")
    return dict(pairs)


def checked_spec(spec: object) -> dict[str, object]:
    """A template's text in the spelling in which it is stored. Raises ServiceError."""
    try:
        return parse_spec(spec).as_json()
    except BadTemplate as exc:
        raise ServiceError(str(exc)) from exc


@transaction.atomic
def template_create(name: str, spec: object) -> RequestTemplate:
    """A new template, in version 1. Raises ServiceError."""
    row = RequestTemplate(name=name, spec=checked_spec(spec))
    save_checked(row)
    TemplateVersion.objects.create(template=row, version=row.version, spec=row.spec)
    return row


@transaction.atomic
def template_update(row: RequestTemplate, spec: object, *, expected: int | None = None) -> RequestTemplate:
    """Another text for a template, as a new version; nothing if it is the same text. Raises ServiceError.

    `expected`: the version that was edited, if not the one that `row` was read in.
    """
    checked, edited = checked_spec(spec), row.version if expected is None else expected
    present = RequestTemplate.objects.filter(pk=row.pk).first()
    if present is None:
        raise ServiceError(f"Template {row.name} was removed meanwhile. Add it anew.")
    if present.version != edited:
        raise ServiceError(
            f"Template {row.name} was changed meanwhile: version {present.version} is in force, and you edited version"
            f" {edited}. Read it again, and make your change there."
        )
    if present.spec == checked:
        return present
    return _saved(present, checked)


def template_set(name: str, spec: object) -> tuple[RequestTemplate, bool]:
    """The template of this name with this text, whether it was there or not; whether it is new. Raises ServiceError."""
    row = RequestTemplate.objects.filter(name=name).first()
    if row is None:
        return template_create(name, spec), True
    return template_update(row, spec), False


def template_restore(row: RequestTemplate, version: int) -> RequestTemplate:
    """An earlier text again, as a new version. Raises ServiceError."""
    found = row.versions.filter(version=version).first()
    if found is None:
        kept = ", ".join(str(number) for number in row.versions.values_list("version", flat=True))
        raise ServiceError(f"Template {row.name} has no version {version}. Versions: {kept or 'none'}.")
    return template_update(row, found.spec)


def template_delete(row: RequestTemplate) -> None:
    """Delete a template with its versions. Raises ServiceError if a route uses it."""
    if patterns := routes_of(row):
        raise ServiceError(
            f"Template {row.name} is used by {', '.join(patterns)}. Give these routes another template, or none, first."
        )
    row.delete()


def routes_of(row: RequestTemplate) -> list[str]:
    """The patterns of the routes that use a template."""
    return [route.pattern for route in row.routes.all()]


def templates_in_order() -> Iterable[RequestTemplate]:
    """Every template, by name, with its routes."""
    return RequestTemplate.objects.order_by("name").prefetch_related("routes")


def _saved(row: RequestTemplate, spec: dict[str, object]) -> RequestTemplate:
    """The next version. The number decides between two who save at the same moment."""
    number = row.version + 1
    changed = RequestTemplate.objects.filter(pk=row.pk, version=row.version).update(
        spec=spec, version=number, updated_at=timezone.now()
    )
    if not changed:
        raise ServiceError(
            f"Template {row.name} was changed at the same moment. Read it again, and try again."
        )
    TemplateVersion.objects.create(template=row, version=number, spec=spec)
    ConfigVersion.bump()
    row.refresh_from_db()
    return row
