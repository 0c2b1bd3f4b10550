"""`manage.py backup`: the databases as one file, while the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from backends.command import PatchbayCommand
from router_site.backup import make_backup


class Command(PatchbayCommand):
    """Write a backup."""

    help = (
        "Copy the configuration and the history into one .tar.gz file, while the server runs.\n"
        "Without the master secret, its stored keys cannot be opened: keep secrets/secret_key elsewhere."
    )
    examples = ("backup", "backup /mnt/backups/", "backup monday.tar.gz --no-history")
    needs_database = False  # a copy is made of what is there; nothing is migrated before

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument(
            "path", metavar="PATH", nargs="?", help="A new file, or a directory. Default: here."
        )
        parser.add_argument("--no-history", action="store_true", help="The configuration alone.")
        parser.add_argument(
            "--with-secret",
            action="store_true",
            help="Put the master secret in as well: whoever has the file can then open every stored key.",
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it, and say what is in it."""
        path = Path(options["path"]) if options["path"] else None
        with_history, with_secret = not options["no_history"], options["with_secret"]
        done = make_backup(path, with_history=with_history, with_secret=with_secret)
        if options["json"]:
            members = sorted(done.manifest.members)
            self.say_json({"path": str(done.path), "bytes": done.size, "members": members})
            return
        what = "configuration and history" if with_history else "configuration"
        self.say(f"{what[0].upper()}{what[1:]} are in {done.path} ({done.size:,} bytes).")
        if with_secret:
            self.say_aside("It holds the master secret: whoever reads it can open every stored key.")
        else:
            self.say_aside("It does not hold the master secret. Keep a copy of secrets/secret_key elsewhere.")
