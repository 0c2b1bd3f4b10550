"""`manage.py recost`: the costs of the history anew, by the prices that are known now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from analytics.recost import Recost, Scope, recost
from analytics.rows import dollars
from backends.command import Options, PatchbayCommand, WrongUse
from backends.price_services import load_prices

SHOWN = 20  # models


class Command(PatchbayCommand):
    """Price recorded requests again, and correct the sums."""

    help = "Price recorded requests again, by the prices that are known now (the admin's, then the price list's)."
    examples = (
        "recost --dry-run",
        "recost --since 2026-11-01",
        "recost --model 'llama3*' --since 2026-11-01",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--since", default="", metavar="DATE", help="From this day on (UTC).")
        parser.add_argument("--until", default="", metavar="DATE", help="To the end of this day (UTC).")
        parser.add_argument("--model", default="", metavar="GLOB", help="Only models that this names.")
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; say what would change.")
        parser.add_argument("--json", action="store_true", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, or say what it would do."""
        result = recost(_scope(options), load_prices(), dry_run=options["dry_run"])
        if options["json"]:
            self.say_json(_as_dict(result, dry_run=options["dry_run"]))
            return
        done = "would change" if options["dry_run"] else "changed"
        self.say(f"{result.changed:,} of {result.seen:,} requests with usage {done}.")
        if result.changed:
            self._say_changes(result)

    def _say_changes(self, result: Recost) -> None:
        self.say(f"Their cost: {dollars(result.before)} before, {dollars(result.after)} now.")
        self.say(f"Priced now that were not: {result.now_priced:,}; the other way: {result.now_unpriced:,}.")
        for model, count in result.models.most_common(SHOWN):
            self.say(f"  {model}: {count:,}")
        if (left := len(result.models) - SHOWN) > 0:
            self.say(f"  and {left:,} more models")


def _scope(options: Options) -> Scope:
    since, until = _day(options, "since"), _day(options, "until")
    if until is not None:
        until += timedelta(days=1)
    if since and until and since >= until:
        raise WrongUse("--until lies before --since.")
    return Scope(since, until, options["model"].strip())


def _day(options: Options, name: str) -> datetime | None:
    """The beginning of the day that an option names. Raises WrongUse."""
    if not options[name]:
        return None
    try:
        return datetime.strptime(options[name], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as exc:
        raise WrongUse(f"--{name} {options[name]!r} is not a day. Write 2026-11-01.") from exc


def _as_dict(result: Recost, *, dry_run: bool) -> dict[str, object]:
    return {
        "dryRun": dry_run,
        "requests": result.seen,
        "changed": result.changed,
        "nowPriced": result.now_priced,
        "nowUnpriced": result.now_unpriced,
        "costBefore": float(result.before),
        "costAfter": float(result.after),
        "models": dict(result.models.most_common()),
    }
