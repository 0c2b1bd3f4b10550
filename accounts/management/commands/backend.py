"""`manage.py backend`: the services behind Patchbay."""

from __future__ import annotations

from collections.abc import Callable

from django.core.management import CommandError
from django.core.management.base import CommandParser
from django.db.models import Count

from accounts.command import AccountsCommand
from accounts.models import Account
from accounts.probes import TestResult, backend_models_now, backend_test_now
from accounts.real_tests import RealResult, real_test_now
from accounts.setup import backend_add_with_account, backend_removal, backend_remove_all
from accounts.terms import account_terms
from backends.command import Options, WrongUse, add_secret_options, comma_list
from backends.models import Backend
from backends.presets import find_preset
from backends.services import NewBackend, backend_redacts
from backends.wire.kinds import Protocol

ADD_EXAMPLES = (
    "backend add openai                        # asks for the key, hidden",
    "backend add anthropic --key-stdin < key.txt",
    "backend add ollama                        # a model server on this machine needs no key",
    "backend add work --base-url https://llm.example.com/v1 --models 'gpt-*,o3' --key-stdin < key.txt",
    "backend add openai --redact               # secrets in requests are replaced first: see docs/redaction.md",
)


REDACT_HELP = "Replace secrets and personal data before sending, by the rules of `redaction list`."


class Command(AccountsCommand):
    """Add, list, change, test and remove backends."""

    help = "The services behind Patchbay: list, add, set, remove, test, models."
    examples = ("backend list", "backend add openai", "backend test openai", "backend models openai --json")

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the backends.", ("backend list", "backend list --json"))
        self._add_arguments(add("add", self.add, "Add a backend and its first account.", ADD_EXAMPLES))
        change = add("set", self.change, "Change a backend.", ("backend set openai --redact yes",))
        change.add_argument("name", metavar="NAME")
        change.add_argument("--redact", choices=["yes", "no"], required=True, help=REDACT_HELP)
        remove = add(
            "remove",
            self.remove,
            "Remove a backend, its accounts and its place in routes.",
            ("backend remove work",),
        )
        remove.add_argument("name", metavar="NAME")
        remove.add_argument("--yes", action="store_true", help="Do not ask.")
        test = add(
            "test",
            self.test,
            "Test every account of a backend (asks for its model list; free).",
            ("backend test openai", "backend test openai --real --model gpt-4o-mini"),
        )
        test.add_argument("name", metavar="NAME")
        test.add_argument(
            "--real",
            action="store_true",
            help="Ask every account for one token of an answer, which is billed.",
        )
        test.add_argument(
            "--model", metavar="M", default="", help="For --real. Default: a small one it lists."
        )
        models = add("models", self.models, "The backend's models, asked now.", ("backend models ollama",))
        models.add_argument("name", metavar="NAME")

    def _add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="A known provider, or any name with --base-url.")
        add_secret_options(parser, "The key of the backend's first account")
        parser.add_argument(
            "--base-url", metavar="URL", default="", help="Where it is; an OpenAI base ends in its version."
        )
        parser.add_argument("--protocol", choices=[protocol.value for protocol in Protocol], default="")
        parser.add_argument(
            "--models", metavar="GLOB,…", type=comma_list, default=(), help="Only these models."
        )
        parser.add_argument(
            "--responses", choices=["yes", "no"], help="Whether an OpenAI backend speaks /responses."
        )
        parser.add_argument("--redact", action="store_true", help=REDACT_HELP)

    def list_all(self, options: Options) -> None:
        """Every backend, enabled or not."""
        rows = Backend.objects.annotate(
            account_count=Count("accounts", distinct=True), model_count=Count("catalog", distinct=True)
        )
        if options["json"]:
            self.say_json([_as_dict(row, row.account_count, row.model_count) for row in rows])
            return
        cells = [
            (
                row.name,
                row.protocol,
                row.base_url,
                row.account_count,
                row.model_count,
                "yes" if row.redacts else "no",
                "yes" if row.is_enabled else "no",
            )
            for row in rows
        ]
        columns = ("NAME", "PROTOCOL", "BASE URL", "ACCOUNTS", "MODELS", "REDACTS", "ENABLED")
        self.say_table(columns, cells, empty="No backend yet. Add one: python manage.py backend add NAME")

    def add(self, options: Options) -> None:
        """Create the backend and its first account."""
        new = NewBackend(
            name=options["name"],
            base_url=options["base_url"],
            protocol=options["protocol"],
            model_globs=options["models"],
            responses={"yes": True, "no": False, None: None}[options["responses"]],
            redacts=options["redact"],
        )
        account = backend_add_with_account(new, self.read_secret(options, prompt=_prompt(new)))
        if notice := account_terms(account):
            self.say_aside(notice)
        if options["json"]:
            self.say_json(
                _as_dict(account.backend, 1, 0) | {"account": account.alias, "accountKind": account.kind}
            )
            return
        self.say(
            f"Backend {account.backend.name} ({account.backend.base_url}) is ready, with account {account.alias}."
        )
        if account.kind == Account.NONE and needs_key(new):
            self.say_aside(
                "It has no key, so the provider will refuse requests. Remove it and add it with --key-stdin."
            )
        self.say(f"Next: python manage.py backend test {account.backend.name}")

    def change(self, options: Options) -> None:
        """Turn redaction on or off."""
        row = backend_redacts(options["name"], options["redact"] == "yes")
        if options["json"]:
            self.say_json({"name": row.name, "redacts": row.redacts})
        else:
            told = "are redacted from now on" if row.redacts else "are sent as they are"
            self.say(f"Requests to {row.name} {told}.")

    def remove(self, options: Options) -> None:
        """Delete a backend after saying what goes with it."""
        question = f"{backend_removal(options['name']).line()} will be removed. Go on?"
        if not self.confirm(options, question):
            raise CommandError("Nothing was removed.")
        removal = backend_remove_all(options["name"])
        if options["json"]:
            self.say_json(
                {"removed": removal.backend, "accounts": removal.accounts, "routes": removal.routes}
            )
        else:
            self.say(f"{removal.line()} was removed.")

    def test(self, options: Options) -> None:
        """Exit 1 if any account fails."""
        if options["model"] and not options["real"]:
            raise WrongUse("--model is for --real; the free test asks for no model")
        results: list[TestResult] | list[RealResult] = (
            real_test_now(options["name"], options["model"])
            if options["real"]
            else backend_test_now(options["name"])
        )
        if options["json"]:
            self.say_json([result.as_dict() for result in results])
        else:
            for result in results:
                self.say(result.line())
        if failed := [result.account for result in results if not result.ok]:
            raise CommandError(f"{len(failed)} of {len(results)} accounts failed: {', '.join(failed)}.")

    def models(self, options: Options) -> None:
        """The live list; it also becomes the stored catalog."""
        entries = backend_models_now(options["name"])
        if options["json"]:
            self.say_json(
                [
                    {
                        "id": entry.model,
                        "displayName": entry.display_name or None,
                        "contextTokens": entry.context,
                    }
                    for entry in entries
                ]
            )
            return
        cells = [(entry.model, entry.display_name, entry.context or "") for entry in entries]
        self.say_table(("MODEL", "NAME", "CONTEXT"), cells, empty="The backend lists no models.")


def needs_key(new: NewBackend) -> bool:
    """Whether a known provider is meant that does not answer without a key."""
    found = find_preset(new.name)
    return found is not None and found[1].needs_key and not new.base_url


def _prompt(new: NewBackend) -> str:
    return f"Key for {new.name} (input is hidden; empty: none): " if needs_key(new) else ""


def _as_dict(row: Backend, accounts: int, models: int) -> dict[str, object]:
    return {
        "name": row.name,
        "protocol": row.protocol,
        "baseUrl": row.base_url,
        "responses": row.speaks_responses,
        "modelGlobs": row.model_globs,
        "redacts": row.redacts,
        "enabled": row.is_enabled,
        "accounts": accounts,
        "models": models,
    }
