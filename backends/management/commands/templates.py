"""`manage.py templates`: what is put into the requests of routes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import CommandParser

from backends.command import GroupCommand, Options
from backends.models import RequestTemplate, TemplateVersion
from backends.services import ServiceError, get_template
from backends.snapshot import template_config
from backends.template_services import (
    read_json,
    routes_of,
    template_delete,
    template_restore,
    template_set,
    templates_in_order,
)

MOST_READ = 1024 * 1024


class Command(GroupCommand):
    """List, show, write, restore and remove request templates."""

    help = "Request templates: what routes put into their requests. Written by you; none is built in."
    examples = (
        "templates set house --file house.json",
        "routes add house anthropic:opus --template house",
        "templates history house",
    )

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the templates and the routes that use them.", ("templates list",))
        shown = add(
            "show",
            self.show,
            "Print a template.",
            ("templates show house", "templates show house --version 2"),
        )
        shown.add_argument("name", metavar="NAME")
        shown.add_argument("--version", metavar="N", type=int, help="Not the one in force, but this.")
        written = add(
            "set",
            self.set,
            "Write a template, new or anew, from a file of JSON.",
            ("templates set house --file house.json", "templates show house | templates set copy --file -"),
        )
        written.add_argument("name", metavar="NAME")
        written.add_argument("--file", metavar="PATH", required=True, help="The file; - is standard input.")
        removed = add("remove", self.remove, "Remove a template.", ("templates remove house",))
        removed.add_argument("name", metavar="NAME")
        history = add(
            "history", self.history, "List the versions of a template.", ("templates history house",)
        )
        history.add_argument("name", metavar="NAME")
        restored = add(
            "restore", self.restore, "Put an earlier version in force again.", ("templates restore house 2",)
        )
        restored.add_argument("name", metavar="NAME")
        restored.add_argument("version", metavar="N", type=int)

    def list_all(self, options: Options) -> None:
        """Every template."""
        rows = list(templates_in_order())
        if options["json"]:
            self.say_json([_as_dict(row) for row in rows])
            return
        cells = [
            (row.name, row.version, ", ".join(routes_of(row)), template_config(row).problem) for row in rows
        ]
        columns = ("NAME", "VERSION", "ROUTES", "PROBLEM")
        self.say_table(columns, cells, empty="No template. Write one: templates set NAME --file PATH")

    def show(self, options: Options) -> None:
        """The text of a template, which `set` takes again."""
        row = get_template(options["name"])
        if options["version"] is not None:
            row.spec = _version(row, options["version"]).spec
            row.version = options["version"]
        self.say_json(_as_dict(row) | {"spec": row.spec} if options["json"] else row.spec)

    def set(self, options: Options) -> None:
        """Create or change a template."""
        row, is_new = template_set(options["name"], _read(options["file"]))
        if options["json"]:
            self.say_json(_as_dict(row) | {"new": is_new})
            return
        self.say(f"Template {row.name} is in force as version {row.version}.")
        if is_new:
            self.say_aside(f"Give it to a route: routes add PATTERN TARGET --template {row.name}")

    def remove(self, options: Options) -> None:
        """Delete a template."""
        row = get_template(options["name"])
        template_delete(row)
        if options["json"]:
            self.say_json({"removed": row.name})
        else:
            self.say(f"Template {row.name} was removed.")

    def history(self, options: Options) -> None:
        """Every version, the newest first."""
        row = get_template(options["name"])
        kept = list(row.versions.all())
        if options["json"]:
            self.say_json([_version_dict(version) for version in kept])
            return
        cells = [
            (version.version, version.saved_at.isoformat(timespec="seconds"), ", ".join(version.spec))
            for version in kept
        ]
        self.say_table(("VERSION", "SAVED", "WHAT IT SETS"), cells, empty="No version was kept.")

    def restore(self, options: Options) -> None:
        """An earlier text as a new version."""
        row = template_restore(get_template(options["name"]), options["version"])
        if options["json"]:
            self.say_json(_as_dict(row))
        else:
            self.say(
                f"Template {row.name} is as it was in version {options['version']}; that is version {row.version} now."
            )


def _read(path: str) -> object:
    """JSON from a file or from standard input. Raises ServiceError."""
    try:
        text = sys.stdin.read(MOST_READ) if path == "-" else Path(path).read_text()[:MOST_READ]
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ServiceError(f"{path} cannot be read ({reason}). Give the path of a file of JSON.") from exc
    try:
        return read_json(text)
    except ServiceError as exc:
        raise ServiceError(f"{path} is not taken. {exc}") from exc


def _version(row: RequestTemplate, number: int) -> TemplateVersion:
    found = row.versions.filter(version=number).first()
    if found is None:
        raise ServiceError(f"Template {row.name} has no version {number}. See templates history {row.name}.")
    return found


def _as_dict(row: RequestTemplate) -> dict[str, object]:
    return {
        "name": row.name,
        "version": row.version,
        "routes": routes_of(row),
        "problem": template_config(row).problem or None,
        "updatedAt": row.updated_at.isoformat(),
    }


def _version_dict(row: TemplateVersion) -> dict[str, object]:
    return {"version": row.version, "savedAt": row.saved_at.isoformat(), "spec": row.spec}
