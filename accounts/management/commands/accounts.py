"""`manage.py accounts`: the operator's credentials at the backends."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.core.management import CommandError
from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.command import AccountsCommand
from accounts.listing import list_account, list_accounts
from accounts.login_command import CredentialCommand, add_credential_options
from accounts.models import Account
from accounts.probes import account_test_now
from accounts.services import (
    account_add,
    account_pause,
    account_remove,
    account_resume,
    check_new_alias,
    get_account,
)
from accounts.setup import default_backend
from backends.command import Options
from backends.durations import how_long_ago
from backends.services import get_backend

ADD_EXAMPLES = (
    "accounts add work --backend anthropic     # looks, asks, and never uses anything without a yes",
    "accounts add work --backend openai --key-stdin < key.txt",
    "accounts add plan --token-file ~/.claude/.credentials.json",
    "accounts add plan --oauth-json-stdin < tokens.json",
)


class Command(CredentialCommand, AccountsCommand):
    """List, add, remove, pause, resume and test accounts."""

    help = "Your credentials at the backends: list, add, remove, pause, resume, test."
    examples = ("accounts list", "accounts add work --backend anthropic", "accounts pause work")

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the accounts.", ("accounts list", "accounts list --json"))
        new = add("add", self.add, "Add an account to a backend's pool.", ADD_EXAMPLES)
        new.add_argument("alias", metavar="ALIAS", help="A name of your own: letters, digits, . _ -")
        new.add_argument("--backend", metavar="BACKEND", help="Default: anthropic, else the only backend.")
        add_credential_options(new)
        for name, run, text in (
            ("remove", self.remove, "Remove an account and its stored credential."),
            ("pause", self.pause, "Take an account out of the pool; what runs on it ends normally."),
            ("resume", self.resume, "Put an account back into the pool, and let the next request try it."),
            ("test", self.test, "Test an account (asks for the model list; free)."),
        ):
            add(name, run, text, (f"accounts {name} work",)).add_argument("alias", metavar="ALIAS")

    def list_all(self, options: Options) -> None:
        """Every account, by backend."""
        listed = list_accounts(time.time())
        if options["json"]:
            self.say_json([found.as_dict() for found in listed])
            return
        cells = [
            (
                found.row.alias,
                found.config.backend,
                found.row.kind,
                found.word,
                found.expiry,
                found.row.secret_hint,
                _age(found.row),
            )
            for found in listed
        ]
        columns = ("ALIAS", "BACKEND", "KIND", "STATUS", "EXPIRY", "KEY", "SET")
        self.say_table(columns, cells, empty="No account yet. A backend brings its first: backend add NAME")

    def add(self, options: Options) -> None:
        """Create an account; without a credential it is one for a server that needs none."""
        check_new_alias(options["alias"])
        backend = get_backend(options["backend"]) if options["backend"] else default_backend()
        credential = self.read_credential(options, backend, may_be_none=True)
        row = account_add(options["alias"], backend, credential)
        self.report_account(options, row, f"Account {row.alias} is in the pool of {backend.name}.")

    def remove(self, options: Options) -> None:
        """Delete the account and its stored credential."""
        account_remove(options["alias"])
        if options["json"]:
            self.say_json({"removed": options["alias"]})
        else:
            self.say(f"Account {options['alias']} and its stored credential were removed.")

    def pause(self, options: Options) -> None:
        """Out of the pool."""
        row = account_pause(options["alias"])
        self._report(options, row, f"Account {row.alias} is paused.")

    def resume(self, options: Options) -> None:
        """Back into the pool."""
        row = account_resume(options["alias"])
        self._report(options, row, f"Account {row.alias} is back in the pool; the next request may try it.")

    def test(self, options: Options) -> None:
        """Exit 1 if the test fails."""
        result = account_test_now(get_account(options["alias"]))
        if options["json"]:
            self.say_json(result.as_dict())
        else:
            self.say(result.line())
        if not result.ok:
            raise CommandError(f"Account {result.account} failed its test. {result.message}")

    def _report(self, options: Options, row: Account, text: str) -> None:
        if options["json"]:
            self.say_json(list_account(row, time.time()).as_dict())
        else:
            self.say(text)


def _age(row: Account) -> str:
    return how_long_ago(row.secret_set_at, timezone.now()) if row.secret_set_at else ""
