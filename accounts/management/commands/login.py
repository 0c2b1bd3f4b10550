"""`manage.py login`: gives an account its credential, and makes the account where there is none."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.login_command import CredentialCommand, add_credential_options
from accounts.setup import login_complete, login_plan
from accounts.status import DEFAULT_ALIAS


class Command(CredentialCommand):
    """Find or ask for a credential, and store it."""

    help = "Give an account a credential; without options: look on this machine, ask, and use nothing without a yes."
    examples = (
        "login                                             # the default Claude account; looks and asks",
        "login --key-stdin < key.txt",
        "login --token-file ~/.claude/.credentials.json    # follows the file of an installed program",
        "login work --backend openai --oauth               # with the OAuth client configured for openai",
        "login --oauth --manual                            # on a machine without a browser",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument(
            "alias", metavar="ALIAS", nargs="?", default=DEFAULT_ALIAS, help="Default: login."
        )
        parser.add_argument(
            "--backend", metavar="BACKEND", help="Where a new account belongs. Default: the Claude backend."
        )
        add_credential_options(parser)
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """A new credential replaces the old one."""
        plan = login_plan(options["alias"], options["backend"])
        adds_backend = plan.adds_backend
        row = login_complete(plan, self.read_credential(options, plan.backend))
        if adds_backend:
            self.say_aside(f"Backend {row.backend.name} ({row.backend.base_url}) was added.")
        self.report_account(options, row, f"Account {row.alias} is logged in at {row.backend.name}.")
