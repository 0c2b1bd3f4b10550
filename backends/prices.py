"""Prices that the operator set, ready to be asked: which one holds for a model at a backend on a day. Pure.

Rule: a price for one backend goes before one for all, a more specific glob before a less specific one, and of one
glob's prices the newest that has begun counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from backends.config import specificity_of
from backends.globs import glob_matches

MOST_ANSWERS = 4096


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens from a day (UTC) on. `backend`: lower case, "" for every backend.

    No price of cache reads or writes means the input's. No price of input or output means that what uses it is
    unpriced.
    """

    model: str
    since: date
    input: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    output: Decimal | None = None
    backend: str = ""


class PriceBook:
    """All of them, the most particular first. Answers are remembered by backend and model."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._prices = tuple(sorted(prices, key=_order))
        self._answers: dict[tuple[str, str], tuple[Price, ...]] = {}

    def __len__(self) -> int:
        return len(self._prices)

    def find(self, backend: str, model: str, day: date) -> Price | None:
        """The price that holds there on that day, or None."""
        if not self._prices:
            return None
        return next((price for price in self._fitting(backend, model) if price.since <= day), None)

    def _fitting(self, backend: str, model: str) -> tuple[Price, ...]:
        name = (backend.lower(), model.strip().lower())
        if (known := self._answers.get(name)) is not None:
            return known
        found = tuple(
            price
            for price in self._prices
            if price.backend in ("", name[0]) and glob_matches(price.model, name[1])
        )
        if len(self._answers) >= MOST_ANSWERS:
            self._answers.clear()
        self._answers[name] = found
        return found


def _order(price: Price) -> tuple[bool, tuple[int, int, str], int]:
    return (not price.backend, specificity_of(price.model), -price.since.toordinal())


NO_PRICES = PriceBook()
