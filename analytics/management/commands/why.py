"""`manage.py why ID`: why a request went where it went."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from analytics.queries import attempts_of, find_record, newest_record
from analytics.why import story, why_json
from backends.command import PatchbayCommand
from backends.services import ServiceError

EMPTY = "The history is empty. Send a request first."


class Command(PatchbayCommand):
    """Tell what is known of one request."""

    help = "Why a request went where it went: rule, candidates, attempts, waits, changes, tokens and cost."
    examples = ("why req_0123456789abcdef01234567", "why --last", "why --last --json")

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "id", nargs="?", metavar="ID", help="What the header x-patchbay-request-id said, in full."
        )
        which.add_argument("--last", action="store_true", help="The request that began last.")
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it. Raises ServiceError when there is no such request."""
        row = newest_record() if options["last"] else find_record(options["id"])
        if row is None:
            raise ServiceError(EMPTY if options["last"] else _absent(options["id"]))
        attempts = attempts_of(row)
        if options["json"]:
            self.say_json(why_json(row, attempts))
            return
        self.say(row.id)
        for section in story(row, attempts):
            self.say(section.title)
            for line in section.lines:
                self.say(f"    {line}" if line.startswith("- ") else f"  {line}")


def _absent(id_: str) -> str:
    return (
        f"No request {id_.strip()[:80]!r} in the history. A row is written when its request has ended;"
        " `python manage.py history` lists the newest ids."
    )
