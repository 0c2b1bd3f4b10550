"""`manage.py accounts`: the operator's credentials at the backends."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import CommandError
from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.command import AccountsCommand
from accounts.models import Account
from accounts.probes import account_test_now
from accounts.services import account_add, account_remove, account_set_paused, account_status, get_account
from accounts.setup import default_backend
from backends.command import Options, WrongUse, add_secret_options
from backends.durations import how_long_ago
from backends.presets import PRESETS
from backends.services import get_backend

ADD_EXAMPLES = (
    "accounts add work --backend anthropic     # asks for the key, hidden",
    "accounts add work --backend openai --key-stdin < key.txt",
)


class Command(AccountsCommand):
    """List, add, remove, pause, resume and test accounts."""

    help = "Your credentials at the backends: list, add, remove, pause, resume, test."
    examples = ("accounts list", "accounts add work --backend anthropic", "accounts pause work")

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the accounts.", ("accounts list", "accounts list --json"))
        new = add("add", self.add, "Add an account to a backend's pool.", ADD_EXAMPLES)
        new.add_argument("alias", metavar="ALIAS", help="A name of your own: letters, digits, . _ -")
        new.add_argument("--backend", metavar="BACKEND", help="Default: anthropic, else the only backend.")
        add_secret_options(new, "The key")
        for name, run, text in (
            ("remove", self.remove, "Remove an account and its stored key."),
            ("pause", self.pause, "Take an account out of the pool; what runs on it ends normally."),
            ("resume", self.resume, "Put a paused account back into the pool."),
            ("test", self.test, "Test an account (asks for the model list; free)."),
        ):
            add(name, run, text, (f"accounts {name} work",)).add_argument("alias", metavar="ALIAS")

    def list_all(self, options: Options) -> None:
        """Every account, by backend."""
        rows = Account.objects.select_related("backend").order_by("backend__name", "alias")
        if options["json"]:
            self.say_json([_as_dict(row) for row in rows])
            return
        cells = [
            (row.alias, row.backend.name, row.kind, account_status(row), row.secret_hint, _age(row))
            for row in rows
        ]
        columns = ("ALIAS", "BACKEND", "KIND", "STATUS", "KEY", "SET")
        self.say_table(columns, cells, empty="No account yet. A backend brings its first: backend add NAME")

    def add(self, options: Options) -> None:
        """Create an account; without a key it is one for a server that needs none."""
        backend = get_backend(options["backend"]) if options["backend"] else default_backend()
        needs_key = backend.preset in PRESETS and PRESETS[backend.preset].needs_key
        prompt = f"Key for {backend.name} (input is hidden; empty: none): "
        secret = self.read_secret(options, prompt=prompt)
        if secret is None and needs_key:
            raise WrongUse(f"{backend.name} needs a key: give it with --key-stdin.")
        row = account_add(options["alias"], backend, secret)
        self._report(options, row, f"Account {row.alias} is in the pool of {backend.name}.")

    def remove(self, options: Options) -> None:
        """Delete the account and its stored key."""
        account_remove(options["alias"])
        if options["json"]:
            self.say_json({"removed": options["alias"]})
        else:
            self.say(f"Account {options['alias']} and its stored key were removed.")

    def pause(self, options: Options) -> None:
        """Out of the pool."""
        row = account_set_paused(options["alias"], True)
        self._report(options, row, f"Account {row.alias} is paused.")

    def resume(self, options: Options) -> None:
        """Back into the pool."""
        row = account_set_paused(options["alias"], False)
        self._report(options, row, f"Account {row.alias} is back in the pool.")

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
            self.say_json(_as_dict(row))
        else:
            self.say(text)


def _as_dict(row: Account) -> dict[str, object]:
    return {
        "alias": row.alias,
        "backend": row.backend.name,
        "kind": row.kind,
        "status": account_status(row),
        "keyHint": row.secret_hint or None,
        "createdAt": row.created_at.isoformat(),
    }


def _age(row: Account) -> str:
    return how_long_ago(row.secret_set_at, timezone.now()) if row.secret_set_at else ""
