"""`manage.py status`: the health and the expiry of the credentials."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.listing import ListedAccount, list_account, list_accounts
from accounts.services import get_account
from accounts.status import status_answer
from backends.command import PatchbayCommand


class Command(PatchbayCommand):
    """Say how the credentials are."""

    help = "Health and expiry of the credentials; what the pool makes of them, the running server knows."
    examples = ("status", "status login", "status --json")
    failures = AccountsCommand.failures

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("alias", metavar="ALIAS", nargs="?", help="One account. Default: all.")
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """One account's line, or all in a table."""
        now, alias = time.time(), options["alias"]
        listed = [list_account(get_account(alias), now)] if alias else list_accounts(now)
        if options["json"]:
            self.say_json(status_answer((found.config, found.credential) for found in listed))
        elif alias:
            row, credential = listed[0].row, listed[0].credential
            self.say(f"{row.alias} ({row.backend.name}, {row.kind}): {credential.line(now)}")
        else:
            self._say_all(listed)

    def _say_all(self, listed: Sequence[ListedAccount]) -> None:
        cells = [
            (f.row.alias, f.config.backend, f.row.kind, f.credential.status, f.expiry, f.credential.problem)
            for f in listed
        ]
        columns = ("ALIAS", "BACKEND", "KIND", "STATUS", "EXPIRY", "WHAT TO DO")
        self.say_table(columns, cells, empty="No account yet. Give one a credential: python manage.py login")
