"""`manage.py prune`: let go of old history now, instead of within the hour."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from analytics.bodies.budget import used_bytes
from analytics.history_file import file_bytes, rewrite_file
from analytics.retention import Limits, due, over_size, prune
from backends.command import PatchbayCommand, WrongUse


class Command(PatchbayCommand):
    """Show what is over the limits; with --yes, delete it."""

    help = "Old records, bodies and what stands beside them: shows what would go, and with --yes lets it go."
    examples = ("prune", "prune --days 30 --yes", "prune --bodies --yes", "prune --vacuum --yes")

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        days = "Keep records of the last N days (PATCHBAY_HISTORY_DAYS)."
        parser.add_argument("--days", type=int, metavar="N", help=days)
        parser.add_argument("--bodies", action="store_true", help="All bodies, however new.")
        vacuum = "Rewrite the file without gaps. Takes as much room again, and nothing is recorded meanwhile."
        parser.add_argument("--vacuum", action="store_true", help=vacuum)
        parser.add_argument("--yes", action="store_true", help="Do it.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show, or do."""
        if options["days"] is not None and options["days"] < 0:
            raise WrongUse("--days takes 0 or more.")
        limits = Limits.from_settings(days=options["days"], bodies=not options["bodies"])
        if not options["yes"]:
            self._show(limits, vacuum=options["vacuum"])
            return
        gone = list(prune(limits, timezone.now()).lines())
        self.say(f"Gone: {', '.join(gone)}." if gone else "Nothing was over the limits.")
        if options["vacuum"]:
            rewrite_file()
            self.say(f"The file was rewritten{_size(file_bytes())}.")

    def _show(self, limits: Limits, *, vacuum: bool) -> None:
        lines = list(due(limits, timezone.now()).lines())
        if excess := over_size(limits):
            lines.append(f"the oldest records that take {_megabytes(excess)}")
        if limits.body_bytes and (excess := used_bytes() - limits.body_bytes) > 0:
            lines.append(f"the oldest bodies that take {_megabytes(excess)}")
        if vacuum:
            lines.append(f"the gaps in the file{_size(file_bytes())}")
        self.say(f"Would go: {', '.join(lines)}." if lines else "Nothing is over the limits.")
        if lines:
            self.say_aside("Run it with --yes to do so.")


def _size(count: int | None) -> str:
    return "" if count is None else f", {_megabytes(count)} are in use"


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
