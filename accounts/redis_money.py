"""Money that accounts have used, counted by all processes together.

Rule: Redis adds up. This process tells it each amount once, in numbered batches; a batch whose answer got lost is
told again and counts once. What the process shows is the last total it heard and what it has not told yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from accounts.pool_state import ZERO, AccountState

UNITS = Decimal(100_000_000)  # of one US dollar: Redis counts whole numbers
Account = tuple[str, str]  # (period, uid)


def to_units(amount: Decimal) -> int:
    """US dollars in whole units."""
    return int((amount * UNITS).to_integral_value(ROUND_HALF_UP))


def to_dollars(units: int) -> Decimal:
    """Whole units in US dollars."""
    return Decimal(units) / UNITS


@dataclass
class Money:
    """`totals` as last heard, in units; `untold` what came since, `telling` the batch that is under way."""

    totals: dict[Account, int] = field(default_factory=dict)
    untold: Counter[Account] = field(default_factory=Counter)
    telling: Counter[Account] = field(default_factory=Counter)
    number: int = 0
    touched: set[Account] = field(default_factory=set)  # told since the last beat, which announces the totals
    is_under_way: bool = False

    def spend(self, period: str, uid: str, amount: Decimal) -> None:
        """This process spent."""
        self.untold[period, uid] += to_units(amount)

    def batch(self) -> tuple[object, ...] | None:
        """The operation that tells what is untold; None when there is nothing, or one is under way."""
        if self.is_under_way:
            return None
        if not self.telling:
            if not self.untold:
                return None
            self.telling, self.untold, self.number = self.untold, Counter(), self.number + 1
        self.is_under_way = True
        return ("spend", self.number, [(*account, units) for account, units in self.telling.items()])

    def told(self, has_arrived: bool) -> None:
        """The batch was answered; or it was not, and will be told again under the same number."""
        self.is_under_way = False
        if has_arrived:
            self.touched |= self.telling.keys()
            self.telling = Counter()

    def hear(self, period: str, uid: str, total: int) -> None:
        """What all have spent. Totals only grow, so the highest is the last."""
        self.totals[period, uid] = max(self.totals.get((period, uid), 0), total)

    def show(self, period: str, state: AccountState) -> None:
        """Put what is known into the account."""
        account = (period, state.uid)
        units = self.totals.get(account, 0) + self.telling[account] + self.untold[account]
        state.spent[period] = to_dollars(units)

    def recall(self, periods: Iterable[str], state: AccountState) -> None:
        """What the account shows may come from the database, and be more than the server remembers."""
        for period in periods:
            account = (period, state.uid)
            shown = to_units(state.spent.get(period, ZERO)) - self.telling[account] - self.untold[account]
            if shown > 0:
                self.hear(period, state.uid, shown)

    def remembered(self, periods: Iterable[str], uid: str) -> Iterator[tuple[object, ...]]:
        """Operations that remind a server of totals that it may have forgotten."""
        for period in periods:
            if (period, uid) in self.totals:
                yield ("spent", period, uid, self.totals[period, uid])
