"""`manage.py ask`: one prompt through the whole path, to the running server."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from backends.command import MAX_STDIN, Options, PatchbayCommand, WrongUse
from backends.online import run_online
from backends.own_url import own_url
from proxyapp.asking import DIALECTS, AskError, Question, ask


class Command(PatchbayCommand):
    """Ask one question and print the answer as it streams."""

    help = "Ask a model one question through the running server; the answer streams to the terminal."
    examples = (
        "ask 'hello' --model demo",
        "ask 'hello' --model opus --protocol anthropic --no-stream",
        "ask 'hello' --model demo --key-stdin < client-key.txt",
    )
    failures = (*PatchbayCommand.failures, AskError)
    needs_database = False

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("prompt", metavar="PROMPT")
        parser.add_argument("--model", required=True, metavar="MODEL")
        parser.add_argument(
            "--protocol", choices=list(DIALECTS), default="openai", help="Which API to use (openai)."
        )
        parser.add_argument("--no-stream", action="store_true", help="Wait for the whole answer.")
        parser.add_argument(
            "--url", metavar="URL", help="Where the server is, if not where the settings say."
        )
        parser.add_argument(
            "--key-stdin",
            action="store_true",
            help="Read the client key from standard input. Else PATCHBAY_CLIENT_KEY or PATCHBAY_API_KEY is used.",
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """The text goes to stdout, who answered to stderr."""
        question = Question(
            text=options["prompt"],
            model=options["model"],
            dialect=options["protocol"],
            url=(options["url"] or own_url()).rstrip("/").removesuffix("/v1"),
            stream=not options["no_stream"],
            key=_client_key(options),
        )
        reply = run_online(ask(question, (lambda _: None) if options["json"] else self._show))
        if options["json"]:
            self.say_json(reply.as_dict())
            return
        self.stdout.write("")
        self.say_aside(reply.line())

    def _show(self, piece: str) -> None:
        """Text keeps its line ends; what else could move the cursor is escaped."""
        safe = "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in piece)
        self.stdout.write(safe, ending="")
        self.stdout.flush()


def _client_key(options: Options) -> str:
    if not options["key_stdin"]:
        return os.environ.get("PATCHBAY_CLIENT_KEY") or settings.PATCHBAY_API_KEY or ""
    key = sys.stdin.read(MAX_STDIN).strip()
    if not key.isascii() or not key.isprintable() or not key:
        raise WrongUse("--key-stdin: there is no key on standard input.")
    return key
