"""What this process knows of every account: windows, benches, load, sessions. No I/O, no waiting.

Rule: all of it is touched in the event loop's thread only, and nothing here awaits. A shared state
(`accounts.redis_state`) keeps this as its copy and asks the others before it takes.
"""

from __future__ import annotations

import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from accounts.clock import clock
from accounts.queue_order import Order
from accounts.snapshot import AccountConfig
from accounts.standing import Standing, standing_of
from accounts.windows import BenchKind, BenchState, WindowState, following

SILENCE_SECONDS = 3.0  # a refusal comes at once; an answer in one piece may take minutes
ANSWER_SECONDS = 1.0  # as long as an answer takes, as a rule, to begin
STICKY_SECONDS = 6 * 3600.0
STICKY_MAX = 10_000
Classes = frozenset[str] | None  # of the model; None: the account as a whole
Sticky = tuple[str, ...]  # (backend, client key, session), or a digest of them
ZERO = Decimal(0)


@dataclass(slots=True)
class AccountState:
    """One account. `turn` orders weighted pools; `next_slot` is when the governor lets the next request go."""

    uid: str
    in_flight: int = 0
    last_used: int = 0
    turn: float = 0.0
    requests: int = 0
    next_slot: float = 0.0
    probing: str = ""  # the lease that is trying a benched account…
    silent_at: float = 0.0  # …and when its silence is a good sign
    claim: str = ""  # the window that the last answer was charged to
    spent: dict[str, Decimal] = field(default_factory=dict)  # by UTC day and month
    reserved: Decimal = Decimal(0)  # by requests that are running
    windows: dict[tuple[str, str], WindowState] = field(default_factory=dict)
    benches: dict[tuple[BenchKind, str], BenchState] = field(default_factory=dict)
    faults: list[float] = field(default_factory=list)
    standings: dict[Classes, Standing] = field(default_factory=dict)
    _resumed: tuple[float, float] = (0.0, -math.inf)  # by the wall clock, and on the pool's clock

    @property
    def observed_at(self) -> float | None:
        """When its windows were last reported, on the pool's clock."""
        return max((w.observed_at for w in self.windows.values()), default=None)

    def resumed(self, account: AccountConfig, now: float, wall: float) -> float:
        """When somebody last resumed the account, on the pool's clock: what was known before does not count.

        Worked out once for each time, so that a step of the wall clock does not move it; never in the future,
        whatever the clock of the machine says on which it was resumed.
        """
        if account.resumed_at > self._resumed[0]:
            self._resumed = (account.resumed_at, now + min(0.0, account.resumed_at - wall))
        return self._resumed[1]

    def changed(self) -> None:
        """Forget the standings that were worked out before."""
        self.standings.clear()


class Claim(msgspec.Struct, frozen=True):
    """One account that a request could have, in the order of choice. `limits`: US dollars by UTC day and month."""

    state: AccountState
    interval_s: float = 0.0
    is_probe: bool = False
    limits: tuple[tuple[str, Decimal], ...] = ()

    def slower(self, times: int) -> Claim:
        """The same at a share of the pace."""
        return msgspec.structs.replace(self, interval_s=self.interval_s * times)

    def is_held(self, now: float) -> bool:
        """Whether another request is trying the account, and may be refused yet."""
        return self.is_probe and self.state.probing != "" and now < self.state.silent_at

    def free_at(self, now: float) -> float:
        """When it is expected to be free, on the pool's clock. A probe is, as a rule, answered within a second."""
        probed = min(self.state.silent_at, now + ANSWER_SECONDS) if self.is_held(now) else 0.0
        return max(self.state.next_slot, probed)


class Taken(msgspec.Struct, frozen=True):
    """The account that was taken. `was_bound`: the session already belonged to it."""

    state: AccountState
    was_bound: bool = False


class NotNow(msgspec.Struct, frozen=True):
    """Every account could serve, but not at this moment. `again_at` is on the pool's clock.

    `is_stale`: other processes knew better, and now this one does too. Rank again.
    """

    again_at: float
    is_stale: bool = False


@dataclass
class LocalPoolState:
    """The state of one process. `process` is a name of its own for every start."""

    accounts: dict[str, AccountState] = field(default_factory=dict)
    bindings: OrderedDict[Sticky, tuple[str, float]] = field(default_factory=OrderedDict)
    dirty: set[str] = field(default_factory=set)  # accounts whose windows or benches are not yet stored
    listeners: list[Callable[[], None]] = field(default_factory=list)
    now: Callable[[], float] = clock
    wall: Callable[[], float] = time.time  # seconds since the epoch: for what providers and calendars say
    order: Order = field(default_factory=Order)
    process: str = field(default_factory=lambda: secrets.token_hex(6))
    _ticks: int = 0

    def account(self, uid: str) -> AccountState:
        """The state of an account, made on first sight."""
        state = self.accounts.get(uid)
        if state is None:
            state = self.accounts[uid] = AccountState(uid)
        return state

    def standing(self, account: AccountConfig, classes: Classes, now: float) -> Standing:
        """Whether this account can serve models of these classes; worked out again only after news."""
        state = self.account(account.uid)
        known = state.standings.get(classes)
        if known is not None and now < known.valid_until and known.account is account:
            return known
        wall = self.wall()
        found = standing_of(
            account,
            state.windows.values(),
            state.benches.values(),
            classes,
            now=now,
            wall=wall,
            void_before=state.resumed(account, now, wall),
        )
        if len(state.standings) > 64:
            state.standings.clear()
        state.standings[classes] = found
        return found

    # --- taking and giving back --------------------------------------------------------------------------------

    async def take(
        self, claims: Sequence[Claim], sticky: Sticky | None, lease_id: str, cost: Decimal = ZERO
    ) -> Taken | NotNow:
        """Take the session's own account if it is among the claims, else the first that is free now.

        `cost` (US dollars) stays reserved until the lease is released.
        """
        return self.take_here(claims, sticky, lease_id, cost)

    def take_here(
        self, claims: Sequence[Claim], sticky: Sticky | None, lease_id: str, cost: Decimal
    ) -> Taken | NotNow:
        """The same, by what this process knows. A bound session waits for its account's pace."""
        now = self.now()
        bound = self.bound(sticky, now)
        own = next((claim for claim in claims if claim.state.uid == bound), None)
        if own is not None and not own.is_held(now):
            if own.state.next_slot > now:
                return NotNow(own.state.next_slot)
            self.occupy(own, sticky, lease_id, cost, now)
            return Taken(own.state, was_bound=True)
        for claim in claims:
            if claim.state.next_slot <= now and not claim.is_held(now):
                self.occupy(claim, sticky, lease_id, cost, now)
                return Taken(claim.state)
        return NotNow(min((claim.free_at(now) for claim in claims), default=now))

    def occupy(self, claim: Claim, sticky: Sticky | None, lease_id: str, cost: Decimal, now: float) -> None:
        """Count the lease on its account, and bind the session to it."""
        state = claim.state
        self._ticks += 1
        state.in_flight += 1
        state.reserved += cost
        state.requests += 1
        state.last_used = self._ticks
        if claim.interval_s:
            state.next_slot = now + claim.interval_s
        if claim.is_probe and not state.probing:
            state.probing, state.silent_at = lease_id, now + SILENCE_SECONDS
        if sticky is not None:
            self.bind(sticky, state.uid, now)

    def release(self, state: AccountState, lease_id: str, cost: Decimal = ZERO) -> None:
        """The lease is over, and `cost` is no longer reserved."""
        state.in_flight -= 1
        state.reserved -= cost
        if state.probing == lease_id:
            state.probing = ""
        self.tell()

    def end_probe(self, state: AccountState, lease_id: str) -> None:
        """The lease's first answer has shown how the account does; others need not wait for its end."""
        if state.probing == lease_id:
            state.probing = ""
            self.tell()

    def spend(self, state: AccountState, amounts: Mapping[str, Decimal]) -> None:
        """A request did cost this much, by UTC day and month."""
        for period, amount in amounts.items():
            state.spent[period] = state.spent.get(period, ZERO) + amount
        self.dirty.add(state.uid)

    # --- sessions ----------------------------------------------------------------------------------------------

    def bound(self, sticky: Sticky | None, now: float) -> str:
        """The account of a session; "" when it has none, or none lately."""
        found = self.bindings.get(sticky) if sticky is not None else None
        return found[0] if found is not None and found[1] > now else ""

    def bind(self, sticky: Sticky, uid: str, now: float) -> None:
        """The session stays with this account; the least recently used of too many bindings goes."""
        self.bindings[sticky] = (uid, now + STICKY_SECONDS)
        self.bindings.move_to_end(sticky)
        while len(self.bindings) > STICKY_MAX or next(iter(self.bindings.values()))[1] <= now:
            self.bindings.popitem(last=False)

    def live_bindings(self) -> int:
        """How many sessions have an account."""
        now = self.now()
        return sum(until > now for _, until in self.bindings.values())

    # --- other processes ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Called in the server's loop before the first request: there is nobody to agree with."""

    async def stop(self) -> None:
        """Called when all requests have ended."""

    def problems(self) -> list[str]:
        """What is wrong with the state itself, for `/health`."""
        return []

    # --- news --------------------------------------------------------------------------------------------------

    def put_windows(self, state: AccountState, windows: Iterable[WindowState]) -> None:
        """Newer readings replace older ones; all else stays."""
        for window in windows:
            known = state.windows.get(window.key)
            if known is None:
                state.windows[window.key] = window
            elif known.observed_at <= window.observed_at:
                state.windows[window.key] = following(known, window)
        self._changed(state)

    def put_bench(self, state: AccountState, bench: BenchState) -> None:
        """Out of rotation until the next probe."""
        state.benches[bench.key] = bench
        self._changed(state)

    def lift(self, state: AccountState, keys: Iterable[tuple[BenchKind, str]]) -> None:
        """Back into rotation."""
        for key in keys:
            state.benches.pop(key, None)
        self._changed(state)

    def _changed(self, state: AccountState) -> None:
        state.changed()
        self.dirty.add(state.uid)
        self.tell()

    def tell(self) -> None:
        """Whoever waits may look again."""
        for listener in self.listeners:
            listener()
