"""`manage.py routes`: which models go where."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import CommandError
from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.models import ClientKey
from accounts.preview import explained_from_outside
from backends.command import Options
from backends.conditions import FEATURES
from backends.config import specificity_of
from backends.models import LearnedQuirk, Route
from backends.route_checks import kind_of
from backends.routing import NoRoute
from backends.services import (
    ServiceError,
    quirks_reset,
    read_targets,
    route_create,
    route_findings,
    route_remove,
    routes_in_order,
    target_specs,
)
from backends.targets import target_texts
from backends.wire.kinds import Protocol

ADD_EXAMPLES = (
    "routes add fast groq:llama-3.3-70b-versatile       # an alias",
    "routes add 'claude-*' anthropic openrouter         # the second is the fallback",
    "routes add '*' ollama                              # the default route",
    "routes add mix 'groq:llama?weight=3' 'together:llama?weight=1' openai:gpt-4o",
    "routes add big 'gemini:gemini-2.5-pro?min_tokens=150000' anthropic:opus",
    "routes add see 'openai:gpt-4o?needs=images' 'ollama:qwen3?hours=22:00-06:00' groq:llama",
    "routes add house anthropic:opus --template house   # with a request template",
)
TARGET_HELP = (
    "BACKEND or BACKEND:MODEL, in fallback order. Options follow a ?, joined by & (quote the whole for your shell):"
    " weight=N (neighbours with a weight share the requests), needs= and without= a list of"
    " tools,images,schema,documents,reasoning, min_tokens=N, max_tokens=N, keys=NAME,…, hours=22:00-06:00,…,"
    " days=mon,fri,… and position=N (for all targets or none)."
)


class Command(AccountsCommand):
    """List, add, remove and explain routes; show and forget what backends refused."""

    help = "Which models go where: list, add, remove, explain; what backends refused: quirks."
    examples = (
        "routes list",
        "routes add fast groq:llama-3.3-70b-versatile",
        "routes explain opus --protocol anthropic",
    )

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the routes, in the order in which they are tried.", ("routes list",))
        new = add("add", self.add, "Add a route. It is checked first.", ADD_EXAMPLES)
        new.add_argument(
            "pattern", metavar="PATTERN", help="An exact name (an alias) or a glob; * is the default."
        )
        new.add_argument("targets", metavar="TARGET", nargs="+", help=TARGET_HELP)
        new.add_argument(
            "--template", metavar="NAME", default="", help="The request template for its requests."
        )
        new.add_argument("--yes", action="store_true", help="Save in spite of warnings, without asking.")
        remove = add("remove", self.remove, "Remove a route.", ("routes remove fast",))
        remove.add_argument("pattern", metavar="PATTERN")
        self._add_explain(add)
        quirks = add(
            "quirks",
            self.quirks,
            "What backends refused by name, and what requests go without since.",
            ("routes quirks", "routes quirks --reset groq"),
        )
        quirks.add_argument(
            "--reset",
            metavar="BACKEND[:MODEL]",
            nargs="?",
            const="",
            help="Forget those of one backend, or all.",
        )

    def _add_explain(self, add: Callable[..., CommandParser]) -> None:
        explained = add(
            "explain",
            self.explain,
            "Say where a request would go and why. Sends nothing.",
            ("routes explain opus", "routes explain fast --key ci --tools --tokens 120000 --at 23:00"),
        )
        explained.add_argument("model", metavar="MODEL")
        explained.add_argument(
            "--protocol",
            choices=[protocol.value for protocol in Protocol],
            help="What the client speaks. Default: the one that the backend speaks.",
        )
        explained.add_argument("--key", metavar="NAME", default="", help="The client key that asks.")
        explained.add_argument(
            "--session", metavar="ID", default="", help="The session, for shares by weight."
        )
        explained.add_argument("--tokens", metavar="N", type=int, default=0, help="The prompt's length.")
        explained.add_argument(
            "--at", metavar="TIME", default="", help="23:00 or 'fri 23:00', local time. Default: now."
        )
        for word in FEATURES:
            explained.add_argument(f"--{word}", action="store_true", help=f"The request has {word}.")

    def list_all(self, options: Options) -> None:
        """Every route with its targets, as the router looks at them."""
        rows = routes_in_order()
        if options["json"]:
            self.say_json([_as_dict(row, number) for number, row in enumerate(rows, start=1)])
            return
        cells = [
            (
                *(number, row.pattern, _kind(row), " → ".join(_targets(row)), _template(row)),
                "yes" if row.is_enabled else "no",
            )
            for number, row in enumerate(rows, start=1)
        ]
        columns = ("ORDER", "PATTERN", "KIND", "TARGETS", "TEMPLATE", "ENABLED")
        self.say_table(columns, cells, empty="No route: the built-in rules decide.")

    def add(self, options: Options) -> None:
        """Create a route, after its warnings were read."""
        targets = read_targets(options["targets"])
        keys = set(ClientKey.objects.filter(revoked_at=None).values_list("name", flat=True))
        findings = route_findings(options["pattern"], targets, keys)
        if findings.errors:
            raise ServiceError(" ".join(findings.errors))
        for warning in findings.warnings:
            self.say_aside(f"warning: {warning}")
        if findings.warnings and not self.confirm(options, "Save the route all the same?"):
            raise CommandError("Nothing was saved.")
        row = route_create(options["pattern"], targets, options["template"])
        if options["json"]:
            self.say_json(_as_dict(row, _place(row)) | {"warnings": list(findings.warnings)})
        else:
            self.say(f"{row.pattern} goes to {' → '.join(_targets(row))}.")

    def remove(self, options: Options) -> None:
        """Delete a route."""
        route_remove(options["pattern"])
        if options["json"]:
            self.say_json({"removed": options["pattern"].strip().lower()})
        else:
            self.say(f"Route {options['pattern']} was removed.")

    def explain(self, options: Options) -> None:
        """Print the decision; exit 1 when there is none."""
        try:
            found = explained_from_outside(options)
        except NoRoute as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.say_json(found.as_dict())
            return
        for line in found.lines():
            self.say(line)

    def quirks(self, options: Options) -> None:
        """List what was learnt, or forget it."""
        if options["reset"] is not None:
            backend, _, model = options["reset"].partition(":")
            rows = quirks_reset(backend, model)
            if not options["json"]:
                self.say(f"{len(rows)} forgotten. The next requests are sent with everything again.")
                return
        else:
            rows = tuple(LearnedQuirk.objects.select_related("backend"))
        if options["json"]:
            self.say_json([_quirk_dict(row) for row in rows])
            return
        cells = [(row.backend.name, row.model, row.kind, row.name, row.evidence) for row in rows]
        columns = ("BACKEND", "MODEL", "KIND", "WITHOUT", "BECAUSE IT SAID")
        self.say_table(columns, cells, empty="No backend has refused anything by name yet.")


def _targets(row: Route) -> list[str]:
    return target_texts(target_specs(row))


def _template(row: Route) -> str:
    return row.template.name if row.template else ""


def _kind(row: Route) -> str:
    kind = kind_of(row.pattern)
    return f"{kind}, {-specificity_of(row.pattern)[0]} literal" if kind == "pattern" else kind


def _place(row: Route) -> int:
    return [other.pk for other in routes_in_order()].index(row.pk) + 1


def _as_dict(row: Route, order: int) -> dict[str, object]:
    return {
        "pattern": row.pattern,
        "targets": _targets(row),
        "template": _template(row) or None,
        "alias": row.is_alias,
        "enabled": row.is_enabled,
        "order": order,
        "kind": kind_of(row.pattern),
        "literal": -specificity_of(row.pattern)[0],
    }


def _quirk_dict(row: LearnedQuirk) -> dict[str, object]:
    return {
        "backend": row.backend.name,
        "model": row.model,
        "kind": row.kind,
        "name": row.name,
        "evidence": row.evidence,
        "learnedAt": row.learned_at.isoformat(),
    }
