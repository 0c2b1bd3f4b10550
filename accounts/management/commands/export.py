"""`manage.py export`: Patchbay's own configuration as JSON, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management import CommandError
from django.core.management.base import CommandParser

from accounts.command import AccountsCommand
from accounts.export import export_text
from backends.command import PatchbayCommand
from backends.private_files import whole_file


class Command(PatchbayCommand):
    """Write the configuration to standard output, or to a file."""

    help = (
        "Write the configuration as JSON, for `import` and for version control: backends, accounts,\n"
        "routes, templates, redaction rules, client keys and OAuth providers, sorted, without any secret."
    )
    examples = ("export > patchbay.json", "export --output patchbay.json")
    failures = AccountsCommand.failures

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--output", metavar="FILE", help="Write it there, whole or not at all.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it."""
        text = export_text()
        if options["output"] is None:
            self.stdout.write(text, ending="")
            return
        path = Path(options["output"]).expanduser()
        try:
            with whole_file(path) as file:
                file.write(text.encode())
        except OSError as exc:
            raise CommandError(f"{path} cannot be written ({exc.strerror}). Choose another file.") from exc
        self.say(f"The configuration is in {path}. It holds no secret.")
