"""`manage.py import`: take over another router's configuration, or an export of Patchbay."""

from __future__ import annotations

import os
from typing import Any

from django.core.management import CommandError
from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.models import Account
from accounts.move_in import Outcome, move_in
from accounts.surroundings import provider_environment, read_source
from accounts.terms import is_subscription_token, terms_notice
from backends.command import Options, PatchbayCommand
from backends.move_in.plan import MoveInError, Plan
from backends.move_in.recognise import plan_of


class Command(PatchbayCommand):
    """Read, show what would change, ask, change it in one transaction."""

    help = (
        "Take over another router's configuration: a LiteLLM proxy's YAML, a claude-code-router\n"
        "config.json, a dario home folder, a .env file, or an export of Patchbay. Shows what would change,\n"
        "then asks; a script is not asked. What exists is left as it is, and every setting that cannot be\n"
        "taken is named."
    )
    examples = (
        "import litellm.yaml --dry-run",
        "import ~/.claude-code-router/config.json",
        "import ~/.dario",
        "import .env --yes",
        "import patchbay.json                      # made by: export --output patchbay.json",
    )
    failures = (*AccountsCommand.failures, MoveInError)

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("path", metavar="PATH", help="A file or a folder. It is only read.")
        parser.add_argument("--dry-run", action="store_true", help="Show what would change; change nothing.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument("--json", action="store_true", help="Answer in JSON; asks nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Plan, show, ask, make."""
        plan = plan_of(read_source(options["path"]), provider_environment(os.environ))
        self._say_terms(plan)
        if options["json"]:
            self._say_json(plan, move_in(plan, dry_run=options["dry_run"]), options)
            return
        is_asked = self.is_interactive and not options["yes"]
        outcome = move_in(plan, dry_run=options["dry_run"] or is_asked)
        self._show(plan, outcome, options)
        if options["dry_run"]:
            self.say("Dry run: nothing was changed.")
        elif not outcome.added:
            self.say("There is nothing to add.")
        elif is_asked and not self.confirm(options, "Make these changes?"):
            raise CommandError("Nothing was changed.")
        else:
            self._say_done(move_in(plan, dry_run=False) if is_asked else outcome)

    def _say_terms(self, plan: Plan) -> None:
        if any(is_subscription_token(item.key) for item in plan.accounts):
            self.say_aside(terms_notice(Account.OAUTH, is_anthropic=True))

    def _show(self, plan: Plan, outcome: Outcome, options: Options) -> None:
        self.say(f"{options['path']}: {plan.source}")
        for change in outcome.changes:
            self.say(change.line())
        for left in outcome.not_taken:
            self.say(f"! not taken: {left.where}: {left.why}")
        for warning in outcome.warnings:
            self.say(f"~ {warning}")

    def _say_done(self, outcome: Outcome) -> None:
        counts: dict[str, int] = {}
        for change in outcome.added:
            counts[change.what] = counts.get(change.what, 0) + 1
        words = ", ".join(f"{what} {count}" for what, count in counts.items())
        self.say(f"Added: {words}. Not taken: {len(outcome.not_taken)}.")
        for alias, command in outcome.waiting:
            self.say(f"Account {alias} waits for its credential: {command}")
        if outcome.new_keys:
            self.say("Client keys, made anew. Keep them now: they are not shown again.")
        for name, key in outcome.new_keys:
            self.say(f"{name} {key}")

    def _say_json(self, plan: Plan, outcome: Outcome, options: Options) -> None:
        self.say_json(
            {
                "path": options["path"],
                "source": plan.source,
                "dryRun": options["dry_run"],
                "changes": [change.as_dict() for change in outcome.changes],
                "notTaken": [{"where": left.where, "why": left.why} for left in outcome.not_taken],
                "warnings": list(outcome.warnings),
                "waiting": [{"account": alias, "command": command} for alias, command in outcome.waiting],
                "clientKeys": [{"name": name, "key": key} for name, key in outcome.new_keys],
            }
        )
