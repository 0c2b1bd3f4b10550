"""`manage.py discover`: what is on this machine and could be a backend."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.discover import Find, count_of_models, find_all, list_models, take
from accounts.models import Account
from accounts.terms import is_subscription_token, terms_notice
from backends.command import Options, PatchbayCommand, comma_list, printable
from backends.discovery import USUAL_PORTS
from backends.services import ServiceError
from backends.wire.kinds import Protocol


def port_list(text: str) -> tuple[int, ...]:
    """`11434,1234` as numbers: the type of `--ports`."""
    parts = comma_list(text)
    if not parts or not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 65535 for part in parts):
        raise ArgumentTypeError(f"{text!r} is no list of ports. Write 11434,1234.")
    return tuple(int(part) for part in parts)


class Command(PatchbayCommand):
    """Find, show, ask for each, add."""

    help = (
        "Find provider keys in the environment and model servers on this machine (Ollama, LM Studio, vLLM,\n"
        "llama.cpp, LiteLLM), and offer each as a backend. Without a terminal and without --yes it only\n"
        "shows them."
    )
    examples = ("discover", "discover --yes", "discover --ports 8000,9000 --json")
    failures = AccountsCommand.failures

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        usual = ",".join(str(port) for port in USUAL_PORTS.values())
        parser.add_argument("--yes", action="store_true", help="Add all that is found.")
        parser.add_argument(
            "--ports",
            metavar="PORT,…",
            type=port_list,
            help=f"Look at these loopback ports. Default: {usual}.",
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON; asks nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show every find; add those that are wanted."""
        finds = find_all(os.environ, options["ports"])
        if not options["json"]:
            self._show(finds)
        added: dict[str, str] = {}  # the find's source → the backend
        problems: dict[str, str] = {}
        for find in finds:
            if find.is_offered and self._is_wanted(find, options):
                try:
                    added[find.source] = take(find).backend.name
                except ServiceError as exc:
                    problems[find.source] = str(exc)
        counts = list_models([added[find.source] for find in finds if _is_to_ask(find, added)])
        if options["json"]:
            self.say_json([_as_dict(find, added, problems, counts) for find in finds])
        else:
            self._report(finds, added, problems, counts, options)

    def _show(self, finds: list[Find]) -> None:
        for find in finds:
            self.say(f"{'=' if find.exists else '!' if find.problem else '?'} {find.line()}")
        if not finds:
            self.say_aside(
                "Nothing was found: no provider key in the environment, no model server on the usual ports. Add a"
                " backend: python manage.py backend add NAME"
            )

    def _is_wanted(self, find: Find, options: Options) -> bool:
        if options["yes"]:
            self._say_terms(find)
            return True
        if options["json"] or not self.is_interactive:
            return False
        self._say_terms(find)
        question = f"Add backend {find.name} with what {find.source} gives? [y/N] "
        return input(printable(question)).strip().lower() in {"y", "yes"}

    def _say_terms(self, find: Find) -> None:
        if find.protocol is Protocol.ANTHROPIC and is_subscription_token(find.key):
            self.say_aside(terms_notice(Account.OAUTH, is_anthropic=True))

    def _report(
        self,
        finds: list[Find],
        added: dict[str, str],
        problems: dict[str, str],
        counts: dict[str, int | str],
        options: Options,
    ) -> None:
        for find in finds:
            if find.source in added:
                self.say(f"+ backend {added[find.source]}: {_models(find, counts.get(added[find.source]))}")
            elif find.source in problems:
                self.say_aside(f"! {find.source} was not added: {problems[find.source]}")
        if (
            not added
            and any(find.is_offered for find in finds)
            and not self.is_interactive
            and not options["yes"]
        ):
            self.say("Nothing was changed. To add what is marked with ?: python manage.py discover --yes")


def _is_to_ask(find: Find, added: dict[str, str]) -> bool:
    """Whether a new backend's models are not known yet."""
    return find.source in added and find.models is None


def _models(find: Find, answer: int | str | None) -> str:
    if isinstance(answer, str):
        return f"its model list could not be read. {answer}"
    return count_of_models(answer if answer is not None else find.models or 0)


def _as_dict(
    find: Find, added: dict[str, str], problems: dict[str, str], counts: dict[str, int | str]
) -> dict[str, object]:
    answer = counts.get(added.get(find.source, ""))
    return find.as_dict() | {
        "added": find.source in added,
        "models": answer if isinstance(answer, int) else find.models,
        "problem": problems.get(find.source) or (answer if isinstance(answer, str) else find.problem) or None,
    }
