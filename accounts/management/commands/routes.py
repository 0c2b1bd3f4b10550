"""`manage.py routes`: which models go where."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import CommandError
from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.explain import Explanation, explain
from accounts.snapshot import Demo, load_snapshot
from backends.command import Options
from backends.models import Route
from backends.routing import NoRoute
from backends.services import route_add, route_remove
from backends.wire.kinds import Protocol

ADD_EXAMPLES = (
    "routes add fast groq:llama-3.3-70b-versatile       # an alias",
    "routes add 'claude-*' anthropic openrouter         # the second is the fallback",
    "routes add '*' ollama                              # the default route",
)
DEMO_ADDRESS = (
    "http://127.0.0.1:9"  # only the server knows where its simulated backend listens; nothing is sent
)


class Command(AccountsCommand):
    """List, add, remove and explain routes."""

    help = "Which models go where: list, add, remove, explain."
    examples = (
        "routes list",
        "routes add fast groq:llama-3.3-70b-versatile",
        "routes explain opus --protocol anthropic",
    )

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the routes.", ("routes list --json",))
        new = add(
            "add",
            self.add,
            "Add a route. TARGET is BACKEND or BACKEND:MODEL, in fallback order.",
            ADD_EXAMPLES,
        )
        new.add_argument(
            "pattern", metavar="PATTERN", help="An exact name (an alias) or a glob; * is the default."
        )
        new.add_argument("targets", metavar="TARGET", nargs="+")
        remove = add("remove", self.remove, "Remove a route.", ("routes remove fast",))
        remove.add_argument("pattern", metavar="PATTERN")
        explained = add(
            "explain",
            self.explain,
            "Say where a model would go and why. Sends nothing.",
            ("routes explain opus",),
        )
        explained.add_argument("model", metavar="MODEL")
        explained.add_argument(
            "--protocol",
            choices=[protocol.value for protocol in Protocol],
            help="What the client speaks. Default: the one that the backend speaks.",
        )

    def list_all(self, options: Options) -> None:
        """Every route with its targets."""
        rows = list(Route.objects.prefetch_related("targets__backend"))
        if options["json"]:
            self.say_json([_as_dict(row) for row in rows])
            return
        cells = [(row.pattern, " → ".join(_targets(row)), "yes" if row.is_enabled else "no") for row in rows]
        self.say_table(("PATTERN", "TARGETS", "ENABLED"), cells, empty="No route: the built-in rules decide.")

    def add(self, options: Options) -> None:
        """Create a route."""
        row = route_add(options["pattern"], options["targets"])
        if options["json"]:
            self.say_json(_as_dict(row))
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
            explanation = self._explanation(options)
        except NoRoute as exc:
            raise CommandError(str(exc)) from exc
        if options["json"]:
            self.say_json(explanation.as_dict())
        else:
            self._print(explanation)

    def _explanation(self, options: Options) -> Explanation:
        snapshot = load_snapshot(Demo(DEMO_ADDRESS))
        if options["protocol"]:
            return explain(options["model"], Protocol(options["protocol"]), snapshot)
        found = explain(options["model"], Protocol.OPENAI, snapshot)
        if found.targets[0].lanes[0].lane == "direct":
            return found
        return explain(options["model"], Protocol.ANTHROPIC, snapshot)

    def _print(self, found: Explanation) -> None:
        self.say(f"{found.asked} ({found.protocol.value} client): {found.reason}")
        for number, target in enumerate(found.targets, start=1):
            because = f" (changed by {target.changed_by})" if target.changed_by else ""
            self.say(f"  {number}. {target.backend}: {target.model}{because}")
            for lane in target.lanes:
                self.say(f"     {lane.line()}")
            accounts = ", ".join(f"{alias} ({why or 'ready'})" for alias, why in target.accounts.items())
            self.say(f"     accounts: {accounts or 'none; add one with accounts add'}")


def _targets(row: Route) -> list[str]:
    return [str(target) for target in row.targets.all()]


def _as_dict(row: Route) -> dict[str, object]:
    return {
        "pattern": row.pattern,
        "targets": _targets(row),
        "alias": row.is_alias,
        "enabled": row.is_enabled,
    }
