"""`manage.py history`: the log, live with `--follow`."""

from __future__ import annotations

import json
import signal
import threading
from argparse import BooleanOptionalAction
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from analytics.drafts import Outcome
from analytics.export_history import FORMATS, matching, write_whole
from analytics.models import RequestRecord
from analytics.queries import BadFilter, Follower, HistoryFilter
from analytics.rows import record_json, record_line
from backends.command import Options, PatchbayCommand, WrongUse
from backends.durations import parse_duration

FOLLOW_SECONDS = 0.5
FILTERS = {
    "model": "Asked for or used.",
    "backend": "Which backend answered.",
    "account": "Which account was used.",
    "key": "Name of the client key.",
    "session": "Id of the conversation, as --json shows it.",
    "agent": "Id of the agent within the conversation.",
    "client": "A part of the user agent.",
    "kind": "messages, chat, responses, embeddings, …",
    "lane": "direct or translated.",
    "status": "HTTP status, such as 429 or 5xx.",
    "alarm": "Something that should not be, such as zero_usage; any: whatever it is.",
    "text": "A part of an error, or words of a body that was kept.",
}


class Command(PatchbayCommand):
    """Print the newest requests, the newest last."""

    help = "The requests that passed, newest last; --follow shows them as they come."
    examples = (
        "history --limit 20",
        "history --follow --outcome error",
        "history --json --since 1h --model opus",
        "history --export csv --since 30d --output requests.csv",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--follow", action="store_true", help="Go on showing new requests until Ctrl-C.")
        parser.add_argument("--json", action="store_true", help="One JSON object per line.")
        parser.add_argument(
            "--export", choices=sorted(FORMATS), help="All that match, newest first, as this."
        )
        parser.add_argument("--output", metavar="FILE", help="Write the export there, whole or not at all.")
        many = "How many at most (50; an export has no limit)."
        parser.add_argument("--limit", type=int, metavar="N", help=many)
        parser.add_argument("--outcome", choices=[outcome.value for outcome in Outcome], default="")
        for name, text in FILTERS.items():
            parser.add_argument(f"--{name}", default="", metavar=name.upper(), help=text)
        slow = "Only those that took this long or longer."
        parser.add_argument("--min-ms", type=float, metavar="MS", help=slow)
        parser.add_argument(
            "--stream", action=BooleanOptionalAction, help="Only streams, or only the others."
        )
        parser.add_argument("--until", default="", metavar="2h", help="Only those from before 2h, 7d … ago.")
        parser.add_argument("--since", default="", metavar="1h", help="Only the last 30m, 1h, 7d …")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, and go on printing with --follow."""
        wanted = _filter(options)
        if (options["limit"] or 0) < 0:
            raise WrongUse("--limit takes 0 or more.")
        if options["export"]:
            self._export(wanted, options)
            return
        if options["output"]:
            raise WrongUse("--output is for --export jsonl, csv or har.")
        options["limit"] = 50 if options["limit"] is None else options["limit"]
        if options["follow"]:
            self._follow(Follower(wanted), options)
            return
        rows = wanted.newest(options["limit"])
        self._print(rows, options)
        if not rows and not options["json"]:
            self.say_aside("Nothing yet." if not RequestRecord.objects.exists() else "Nothing matches.")

    def _export(self, wanted: HistoryFilter, options: Options) -> None:
        """To standard output, or to a file that only its owner can read."""
        if options["follow"] or options["json"]:
            raise WrongUse("--export goes without --follow and --json.")
        parts = FORMATS[options["export"]](matching(wanted, options["limit"]))
        if options["output"] is None:
            for part in parts:
                self.stdout.write(part, ending="")
            return
        path = Path(options["output"]).expanduser()
        try:
            write_whole(path, parts)
        except OSError as exc:
            raise CommandError(f"{path} cannot be written ({exc.strerror}). Choose another file.") from exc
        self.say(f"The requests are in {path}. They may hold what users wrote: share it with care.")

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
    wanted = HistoryFilter(
        **{name: options[name] for name in ("outcome", *FILTERS)},
        since=_ago("since", options),
        until=_ago("until", options),
        stream=options["stream"],
        min_duration_ms=options["min_ms"],
    )
    try:
        wanted.rows()
    except BadFilter as exc:
        raise WrongUse(str(exc)) from exc
    return wanted


def _ago(name: str, options: Options) -> datetime | None:
    """The moment that `--since 1h` means. Raises WrongUse."""
    if not options[name]:
        return None
    duration = parse_duration(options[name])
    if duration is None:
        raise WrongUse(f"--{name} {options[name]!r} is not a duration. Write 30m, 12h or 7d.")
    return timezone.now() - duration
