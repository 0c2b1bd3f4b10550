"""`manage.py refresh`: a new token for an OAuth account, now."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.listing import list_account
from accounts.refresh_services import credential_refresh
from accounts.services import get_account
from accounts.status import DEFAULT_ALIAS
from backends.command import PatchbayCommand


@contextmanager
def _without_log() -> Iterator[None]:
    """The command's own line says it all; a log line beside it would say it twice."""
    logger = logging.getLogger("patchbay.tokens")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


class Command(PatchbayCommand):
    """Refresh a token."""

    help = "Refresh an OAuth account's token now. The running server does so by itself before a token ends."
    examples = ("refresh", "refresh work")
    failures = AccountsCommand.failures

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument(
            "alias", metavar="ALIAS", nargs="?", default=DEFAULT_ALIAS, help="Default: login."
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit 1 when there is nothing to refresh, or it failed."""
        row = get_account(options["alias"])
        with _without_log():
            credential_refresh(row)
        listed = list_account(row, time.time())
        if options["json"]:
            self.say_json(listed.as_dict())
        else:
            self.say(f"The token of account {row.alias} was refreshed: {listed.credential.line(listed.now)}.")
