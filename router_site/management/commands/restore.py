"""`manage.py restore`: a backup in the place of the databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management import CommandError
from django.core.management.base import CommandParser

from backends.command import PatchbayCommand, WrongUse
from router_site.archive import SECRET, Manifest
from router_site.restore import restore


class Command(PatchbayCommand):
    """Restore a backup."""

    help = (
        "Check a backup and put it in the place of the databases, whole or not at all. The server must not run.\n"
        "What is replaced is kept in a directory beside it."
    )
    examples = ("restore patchbay-20261122T153000Z.tar.gz", "restore monday.tar.gz --yes")
    needs_database = False  # what is there may be broken

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("path", metavar="PATH", help="What `backup` wrote.")
        parser.add_argument("--yes", action="store_true", help="Replace the databases of this home.")
        parser.add_argument(
            "--any-secret",
            action="store_true",
            help="Also with another master secret: the stored keys must then be set again.",
        )
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit 1 when nothing was restored, 2 when --yes is missing."""

        def may_replace(manifest: Manifest, old: list[Path]) -> bool:
            if not options["yes"] and not self.is_interactive:
                raise WrongUse(f"This replaces {' and '.join(map(str, old))}. If that is meant, add --yes.")
            return self.confirm(options, f"Replace {len(old)} databases by those of {manifest.created_at}?")

        done = restore(Path(options["path"]), may_replace, any_secret=options["any_secret"])
        if done is None:
            raise CommandError("Nothing was changed.")
        members = sorted(done.manifest.members)
        kept = str(done.kept) if done.kept else None
        if options["json"]:
            self.say_json({"created": done.manifest.created_at, "members": members, "kept": kept})
            return
        self.say(f"Restored {', '.join(members)} of {done.manifest.created_at}.")
        if kept:
            self.say(f"What was replaced is in {kept}. Delete it when all is well.")
        if SECRET in members:
            self.say_aside(
                "The backup's master secret is in force; the one of this home still opens its own data."
            )
        self.say_aside("An OAuth login that was renewed since may need `login` again.")
