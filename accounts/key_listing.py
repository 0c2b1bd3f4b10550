"""Client keys as command and admin list them: their limits, and what the ledger says they have spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from accounts.key_refusals import dollars
from accounts.key_use import DAY_SECONDS, ZERO, Period, day_name, day_number, span_of
from accounts.models import ClientKey, KeySpend


@dataclass(frozen=True, slots=True)
class ListedKey:
    """One client key in its current period, which is its budget's, else the month. `spent` in US dollars."""

    row: ClientKey
    since: datetime
    until: datetime
    spent: Decimal

    @property
    def left(self) -> Decimal | None:
        """Of the budget; None without one. What running requests hold is known to the server alone."""
        return None if self.row.budget is None else max(ZERO, self.row.budget - self.spent)

    @property
    def budget_line(self) -> str:
        """`$3.20 of $20.00 this month`; empty without a budget."""
        row = self.row
        if row.budget is None:
            return ""
        when = "today" if row.budget_period == Period.DAY else f"this {row.budget_period}"
        return f"{dollars(self.spent)} of {dollars(row.budget)} {when}"


def list_keys(rows: Iterable[ClientKey], now: datetime) -> list[ListedKey]:
    """The same keys with what they have spent."""
    listed = [(row, _span(row, now)) for row in rows]
    first = min((span.start for _, span in listed), default=0)
    days: dict[int, list[tuple[int, Decimal]]] = {}
    found = KeySpend.objects.filter(key__in=[row for row, _ in listed], period__gte=day_name(first))
    for key, day, amount in found.values_list("key_id", "period", "amount"):
        days.setdefault(key, []).append((day_number(day), amount))
    return [
        ListedKey(row, _moment(span.start), _moment(span.stop), _sum(days.get(row.pk, ()), span))
        for row, span in listed
    ]


def limits_line(row: ClientKey) -> str:
    """`60 requests/min, 100,000 tokens/min, $20.00/month`; empty for none."""
    parts: list[str] = []
    if row.requests_per_minute is not None:
        parts.append(f"{row.requests_per_minute:,} requests/min")
    if row.tokens_per_minute is not None:
        parts.append(f"{row.tokens_per_minute:,} tokens/min")
    if row.budget is not None:
        parts.append(f"{dollars(row.budget)}/{row.budget_period}")
    return ", ".join(parts)


def _span(row: ClientKey, now: datetime) -> range:
    period = Period.MONTH if row.budget is None else Period(row.budget_period)
    return span_of(period, int(now.timestamp() // DAY_SECONDS))


def _sum(days: Iterable[tuple[int, Decimal]], span: range) -> Decimal:
    return sum((amount for day, amount in days if day in span), ZERO)


def _moment(day: int) -> datetime:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC)
