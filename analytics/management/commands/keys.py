"""`manage.py keys`: the keys that tools use to call Patchbay, with what they have used.

It stands here and not beside the keys, because usage is read from the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.command import AccountsCommand
from accounts.key_listing import ListedKey, limits_line, list_keys
from accounts.key_refusals import dollars
from accounts.key_services import NONE, key_add, key_revoke, key_set, key_status
from accounts.models import ClientKey
from analytics.key_usage import NOT_USED, KeyUsage, usage_of_keys
from backends.command import Options, WrongUse, comma_list
from backends.durations import how_long_ago

ADD_EXAMPLES = (
    "keys add laptop",
    "keys add ci --models 'gpt-*,demo' --expires 90d --rpm 60 --budget 20/month",
    "keys add ci --json",
)
SET_EXAMPLES = (
    "keys set ci --rpm 120 --tpm 200000",
    "keys set ci --budget 0.50/day",
    "keys set ci --rpm none",
)
COLUMNS = (
    *("NAME", "KEY", "STATUS", "MODELS", "LIMITS", "SPENT", "REQUESTS", "TOKENS", "LAST USED", "EXPIRES"),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One key as it is listed."""

    key: ListedKey
    usage: KeyUsage

    @property
    def spent(self) -> str:
        """Of the budget by the ledger, else by the history; with what has no known price."""
        cost = self.usage.cost
        words = self.key.budget_line or ("" if cost is None else f"{dollars(cost)} this month")
        unpriced = f"{self.usage.unpriced} unpriced" if self.usage.unpriced else ""
        return " + ".join(part for part in (words, unpriced) if part)


class Command(AccountsCommand):
    """List, add, change and revoke client keys."""

    help = "The keys that tools use to call Patchbay: list, add, set, revoke."
    examples = ("keys list", "keys add laptop", "keys set laptop --budget 20/month", "keys revoke laptop")

    def add_subcommands(self, add: Callable[..., CommandParser]) -> None:
        """The command line."""
        add("list", self.list_all, "List the client keys with their usage.", ("keys list --json",))
        new = add(
            "add", self.add, "Make a client key. It is shown once, alone on the last line.", ADD_EXAMPLES
        )
        new.add_argument("name", metavar="NAME", help="Who uses it: letters, digits, . _ -")
        _add_options(new)
        change = add("set", self.change, "Change what a key may do, from the next request on.", SET_EXAMPLES)
        change.add_argument("name", metavar="NAME")
        _add_options(change, f" {NONE}: no limit.")
        revoke = add(
            "revoke",
            self.revoke,
            "Make a key useless from the next request on; what runs goes on to its end.",
            ("keys revoke laptop",),
        )
        revoke.add_argument("name", metavar="NAME")

    def list_all(self, options: Options) -> None:
        """Every key, revoked ones too."""
        now = timezone.now()
        seen = _seen(ClientKey.objects.all(), now)
        if options["json"]:
            self.say_json([_as_dict(one.key, now) | _usage_as_dict(one.usage) for one in seen])
            return
        cells = [_cells(one, now) for one in seen]
        self.say_table(COLUMNS, cells, empty="No client key: only this machine may call.")

    def add(self, options: Options) -> None:
        """Make a key and show it, this once."""
        row, key = key_add(options["name"], options["models"] or (), options["expires"], **_limits(options))
        if options["json"]:
            self.say_json({"name": row.name, "id": str(row.pk), "key": key})
            return
        limits = limits_line(row)
        self.say(
            f"Client key {row.name}{f' ({limits})' if limits else ''}. Keep it now: it is not shown again."
        )
        self.say(key)

    def change(self, options: Options) -> None:
        """Change limits, models, expiry."""
        limits = _limits(options)
        if not any(limits.values()) and options["models"] is None and not options["expires"]:
            raise WrongUse("Say what to change: --models, --expires, --rpm, --tpm or --budget.")
        row = key_set(options["name"], model_globs=options["models"], expires=options["expires"], **limits)
        if options["json"]:
            self._say_row(row)
        else:
            self.say(f"Client key {row.name}: {limits_line(row) or 'no limits'}.")

    def revoke(self, options: Options) -> None:
        """Revoke a key."""
        row = key_revoke(options["name"])
        if options["json"]:
            self._say_row(row)
        else:
            self.say(f"Client key {row.name} is revoked.")

    def _say_row(self, row: ClientKey) -> None:
        now = timezone.now()
        [listed] = list_keys([row], now)
        self.say_json(_as_dict(listed, now))


def _add_options(parser: CommandParser, more: str = "") -> None:
    """What a key may do, the same for a new one and an old one."""
    for name, metavar, text in (
        ("expires", "90d", "How long it works: 90d, 12h, 30m, 2w."),
        ("rpm", "N", "Requests a minute."),
        ("tpm", "N", "Tokens a minute, input and output."),
        ("budget", "20/month", "US dollars per day, week or month (UTC)."),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, default="", help=text + more)
    parser.add_argument(
        "--models", metavar="GLOB,…", type=comma_list, default=None, help=f"Only these models.{more}"
    )


def _limits(options: Options) -> dict[str, str]:
    return {name: options[name] for name in ("rpm", "tpm", "budget")}


def _seen(rows: Iterable[ClientKey], now: datetime) -> list[Seen]:
    """Each with its usage in its own period."""
    listed = list_keys(rows, now)
    usage: dict[str, KeyUsage] = {}
    for since in {one.since for one in listed}:
        usage |= usage_of_keys([one.row.name for one in listed if one.since == since], since)
    return [Seen(one, usage.get(one.row.name, NOT_USED)) for one in listed]


def _cells(seen: Seen, now: datetime) -> tuple[str, ...]:
    row, usage = seen.key.row, seen.usage
    return (
        row.name,
        f"{row.prefix}…",
        key_status(row, now),
        ", ".join(row.model_globs) or "every model",
        limits_line(row) or "none",
        seen.spent,
        f"{usage.requests:,}",
        f"{usage.input_tokens + usage.output_tokens:,}",
        how_long_ago(usage.last_used_at, now) if usage.last_used_at else "",
        f"{row.expires_at:%Y-%m-%d %H:%M}" if row.expires_at else "never",
    )


def _as_dict(listed: ListedKey, now: datetime) -> dict[str, object]:
    row, left = listed.row, listed.left
    has_budget = row.budget is not None
    return {
        "name": row.name,
        "id": str(row.pk),
        "prefix": row.prefix,
        "status": key_status(row, now),
        "models": row.model_globs,
        "createdAt": row.created_at.isoformat(),
        "expiresAt": row.expires_at.isoformat() if row.expires_at else None,
        "revokedAt": row.revoked_at.isoformat() if row.revoked_at else None,
        "requestsPerMinute": row.requests_per_minute,
        "tokensPerMinute": row.tokens_per_minute,
        "budget": float(row.budget) if row.budget is not None else None,
        "budgetPeriod": row.budget_period if has_budget else None,
        "budgetSpent": float(listed.spent) if has_budget else None,
        "budgetRemaining": float(left) if left is not None else None,
        "budgetResetsAt": listed.until.isoformat() if has_budget else None,
        "usageSince": listed.since.isoformat(),
    }


def _usage_as_dict(usage: KeyUsage) -> dict[str, object]:
    return {
        "requests": usage.requests,
        "refusedRequests": usage.refused,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "estimatedCost": float(usage.cost) if usage.cost is not None else None,
        "unpricedRequests": usage.unpriced,
        "lastUsedAt": usage.last_used_at.isoformat() if usage.last_used_at else None,
    }
