"""What each client key has asked for, from the sums that the history keeps. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from analytics.models import RequestRecord
from analytics.usage_sums import Sums, sums


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The sums over one key's records. `refused`: those that never got as far as an upstream; they are no `requests`.

    `input_tokens` includes cache reads and writes; `cost` (US dollars) is None when nothing could be priced.
    """

    requests: int = 0
    refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    unpriced: int = 0
    last_used_at: datetime | None = None


NOT_USED = KeyUsage()


def usage_of_keys(names: Iterable[str], since: datetime) -> dict[str, KeyUsage]:
    """By name; keys without a record since then are missing."""
    wanted = set(names)
    found = {group.group[0]: group for group in sums(since, by=("key",))}
    return {name: _usage(name, found[name]) for name in sorted(wanted & found.keys())}


def _usage(name: str, used: Sums) -> KeyUsage:
    return KeyUsage(
        used.reached,
        used.rejected,
        used.input_tokens,
        used.output_tokens,
        used.spent if used.priced else None,
        used.unpriced,
        _last_used(name),
    )


def _last_used(name: str) -> datetime | None:
    """One row by its index, however many there are."""
    rows = RequestRecord.objects.filter(key=name).order_by("-started_at")
    return rows.values_list("started_at", flat=True).first()
