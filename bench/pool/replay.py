"""One week through the real pool, in simulated time: who is chosen, who refuses, which sessions lose their cache.

The pool has its clock from here and its news from the simulated provider; all between them is the router's own
code. A request that no account can take waits as in the router's queue; if none comes free in time, its client is
refused, and goes on with its next turn.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accounts.pool import Ask, Lease, NoAccount, Pool
from accounts.pool_state import LocalPoolState
from accounts.reports import Report, Result
from accounts.snapshot import AccountConfig
from backends.addresses import check_base_url
from backends.config import BackendConfig, Strategy
from backends.wire.kinds import Kind, Protocol
from bench.pool.provider import Conversation, SimulatedAccount
from bench.pool.traffic import WEEK, Session

FIRST_BYTE = 1.5  # seconds until an answer begins
REFUSAL = 0.3  # seconds until a 429
QUEUE_SECONDS = 60.0
ATTEMPTS = 3
Process = Generator[float, None, None]  # yields when it wants to go on


@dataclass(slots=True)
class Tally:
    """What one week came to. `cost` is in the provider's unit, `lapsed` the share of quota unused at resets."""

    requests: int = 0
    refused: int = 0  # 429s from the provider
    moves: int = 0  # a session went on with another account: its prompt cache is lost
    unserved: int = 0  # requests that no account took in time
    cost: float = 0.0
    lapsed: float = 0.0


@dataclass
class Replay:
    """The week of one pool under one strategy."""

    sessions: Sequence[Session]
    accounts: Mapping[str, SimulatedAccount]
    strategy: Strategy
    now: float = 0.0
    tally: Tally = field(default_factory=Tally)
    _waiting: list[tuple[float, int, Process]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> Tally:
        """From the first minute to the last session's end."""
        self._pool = Pool(LocalPoolState(now=lambda: self.now, wall=lambda: self.now))
        self._configs = tuple(
            AccountConfig(uid, uid, "b", "api_key", None, weight=account.weight)
            for uid, account in self.accounts.items()
        )
        base, kinds = check_base_url("https://provider.example"), frozenset((Kind.MESSAGES,))
        self._backend = BackendConfig("b", Protocol.ANTHROPIC, base, kinds, strategy=self.strategy)
        for session in self.sessions:
            self._go_on(session.start, self._live(session))
        while self._waiting:
            self.now, _, process = heapq.heappop(self._waiting)
            if (then := next(process, None)) is not None:
                self._go_on(then, process)
        for account in self.accounts.values():
            account.live(max(self.now, WEEK))
        weekly = [w for account in self.accounts.values() for w in account.windows if w.name == "7d"]
        self.tally.lapsed = sum(w.lapsed for w in weekly) / sum(w.offered for w in weekly)
        return self.tally

    def _go_on(self, at: float, process: Process) -> None:
        heapq.heappush(self._waiting, (max(at, self.now), next(self._order), process))

    def _live(self, session: Session) -> Process:
        talk = Conversation()
        for turn in session.turns:
            yield self.now + turn.pause
            self.tally.requests += 1
            lease = yield from self._lease(session, talk)
            if lease is None:
                self.tally.unserved += 1
                continue
            uid = lease.account.uid
            account, cost = self.accounts[uid], talk.cost(uid, turn, session.model, self.now)
            yield self.now + FIRST_BYTE
            lease.report(Report(Result.SERVED, account.headers(session.model, self.now)))
            yield self.now + turn.seconds
            account.charge(session.model, cost, self.now)
            lease.settle()
            self.tally.cost += cost
            self.tally.moves += talk.account not in ("", uid)
            talk.answered(uid, turn, self.now)

    def _lease(self, session: Session, talk: Conversation) -> Generator[float, None, Lease | None]:
        """An account that does not refuse, within the attempts and the time of one request."""
        deadline, tried = self.now + QUEUE_SECONDS, set[str]()
        while True:
            ask = Ask(self._backend, self._configs, session.model, session.id, session.key, frozenset(tried))
            try:
                lease = _at_once(self._pool.lease(ask))
            except NoAccount as exc:
                if exc.recovers_at is None or exc.recovers_at > deadline:
                    return None
                yield max(exc.recovers_at, self.now + 0.01)
                tried.clear()
                continue
            refusal = self.accounts[lease.account.uid].refusal(session.model, self.now)
            if refusal is None:
                return lease
            yield self.now + REFUSAL
            lease.report(Report(Result.LIMITED, refusal))
            lease.settle()
            self.tally.refused += 1
            tried.add(lease.account.uid)
            if len(tried) == ATTEMPTS:
                return None


def _at_once(leasing: Coroutine[Any, Any, Lease]) -> Lease:
    """The result of a coroutine that never waits: the state of one process answers at once."""
    try:
        leasing.send(None)
    except StopIteration as done:
        lease: Lease = done.value
        return lease
    raise RuntimeError("the pool of one process waited for something")
