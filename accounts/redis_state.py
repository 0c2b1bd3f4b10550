"""The pool's state, agreed on by several processes and machines over Redis.

Rule: Python ranks, Redis arbitrates. Every process keeps a copy of all that is known and ranks accounts by it; one
script takes the first that is free, for all processes in turn. What is given back or learned is sent without
waiting. While Redis is away each process goes on by its copy, at its share of every account's pace.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from accounts.clock import clock
from accounts.pool_state import (
    SILENCE_SECONDS,
    STICKY_MAX,
    STICKY_SECONDS,
    ZERO,
    AccountState,
    Claim,
    LocalPoolState,
    NotNow,
    Sticky,
    Taken,
)
from accounts.redis_clock import MICROSECONDS, ServerClock
from accounts.redis_facts import Fact, drop, groups, put, stored_fact
from accounts.redis_link import DEFAULT_TIMES, Link, Times
from accounts.redis_money import Money, to_dollars, to_units
from accounts.redis_order import RedisOrder, digest
from accounts.redis_outbox import Operation, Outbox, Reply
from accounts.redis_replica import Replica
from accounts.redis_scripts import BEAT, TAKE, WHOLE
from accounts.spending import periods
from accounts.windows import BenchKind, BenchState, WindowState

BEATS_PER_RENEWAL = 8
BEATS_PER_SWEEP = 60
MOST_ODD = 5  # beats that find another number of places than this process knows
SOON = 0.05
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


class RedisPoolState(LocalPoolState):
    """The state of one process among several. Raises ValueError for a URL that cannot be used.

    `processes`: how many there were when Redis was last heard.
    """

    def __init__(
        self,
        url: str,
        times: Times = DEFAULT_TIMES,
        *,
        now: Callable[[], float] = clock,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(now=now, wall=wall)
        self._times = times
        self._server = ServerClock()
        self._link = Link(
            url, self._server, times, now, serve=self._serve, hear=self._hear, closed=self._part
        )
        self._replica = Replica(self._server, self)
        self._money = Money()
        self._outbox = Outbox(
            self.process, self._link, self._money, more=self._claims, learn=self._hear_totals
        )
        self._queue = self.order = RedisOrder(self.process, self._outbox.tell)
        self._leases: dict[str, tuple[str, int]] = {}
        self._asked: set[str] = set()  # leases that Redis may have counted before this process knows of it
        self._others: dict[str, tuple[int, int]] = {}  # leases and money of other processes, by account
        self._charged: set[str] = set()
        self._unsent: dict[str, Fact] = {}
        self._beats = self._odd = 0
        self.processes = 1

    def start(self) -> None:
        """Connect, in the server's loop."""
        self._link.start()

    async def stop(self) -> None:
        """Take leave of the others, and disconnect."""
        if self._link.is_up:
            self._outbox.tell("bye")
            await asyncio.wait((self._outbox.send(),), timeout=self._times.beat)
        await self._link.stop()

    @property
    def is_shared(self) -> bool:
        """Whether this process is in step with the others now."""
        return self._link.is_up

    def problems(self) -> list[str]:
        """One sentence while this process is on its own."""
        if self._link.is_up:
            return []
        share = f"1/{self.processes}" if self.processes > 1 else "all"
        return [
            f"Redis cannot be used ({self._link.problem}). This process goes on by what it knew, at {share} of each"
            " account's pace. Check REDIS_URL and the server behind it; the connection comes back by itself."
        ]

    # --- taking and giving back --------------------------------------------------------------------------------

    async def take(
        self, claims: Sequence[Claim], sticky: Sticky | None, lease_id: str, cost: Decimal = ZERO
    ) -> Taken | NotNow:
        """The same over all processes, in one round trip; by itself when Redis does not answer in time."""
        if not self._link.is_up:
            return self._take_alone(claims, sticky, lease_id, cost)
        sticky = _short(sticky) if sticky is not None else None
        ask = self._ask(claims, sticky, lease_id, cost)
        reply = self._link.call(TAKE, lambda: (ask,))
        self._asked.add(lease_id)
        claims[0].state.in_flight += 1  # most likely it will be: who ranks in this very moment shall know
        try:
            answer = await self._link.within(reply)
        except asyncio.CancelledError:
            reply.add_done_callback(partial(self._give_back, lease_id))
            raise
        finally:
            claims[0].state.in_flight -= 1
            self._asked.discard(lease_id)
        took = (claims, sticky, lease_id, cost)
        return self._take_alone(*took) if answer is None else self._answered(answer, *took)

    def _ask(self, claims: Sequence[Claim], sticky: Sticky | None, lease_id: str, cost: Decimal) -> bytes:
        return _encode(
            {
                "process": self.process,
                "lease": lease_id,
                "ttl": _us(self._times.lease),
                "cost": to_units(cost) if cost else 0,
                "sticky": sticky[0] if sticky is not None else "",
                "known": self.bound(sticky, self.now()),
                "keep": _us(STICKY_SECONDS),
                "most": STICKY_MAX,
                "silence": _us(SILENCE_SECONDS),
                "claims": [
                    (
                        claim.state.uid,
                        _us(claim.interval_s),
                        int(claim.is_probe),
                        [(period, to_units(limit)) for period, limit in claim.limits],
                    )
                    for claim in claims
                ],
            }
        )

    def _answered(
        self, answer: list[Any], claims: Sequence[Claim], sticky: Sticky | None, lease_id: str, cost: Decimal
    ) -> Taken | NotNow:
        _, place, wait, bound, leases, reserved, spent = answer
        now, uid = self.now(), bound.decode()
        for claim, others, money in zip(claims, leases, reserved, strict=True):
            self._note_others(claim.state.uid, others, money if claim.limits else None)
        self._hear_totals(spent)
        if sticky is not None and uid:
            self.bind(sticky, uid, now)
        if place:
            claim = claims[place - 1]
            self.occupy(claim, sticky, lease_id, cost, now)
            return Taken(claim.state, was_bound=claim.state.uid == uid)
        return NotNow(now + SOON, is_stale=True) if wait < 0 else NotNow(now + wait / MICROSECONDS)

    def _take_alone(
        self, claims: Sequence[Claim], sticky: Sticky | None, lease_id: str, cost: Decimal
    ) -> Taken | NotNow:
        """By what this process knows, at its share of the pace."""
        if self.processes > 1:
            claims = [claim.slower(self.processes) for claim in claims]
        return self.take_here(claims, sticky, lease_id, cost)

    def _give_back(self, lease_id: str, reply: Reply) -> None:
        """Whoever asked has left."""
        if not reply.cancelled() and not reply.exception() and reply.result()[1]:
            self._outbox.tell("free", lease_id)

    def occupy(self, claim: Claim, sticky: Sticky | None, lease_id: str, cost: Decimal, now: float) -> None:
        """Count the lease here."""
        super().occupy(claim, sticky, lease_id, cost, now)
        self._leases[lease_id] = (claim.state.uid, to_units(cost) if cost else 0)

    def release(self, state: AccountState, lease_id: str, cost: Decimal = ZERO) -> None:
        """The lease is over, for everybody."""
        super().release(state, lease_id, cost)
        self._leases.pop(lease_id, None)
        self._outbox.tell("free", lease_id)

    def end_probe(self, state: AccountState, lease_id: str) -> None:
        """Others may probe."""
        if state.probing == lease_id:
            super().end_probe(state, lease_id)
            self._outbox.tell("probed", lease_id, state.uid)

    def spend(self, state: AccountState, amounts: Mapping[str, Decimal]) -> None:
        """Counted by everybody."""
        super().spend(state, amounts)
        for period, amount in amounts.items():
            self._money.spend(period, state.uid, amount)
        self._outbox.send_soon()

    # --- sessions and news -------------------------------------------------------------------------------------

    def bound(self, sticky: Sticky | None, now: float) -> str:
        """The account of a session, as far as this process has heard."""
        return super().bound(_short(sticky), now) if sticky is not None else ""

    def bind(self, sticky: Sticky, uid: str, now: float) -> None:
        """Sessions are remembered by a digest."""
        super().bind(_short(sticky), uid, now)

    def put_windows(self, state: AccountState, windows: Iterable[WindowState]) -> None:
        """Readings are everybody's."""
        windows = tuple(windows)
        super().put_windows(state, windows)
        self._charged.add(state.uid)
        for window in windows:
            kept = state.windows[window.key]
            if kept.observed_at == window.observed_at:
                self._publish(self._replica.observe(state.uid, kept))

    def put_bench(self, state: AccountState, bench: BenchState) -> None:
        """Out of rotation everywhere."""
        before = state.benches.get(bench.key)
        super().put_bench(state, bench)
        self._publish(self._replica.bench(state.uid, bench, before))

    def lift(self, state: AccountState, keys: Iterable[tuple[BenchKind, str]]) -> None:
        """Back into rotation everywhere."""
        lifted = [state.benches[key] for key in keys if key in state.benches]
        super().lift(state, [bench.key for bench in lifted])
        for bench in lifted:
            self._publish(self._replica.lift(state.uid, bench))

    def _publish(self, fact: Fact | None) -> None:
        if fact is not None and not self._link.is_up:
            self._unsent[fact.field] = fact
        elif fact is not None:
            self._outbox.tell(*put(fact))

    def _claims(self) -> Iterator[Operation]:
        """To which windows the accounts are charged, where that has changed: set after the windows themselves."""
        charged, self._charged = self._charged, set()
        for uid in charged:
            if (fact := self._replica.charge(self.account(uid))) is not None:
                yield put(fact)

    # --- hearing -----------------------------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        """An announcement. Hearing one's own, or one twice, changes nothing."""
        for name, *rest in _decode(message.partition(b" ")[2]):
            match name:
                case "put":
                    self._believe(Fact(*rest))
                case "bind":
                    self.bind((rest[0],), rest[1], self.now())
                case "spent":
                    self._hear_totals([rest[0].encode(), rest[1].encode(), int(rest[2])])
                case "enter":
                    self._queue.hear_enter(*rest)
                case "leave":
                    self._queue.hear_leave(*rest)
                case "away":
                    self._queue.hear_away(*rest)
                case "free":
                    self.tell()

    def _believe(self, fact: Fact) -> None:
        if self._replica.hear(fact) is not None:
            self.tell()

    def _hear_totals(self, totals: Sequence[Any]) -> None:
        for period, uid, total in groups(totals, 3):
            self._money.hear(period.decode(), uid.decode(), total)
            self._money.show(period.decode(), self.account(uid.decode()))

    def _note_others(self, uid: str, leases: int, money: int | None) -> None:
        """What other processes have of an account counts in its load."""
        before = self._others.get(uid, (0, 0))
        after = (leases, before[1] if money is None else money)
        if after == before:
            return
        state = self.account(uid)
        state.in_flight += after[0] - before[0]
        state.reserved += to_dollars(after[1] - before[1])
        self._others[uid] = after

    def _note_all_others(self, loads: Sequence[Any]) -> None:
        found = {uid.decode(): (leases, money) for uid, leases, money in groups(loads, 3)}
        for uid in [*self._others]:
            if uid not in found:
                self._note_others(uid, 0, 0)
                del self._others[uid]
        for uid, (leases, money) in found.items():
            self._note_others(uid, leases, money)

    # --- being one of several ----------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Runs as long as a connection lasts."""
        await self._beat()
        await self._join()
        while True:
            await asyncio.sleep(self._times.beat)
            if not await self._beat() or self._odd >= MOST_ODD:
                await self._join()

    async def _beat(self) -> bool:
        """Say that this process is there. False when it had been taken for dead."""
        sent_at, self._beats = self.now(), self._beats + 1
        # Nobody else may be waiting, and notice that no answer comes.
        async with asyncio.timeout(max(self._times.beat, self._times.patience)):
            answer = await self._link.call(BEAT, lambda: (self._signs_of_life(),))
        _, self.processes, was_known, waiting, others = answer
        self._note_all_others(others)
        self._odd = 0 if waiting == len(self.order) else self._odd + 1
        if self._beats % BEATS_PER_SWEEP == 0:
            await self._outbox.send_all([drop(fact) for fact in self._replica.forget()])
        self._link.check_news(sent_at)  # each beat is announced, also to its sender
        return bool(was_known)

    def _signs_of_life(self) -> bytes:
        """What a beat says, as of the moment when it is sent: a lease that just ended must not come back by it."""
        touched, self._money.touched = self._money.touched, set()
        is_renewal = self._beats % BEATS_PER_RENEWAL == 0
        return _encode(
            {
                "process": self.process,
                "ttl": _us(self._times.lease),
                "patience": _us(self._times.dead),
                "leases": [(lease, *held) for lease, held in self._leases.items()] if is_renewal else [],
                "spent": sorted(touched),
            }
        )

    async def _join(self) -> None:
        """Learn all that the others know, and tell them what they do not."""
        today = periods(self.wall())
        whole = self._link.call(WHOLE, lambda: [name.encode() for name in today])
        _, facts, sessions, waiters, spent = await whole
        self._unsent.clear()
        for state in self.accounts.values():
            self._money.recall(today, state)
        known = self._queue.join({id.decode(): record.decode() for id, record in groups(waiters, 2)})
        self._hear_totals(spent)
        for key, uid in groups(sessions, 2):
            if (key.decode(),) not in self.bindings:
                self.bind((key.decode(),), uid.decode(), self.now())
        told = {fact.field: fact for fact in map(stored_fact, groups(facts, 2))}
        news = [*map(put, self._replica.reconcile(told))]
        await self._outbox.send_all([*news, *map(drop, self._replica.forget())])
        self._odd = 0
        self._link.open()  # no pause from here on: what happens next is told as it happens
        self._outbox.extend(self._standing_operations(known))
        self.tell()

    def _standing_operations(self, places: set[str]) -> Iterator[Operation]:
        """What holds at this moment, whatever Redis remembers: leases, pace, places in the queue, money."""
        now, today = self.now(), periods(self.wall())
        yield ("only", [*self._leases, *self._asked])
        for lease, (uid, cost) in self._leases.items():
            yield ("hold", lease, uid, cost, _us(self._times.lease))
        yield from self._queue.corrections(places)
        for state in self.accounts.values():
            if state.probing:
                yield ("probing", state.probing, state.uid)
            if state.next_slot > now:
                yield ("slot", state.uid, _us(state.next_slot - now))
            yield from self._money.remembered(today, state.uid)
        yield from map(put, self._unsent.values())
        self._unsent.clear()

    def _part(self) -> None:
        """The connection is lost: what is not known any more does not count."""
        self._outbox.clear()
        self._odd = 0
        self._note_all_others(())
        self._queue.part()
        self.tell()


def _us(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def _short(sticky: Sticky) -> Sticky:
    """Sessions and client keys leave the process as a digest."""
    return sticky if len(sticky) == 1 else (digest(*sticky),)
