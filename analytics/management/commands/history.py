"""`manage.py history`: the log, live with `--follow`."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from analytics.drafts import Outcome
from analytics.models import RequestRecord
from analytics.queries import BadFilter, Follower, HistoryFilter
from analytics.rows import record_json, record_line
from backends.command import Options, PatchbayCommand, WrongUse
from backends.durations import parse_duration

FOLLOW_SECONDS = 0.5
FILTERS = ("outcome", "model", "backend", "account", "key", "session", "status")


class Command(PatchbayCommand):
    """Print the newest requests, the newest last."""

    help = "The requests that passed, newest last; --follow shows them as they come."
    examples = (
        "history --limit 20",
        "history --follow --outcome error",
        "history --json --since 1h --model opus",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--follow", action="store_true", help="Go on showing new requests until Ctrl-C.")
        parser.add_argument("--json", action="store_true", help="One JSON object per line.")
        parser.add_argument("--limit", type=int, default=50, metavar="N", help="How many at most (50).")
        parser.add_argument("--outcome", choices=[outcome.value for outcome in Outcome], default="")
        for name, text in (
            ("model", "Asked for or used."),
            ("backend", "Which backend answered."),
            ("account", "Which account was used."),
            ("key", "Name of the client key."),
            ("session", "Id of the conversation, as --json shows it."),
            ("status", "HTTP status, such as 429 or 5xx."),
        ):
            parser.add_argument(f"--{name}", default="", metavar=name.upper(), help=text)
        parser.add_argument("--since", default="", metavar="1h", help="Only the last 30m, 1h, 7d …")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, and go on printing with --follow."""
        wanted = _filter(options)
        if options["limit"] < 0:
            raise WrongUse("--limit takes 0 or more.")
        if options["follow"]:
            self._follow(Follower(wanted), options)
            return
        rows = wanted.newest(options["limit"])
        self._print(rows, options)
        if not rows and not options["json"]:
            self.say_aside("Nothing yet." if not RequestRecord.objects.exists() else "Nothing matches.")

    def _follow(self, follower: Follower, options: Options) -> None:
        """Until SIGINT or SIGTERM, either of which is a good end."""
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        self._print(follower.begin(options["limit"]), options)
        while not ended.wait(FOLLOW_SECONDS):
            self._print(follower.look(), options)

    def _print(self, rows: Iterable[RequestRecord], options: Options) -> None:
        for row in rows:
            if options["json"]:
                self.stdout.write(json.dumps(record_json(row)))
            else:
                self.say(record_line(row))
        self.stdout.flush()


def _filter(options: Options) -> HistoryFilter:
    """The filter that the options describe. Raises WrongUse."""
    since = parse_duration(options["since"])
    if options["since"] and since is None:
        raise WrongUse(f"--since {options['since']!r} is not a duration. Write 30m, 12h or 7d.")
    wanted = HistoryFilter(
        **{name: options[name] for name in FILTERS},
        since=timezone.now() - since if since else None,
    )
    try:
        wanted.rows()
    except BadFilter as exc:
        raise WrongUse(str(exc)) from exc
    return wanted
