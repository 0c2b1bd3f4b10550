"""This process's copy of the shared facts, and what of it the others do not know yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from accounts.pool_state import AccountState, LocalPoolState
from accounts.redis_clock import ServerClock
from accounts.redis_facts import (
    DIGITS,
    LIFTED,
    Fact,
    believe,
    bench_fact,
    bench_field,
    claim_fact,
    claim_field,
    lifted_fact,
    parts_of,
    window_fact,
    window_field,
)
from accounts.windows import BenchKind, BenchState, WindowState

KEPT_SECONDS = 86_400  # a window or bench that has been over for so long is dropped
MOST_KNOWN = 400  # facts of one account; a real one has a handful for each of its models


@dataclass
class Replica:
    """`ranks` holds the rank of every fact that was told or heard; `untold`, facts from before the server was ever
    heard or while it was away. What is in neither came from the database: the others know better.
    """

    server: ServerClock
    pool: LocalPoolState
    ranks: dict[str, str] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    _claims: dict[str, str] = field(default_factory=dict)

    # --- own news: each gives the fact to tell, or None while the server's clock is not known ---------------------

    def observe(self, uid: str, window: WindowState) -> Fact | None:
        """A window was read here."""
        return self._own(window_field(uid, window.key), lambda _: window_fact(uid, window, self.server))

    def bench(self, uid: str, bench: BenchState, before: BenchState | None) -> Fact | None:
        """A bench was set here, or made longer."""
        is_longer = before is not None and before.since == bench.since
        return self._own(
            bench_field(uid, bench.key),
            lambda known: bench_fact(uid, bench, self.server, known if is_longer else ""),
        )

    def lift(self, uid: str, bench: BenchState) -> Fact | None:
        """A bench was lifted here."""
        return self._own(
            bench_field(uid, bench.key), lambda known: lifted_fact(uid, bench, self.server, known)
        )

    def charge(self, state: AccountState) -> Fact | None:
        """The account's claim, if it is another than was last told."""
        if not state.claim or self._claims.get(state.uid) == state.claim:
            return None
        self._claims[state.uid] = state.claim
        at = self.server.to_server(self.pool.now())
        return self._own(claim_field(state.uid), lambda _: claim_fact(state.uid, state.claim, at))

    def _own(self, name: str, make: Callable[[str], Fact]) -> Fact | None:
        if not self.server.is_known:
            self.untold.add(name)
            return None
        fact = make(self.ranks.get(name, ""))
        self.ranks[name] = fact.rank
        return fact

    # --- others' news --------------------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> AccountState | None:
        """Another process tells this. Returns the account if it was news."""
        if self.ranks.get(fact.field, "") >= fact.rank:
            return None
        self.ranks[fact.field] = fact.rank
        self.untold.discard(fact.field)
        state = self.pool.account(parts_of(fact.field)[1])
        believe(fact, state, self.server, self.pool.wall() - self.pool.now())
        self._claims[state.uid] = state.claim
        return state

    def reconcile(self, told: Mapping[str, Fact]) -> Iterator[Fact]:
        """Believe what is newer there; what is newer here, or only here, is to be told."""
        own = {fact.field: fact for state in self.pool.accounts.values() for fact in self._all_of(state)}
        own |= {fact.field: fact for fact in self._lifted() if fact.field not in own}
        for name, fact in told.items():
            if name in own and name not in self.ranks and name not in self.untold:
                del own[name]  # only remembered from the database
            if name not in own or own[name].rank < fact.rank:
                self.ranks.pop(name, None)
                self.hear(fact)
                own.pop(name, None)
        self.untold.clear()
        for name, fact in own.items():
            self.ranks[name] = fact.rank
            if name not in told or told[name].rank < fact.rank:
                yield fact

    def _all_of(self, state: AccountState) -> Iterator[Fact]:
        uid, server = state.uid, self.server
        for window in state.windows.values():
            yield window_fact(uid, window, server, self.ranks.get(window_field(uid, window.key), ""))
        for bench in state.benches.values():
            yield bench_fact(uid, bench, server, self.ranks.get(bench_field(uid, bench.key), ""))
        if state.claim:
            yield claim_fact(uid, state.claim, int(self.ranks.get(claim_field(uid), "0")))

    def _lifted(self) -> Iterator[Fact]:
        for name, rank in self.ranks.items():
            if rank[DIGITS : DIGITS + 1] == LIFTED:
                yield Fact(name, rank, "")

    # --- an end to everything ------------------------------------------------------------------------------------

    def forget(self) -> list[Fact]:
        """Drop what has long been over, and what is too much of one account: clients can make up model names.

        Returns what Redis should drop as well.
        """
        now = self.pool.now()
        by_account: dict[str, list[tuple[float, str]]] = {}
        for name, rank in self.ranks.items():
            by_account.setdefault(parts_of(name)[1], []).append((self._ends_at(name, rank), name))
        over = []
        for ends in by_account.values():
            ends.sort()
            excess = len(ends) - MOST_KNOWN // 2 if len(ends) > MOST_KNOWN else 0
            over += [name for i, (at, name) in enumerate(ends) if i < excess or at < now - KEPT_SECONDS]
        return [self._drop(name) for name in over]

    def _ends_at(self, name: str, rank: str) -> float:
        """On the pool's clock. A window that is not known any more has ended."""
        kind, uid, *key = parts_of(name)
        if kind == "w":
            window = self.pool.account(uid).windows.get((key[0], key[1]))
            return window.retires_at if window is not None else -math.inf
        return self.server.to_ours(max(int(rank[:DIGITS]), int(rank[DIGITS + 1 :] or 0)))

    def _drop(self, name: str) -> Fact:
        kind, uid, *key = parts_of(name)
        state = self.pool.account(uid)
        if kind == "w":
            state.windows.pop((key[0], key[1]), None)
        elif kind == "b":
            state.benches.pop((BenchKind(key[0]), key[1]), None)
        state.changed()
        return Fact(name, self.ranks.pop(name), "")
