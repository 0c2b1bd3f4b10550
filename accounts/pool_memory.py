"""What the pool remembers over a restart: windows, benches and money, read once and written in the background.

Rule: nothing here is on a request's way. Rows are written in batches every few seconds while something changed,
in the thread that is kept for the configuration database; a database that cannot be written is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db import DatabaseError, transaction

from accounts.models import Account, Bench, Spend, Window
from accounts.pool_state import AccountState, LocalPoolState
from accounts.snapshot import AccountConfig, keeper
from accounts.spending import periods
from accounts.windows import BenchKind, BenchState, WindowState, observed
from backends.tasks import in_database_thread
from backends.wire.limits import Reading

logger = logging.getLogger("patchbay.pool")
WRITE_SECONDS = 2.0
KEPT_SECONDS = 86_400.0  # what is over for longer is forgotten
LARGEST = 2**63 - 1  # what a database takes as a whole number
LAST_MOMENT = 4e9  # in seconds since the epoch: what every database takes as a date
CENT = Decimal("0.00000001")  # the smallest amount that is stored


# --- reading ----------------------------------------------------------------------------------------------------


def recall(pool: LocalPoolState) -> None:
    """Fill the state from the database. Uses the ORM, so never in the event loop.

    What the state knows already is newer and stays.
    """
    uids = dict(Account.objects.values_list("pk", "uid"))
    moments = _Moments(pool.now(), pool.wall())
    for window_row in Window.objects.all():
        window = moments.window(window_row)
        pool.account(uids[window_row.account_id]).windows.setdefault(window.key, window)
    for bench_row in Bench.objects.filter(kind__in=[kind.value for kind in BenchKind]):
        bench = moments.bench(bench_row)
        pool.account(uids[bench_row.account_id]).benches.setdefault(bench.key, bench)
    for spend in Spend.objects.filter(period__in=periods(pool.wall())):
        pool.account(uids[spend.account_id]).spent.setdefault(spend.period, spend.amount)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Dates in the database and moments on the pool's clock, as of one moment. `wall`: seconds since the epoch.

    The wall clock may have been set back since a row was written. Then what has happened is not in the future for
    all that, and what will end lasts no longer than it would if it had begun now.
    """

    now: float
    wall: float

    def begun(self, date: datetime) -> float:
        return self.now + min(0.0, date.timestamp() - self.wall)

    def ends(self, date: datetime, began: datetime) -> float:
        return self.now + min(date.timestamp() - self.wall, (date - began).total_seconds())

    def date(self, moment: float) -> datetime:
        wall = self.wall + (moment - self.now)
        return datetime.fromtimestamp(min(max(wall, 0.0), LAST_MOMENT), UTC)

    def window(self, row: Window) -> WindowState:
        at, resets_at = self.begun(row.observed_at), None
        if row.resets_at is not None:
            resets_at = self.wall + (self.ends(row.resets_at, row.observed_at) - self.now)
        reading = Reading(
            row.name, row.model_class, row.utilization, row.remaining, row.limit, resets_at, row.is_rejected
        )
        return observed(reading, now=at, wall=self.wall + (at - self.now))

    def bench(self, row: Bench) -> BenchState:
        since, until = self.begun(row.since), self.ends(row.until, row.since)
        kind = BenchKind(row.kind)
        return BenchState(kind, row.model_class, row.reason, row.strikes, since, until, row.window)

    def window_row(self, window: WindowState) -> Window:
        reading = window.reading
        return Window(
            name=reading.window[:64],
            model_class=reading.model_class[:200],
            utilization=reading.utilization,
            remaining=_whole(reading.remaining),
            limit=_whole(reading.limit),
            is_rejected=reading.is_rejected,
            resets_at=None if reading.resets_at is None else self.date(window.retires_at),
            observed_at=self.date(window.observed_at),
        )

    def bench_row(self, bench: BenchState) -> Bench:
        return Bench(
            kind=bench.kind.value,
            model_class=bench.model_class[:200],
            reason=bench.reason[:500],
            strikes=bench.strikes,
            since=self.date(bench.since),
            until=self.date(bench.until),
            window=bench.window[:64],
        )


def _whole(number: int | None) -> int | None:
    return None if number is None else min(number, LARGEST)


# --- writing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Facts:
    """One account's rows, taken in the event loop and written outside it."""

    uid: str
    windows: tuple[Window, ...]
    benches: tuple[Bench, ...]
    spends: tuple[Spend, ...]


def _configured(uid: str) -> AccountConfig | None:
    return keeper.current.account(uid)


@dataclass
class PoolMemory:
    """Writes what changed in one pool state. `account_of` finds an account's configuration by its uid."""

    pool: LocalPoolState
    account_of: Callable[[str], AccountConfig | None] = _configured
    _is_failing: bool = False

    async def keep(self) -> None:
        """Runs as long as the server."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            if self.pool.dirty:
                await self.write()

    async def write(self) -> None:
        """Store what changed since the last time. What could not be stored, or was not yet, stays marked."""
        facts = self._take()
        is_stored = False
        try:
            await in_database_thread(lambda: store(facts))
            is_stored, self._is_failing = True, False
        except DatabaseError as exc:
            if not self._is_failing:
                logger.warning("Windows cannot be stored now (%s); they stay in memory.", exc)
            self._is_failing = True
        finally:
            if not is_stored:
                self.pool.dirty |= {fact.uid for fact in facts}

    def write_now(self) -> None:
        """The same for the end of the server, outside the loop."""
        try:
            store(self._take())
        except DatabaseError as exc:
            logger.warning("The last windows could not be stored (%s).", exc)

    def _take(self) -> list[_Facts]:
        moments = _Moments(self.pool.now(), self.pool.wall())
        states = [self.pool.accounts[uid] for uid in self.pool.dirty if uid in self.pool.accounts]
        self.pool.dirty.clear()
        for state in states:
            _tidy(state, moments, self.account_of(state.uid))
        return [_facts(state, moments) for state in states]


def _tidy(state: AccountState, moments: _Moments, account: AccountConfig | None) -> None:
    """Drop what has long been over, and what somebody's resuming the account has made void: its date would be
    wrong if the wall clock was set since.
    """
    oldest, void_before = moments.now - KEPT_SECONDS, -math.inf
    if account is not None:
        void_before = state.resumed(account, moments.now, moments.wall)
    state.windows = {
        key: window
        for key, window in state.windows.items()
        if window.retires_at >= oldest and window.observed_at >= void_before
    }
    state.benches = {
        key: bench
        for key, bench in state.benches.items()
        if _is_kept(bench, oldest) and bench.since >= void_before
    }
    current = periods(moments.wall)
    state.spent = {period: amount for period, amount in state.spent.items() if period in current}


def _facts(state: AccountState, moments: _Moments) -> _Facts:
    return _Facts(
        state.uid,
        tuple(moments.window_row(window) for window in state.windows.values()),
        tuple(moments.bench_row(bench) for bench in state.benches.values()),
        tuple(Spend(period=period, amount=amount.quantize(CENT)) for period, amount in state.spent.items()),
    )


def _is_kept(bench: BenchState, oldest: float) -> bool:
    """What somebody has to mend (a credential, a bill) stays until a good answer shows that it is mended."""
    return bench.until >= oldest or bench.kind in (BenchKind.AUTH, BenchKind.QUOTA)


@transaction.atomic
def store(facts: Iterable[_Facts]) -> None:
    """Replace each account's rows with what is known now; accounts that are gone are left out."""
    by_uid = {fact.uid: fact for fact in facts}
    known = [(account, by_uid[account.uid]) for account in Account.objects.filter(uid__in=by_uid)]
    for account, fact in known:
        rows: tuple[Window | Bench | Spend, ...] = (*fact.windows, *fact.benches, *fact.spends)
        for row in rows:
            row.account = account
    accounts = [account for account, _ in known]
    Window.objects.filter(account__in=accounts).delete()
    Window.objects.bulk_create([window for _, fact in known for window in fact.windows])
    Bench.objects.filter(account__in=accounts).delete()
    Bench.objects.bulk_create([bench for _, fact in known for bench in fact.benches])
    Spend.objects.bulk_create(
        [spend for _, fact in known for spend in fact.spends],
        update_conflicts=True,
        unique_fields=["account", "period"],
        update_fields=["amount"],
    )
