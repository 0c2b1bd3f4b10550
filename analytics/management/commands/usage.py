"""`manage.py usage`: what was asked lately, what it cost, and how long the quotas last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from analytics.figures import cost_of, count, duration, money, percent, unpriced_note
from analytics.forecasting.stored import Foretold, foretold, pool_minutes_left
from analytics.forecasting.words import words_of
from analytics.summary import MOST_MINUTES, Burn, Groups, Summary, burn, session_groups, window_summary
from analytics.summary_json import burn_json, groups_json, window_json
from analytics.usage_sums import Sums
from backends.command import PatchbayCommand, WrongUse
from backends.durations import span

BY = ("model", "account", "backend", "key", "session")
COLUMNS = ("REQUESTS", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST", "MEAN TIME")
QUOTAS = ("ACCOUNT", "WINDOW", "USED", "LATELY", "FORECAST", "RESETS")


class Command(PatchbayCommand):
    """Print sums, one table, and forecasts."""

    help = "What was asked lately, what it cost, and how long the quotas last."
    examples = ("usage", "usage --minutes 1440 --by account", "usage --json")

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--minutes", type=int, default=60, metavar="N", help="The last N minutes (60).")
        parser.add_argument("--by", choices=BY, default="model", help="One line each (model).")
        parser.add_argument("--json", action="store_true", help="Answer in JSON, with every grouping.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, and print."""
        minutes, now = options["minutes"], timezone.now()
        if not 1 <= minutes <= MOST_MINUTES:
            raise WrongUse(f"--minutes takes 1 to {MOST_MINUTES} (a year).")
        summary = window_summary(minutes, now)
        rates, quotas = burn(now, summary), foretold(now)
        left = pool_minutes_left(quotas, now)
        if options["json"]:
            by_session = session_groups(minutes, now) if options["by"] == "session" else None
            self.say_json(_as_dict(summary, rates, quotas, left, by_session, now))
            return
        for line in (*_totals(summary), *_rates(rates, left)):
            self.say(line)
        self._say_groups(options["by"], summary, now)
        self._say_quotas(quotas, now)

    def _say_groups(self, by: str, summary: Summary, now: datetime) -> None:
        groups = session_groups(summary.minutes, now) if by == "session" else summary.groups[by]  # type: ignore[index]  # one of BY
        if groups:
            self.say("")
            self.say_table((by.upper(), *COLUMNS), list(_cells(groups)), empty="")

    def _say_quotas(self, quotas: list[Foretold], now: datetime) -> None:
        if quotas:
            told = [words_of(found, now) for found in quotas]
            rows = [(w.account, w.name, w.used, w.burn, w.outlook, w.resets) for w in told]
            self.say("")
            self.say_table(QUOTAS, rows, empty="")


def _totals(summary: Summary) -> Iterator[str]:
    """The span in four lines."""
    totals = summary.totals
    found = totals.sums
    aside = [f"{found.errors:,} failed", f"{found.rejected:,} rejected"]
    yield f"The last {span(60.0 * summary.minutes)}: {found.requests:,} requests, {', '.join(aside)}"
    cached = f" ({percent(found.cache_ratio)} from caches)" if found.cache_read_tokens else ""
    yield f"Tokens   {count(found.input_tokens)} in{cached}, {count(found.output_tokens)} out"
    yield f"Cost     {_cost(found)}"
    if found.reached:
        middle, slow = duration(totals.p50_ms), duration(totals.p99_ms)
        first = f", first content after {duration(found.mean_ttft_ms)}" if found.ttft_count else ""
        yield f"Time     half within {middle}, 99 % within {slow}{first}"


def _cost(found: Sums) -> str:
    return f"{cost_of(found)} {unpriced_note(found)}".strip()


def _rates(rates: Burn, left: float | None) -> Iterator[str]:
    tokens, dollars = rates.tokens_per_minute, rates.dollars_per_hour
    if tokens:
        cost = f", {money(dollars)} an hour" if dollars is not None else ""
        yield f"Lately   {count(tokens)} tokens a minute{cost}"
    if left is not None:
        yield f"Quotas   the first pool is spent in {span(left * 60)}, if it goes on like this"


def _cells(groups: Groups) -> Iterator[tuple[str, ...]]:
    for name, found in groups.items():
        yield (
            name,
            f"{found.requests:,}",
            f"{found.errors:,}",
            count(found.input_tokens),
            percent(found.cache_ratio),
            count(found.output_tokens),
            _cost(found),
            duration(found.mean_ms or None),
        )


def _as_dict(
    summary: Summary,
    rates: Burn,
    quotas: list[Foretold],
    left: float | None,
    sessions: Groups | None,
    now: datetime,
) -> dict[str, object]:
    """As `/analytics`, without what only the running server knows."""
    window = window_json(summary, {})
    del window["claimBreakdown"]
    predictions: dict[str, dict[str, object]] = {}
    for found in quotas:
        predictions.setdefault(found.account, {})[found.name] = found.as_dict(now)
    exhaustion = {"estimatedExhaustionMinutes": None if left is None else round(left, 1)}
    groups = {f"per{name.capitalize()}": groups_json(one) for name, one in summary.groups.items()}
    by_session = {} if sessions is None else {"perSession": groups_json(sessions)}
    return {
        "window": window,
        **groups,
        **by_session,
        "predictions": predictions | burn_json(rates) | exhaustion,
    }
