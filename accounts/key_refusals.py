"""What is in the way of a client key's request, and how it is told. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from accounts.key_use import ZERO, KeyLimits, Period
from backends.durations import span

HELD_SECONDS = 5.0  # what only running requests hold may be free again when one of them has ended
PATIENCE_SECONDS = 60.0  # clients that wait at all wait no longer than this
_CENT = Decimal("0.01")


class Limit(StrEnum):
    """Which limit is in the way."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is in the way of a request. Counts of requests or tokens, or US dollars.

    `held`: by running requests, on top of `used`; `asked`: what this one may use; `wait_s`: until another try.
    """

    limit: Limit
    allowed: Decimal
    used: Decimal
    held: Decimal
    asked: Decimal
    wait_s: float
    resets_at: float = 0.0  # a budget: the end of the period, in seconds since the epoch

    @property
    def left(self) -> Decimal:
        """Never negative."""
        return max(ZERO, self.allowed - self.used - self.held)

    @property
    def is_hopeless(self) -> bool:
        """Whether the request would be too large even if nothing else counted."""
        return self.asked > self.allowed


class LimitReached(Exception):
    """A client key may not do this now. The text says which limit, what is left, when, and what to do.

    Of several shortages the one that lasts longest is told.
    """

    def __init__(self, limits: KeyLimits, *shortages: Shortage) -> None:
        self.limits, self.shortage = limits, max(shortages, key=lambda found: found.wait_s)
        super().__init__(_TEXTS[self.shortage.limit](limits, self.shortage))

    @property
    def is_worth_waiting(self) -> bool:
        """Whether the same request, a little later, has a chance."""
        return not self.shortage.is_hopeless and self.shortage.wait_s <= PATIENCE_SECONDS


def dollars(amount: Decimal) -> str:
    """`$12.30`; below a dollar with as many decimals as it takes to see it."""
    digits = 2 if amount >= 1 or amount == amount.quantize(_CENT) else 4 if amount >= _CENT / 100 else 8
    return f"${amount:,.{digits}f}"


def _requests_text(limits: KeyLimits, found: Shortage) -> str:
    return (
        f"Client key {limits.name} may send {found.allowed:,} requests a minute, and has sent {found.used:,}."
        f" The next may come in {_moment(found.wait_s)}."
        f" To allow more: python manage.py keys set {limits.name} --rpm N."
    )


def _tokens_text(limits: KeyLimits, found: Shortage) -> str:
    then = "It never fits" if found.is_hopeless else f"Try again in {_moment(found.wait_s)}"
    return (
        f"Client key {limits.name} may use {found.allowed:,} tokens a minute; {found.left:,} are left, and this"
        f" request may use up to {found.asked:,} (its input, and all of the output that it allows). {then}: lower"
        f" max_tokens, or allow more with python manage.py keys set {limits.name} --tpm N."
    )


def _budget_text(limits: KeyLimits, found: Shortage) -> str:
    when = "today" if limits.period is Period.DAY else f"this {limits.period.value}"
    spent = f"{dollars(found.used)} of {dollars(found.allowed)} are spent {when}"
    held = f", running requests hold {dollars(found.held)}" if found.held else ""
    asked = f" This request may cost up to {dollars(found.asked)}." if found.asked else ""
    return (
        f"The budget of client key {limits.name} does not cover this request: {spent}{held}, {dollars(found.left)} are"
        f" left.{asked} {_then(found)} Or lower max_tokens, use a cheaper model, or raise the budget with"
        f" python manage.py keys set {limits.name} --budget AMOUNT/{limits.period.value}."
    )


def _then(found: Shortage) -> str:
    """What waiting is good for."""
    if found.wait_s <= HELD_SECONDS and not found.is_hopeless:
        return f"What they do not use comes back: try again in {_moment(found.wait_s)}."
    anew = f"{datetime.fromtimestamp(found.resets_at, UTC):%Y-%m-%d %H:%M} UTC"
    return f"The budget begins anew on {anew}{', and would not cover it then' if found.is_hopeless else ''}."


def _moment(seconds: float) -> str:
    """At least a second."""
    return span(max(1.0, seconds + 0.999))


_TEXTS: dict[Limit, Callable[[KeyLimits, Shortage], str]] = {
    Limit.REQUESTS: _requests_text,
    Limit.TOKENS: _tokens_text,
    Limit.BUDGET: _budget_text,
}
