"""`manage.py logout`: deletes an account's credential; the account stays."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.listing import list_account
from accounts.login_services import credential_forget
from accounts.services import get_account
from accounts.status import DEFAULT_ALIAS
from backends.command import PatchbayCommand


class Command(PatchbayCommand):
    """Forget a credential."""

    help = (
        "Delete an account's stored credential. The account stays, and needs a login before it serves again."
    )
    examples = ("logout", "logout work")
    failures = AccountsCommand.failures

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument(
            "alias", metavar="ALIAS", nargs="?", default=DEFAULT_ALIAS, help="Default: login."
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Nothing is revoked at the provider, and no file of another program is touched."""
        row = get_account(options["alias"])
        had = credential_forget(row)
        if options["json"]:
            self.say_json(list_account(row, time.time()).as_dict() | {"deleted": had})
        elif had:
            self.say(f"The credential of account {row.alias} was deleted here. The provider was not told.")
        else:
            self.say(f"Account {row.alias} has no stored credential; nothing was deleted.")
