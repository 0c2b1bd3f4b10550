"""The limits of client keys, agreed on by several processes and machines over Redis.

Rule: the ledger is in the database; Redis knows what each process holds on top of it (requests that run, amounts that
are not in the ledger yet), and the highest total of the ledger that anybody has seen. A process that connects says all
that it holds, and then what it holds more or less; one that dies holds nothing after a few seconds. While Redis is
away each process gives out its share of what was left (`accounts.key_shares`), and tells it afterwards.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from accounts.clock import clock
from accounts.key_limits import Hold, LocalKeyLimits
from accounts.key_refusals import Limit, LimitReached, Shortage
from accounts.key_shares import Apart, Sent
from accounts.key_use import DAY_SECONDS, MINUTE, ZERO, KeyLimits, Slot, span_of
from accounts.redis_clock import MICROSECONDS, ServerClock
from accounts.redis_link import DEFAULT_TIMES, Link, Times
from accounts.redis_money import to_dollars, to_units
from accounts.redis_scripts import KEY_TAKE, KEY_TELL

Reply = asyncio.Future[list[Any]]
MOST_SENT = 500  # in one message: a few milliseconds of the server
_encode = msgspec.json.Encoder().encode


class _Ask:
    """One request at Redis. `round`: how often Redis had been told the whole when it was sent."""

    def __init__(self, limits: KeyLimits, name: str, tokens: int, price: Decimal | None) -> None:
        self.limits, self.name, self.tokens, self.price = limits, name, tokens, price
        self.cost = price or ZERO
        self.round = -1


class RedisKeyLimits(LocalKeyLimits):
    """The state of one process among several. Raises ValueError for a URL that cannot be used.

    `process` is a name of its own for every start; `processes`: how many there were when Redis was last heard; until
    then, how many start together.
    """

    def __init__(
        self,
        url: str,
        process: str,
        times: Times = DEFAULT_TIMES,
        *,
        processes: int = 1,
        now: Callable[[], float] = clock,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(now=now, wall=wall)
        self._process, self._times = process, times
        self._link = Link(url, ServerClock(), times, now, serve=self._serve, hear=_ignore, closed=self._part)
        self._names = itertools.count(1)
        self._known: dict[int, KeyLimits] = {}  # keys that were asked for, with their limits then
        self._counted: dict[int, Decimal] = defaultdict(Decimal)  # what Redis takes this process to hold
        self._round = 0
        self._others: dict[int, Decimal] = {}  # what other processes hold
        self._heard: dict[tuple[int, str], Decimal] = {}  # the ledger's total, as somebody has seen it
        self._news: set[int] = set()  # keys whose money is to be told
        self._used: list[tuple[str, str, int, int]] = []  # holds whose tokens are to be told
        self._is_telling = False
        self._apart: dict[int, Apart] = defaultdict(Apart)
        self._sent: dict[str, Sent] = {}  # what was let through apart, in the last minute, by its hold
        self._times_apart = 1
        self.processes = processes

    def start(self) -> None:
        """Connect, in the server's loop."""
        self._link.start()

    async def stop(self) -> None:
        """Take leave of the others, and disconnect. The ledger should have been written."""
        if self._link.is_up:
            await asyncio.wait((self._tell(leaves=True),), timeout=self._times.beat)
        await self._link.stop()

    @property
    def is_shared(self) -> bool:
        """Whether this process is in step with the others now."""
        return self._link.is_up

    # --- reserving -----------------------------------------------------------------------------------------

    async def reserve(
        self, limits: KeyLimits, tokens: int = 0, cost: Decimal | None = None, *, is_free: bool = False
    ) -> Hold:
        """The same over all processes, in one round trip; by its own share when Redis does not answer in time."""
        self._known[limits.key] = limits
        name = f"{self._process}-{next(self._names)}"
        if self._link.is_up:
            counted = 0 if is_free or limits.tokens is None else tokens
            price = None if is_free or limits.budget is None else cost or ZERO
            hold = await self._reserve_shared(_Ask(limits, name, counted, price))
            if hold is not None:
                return hold
        return self._reserve_apart(name, limits, tokens, cost, is_free=is_free)

    async def _reserve_shared(self, ask: _Ask) -> Hold | None:
        """None when Redis does not answer. Raises LimitReached."""
        reply = self._link.call(KEY_TAKE, partial(self._asking, ask))
        try:
            answer = await self._link.within(reply)
        except asyncio.CancelledError:
            reply.add_done_callback(partial(self._give_back, ask))
            raise
        if answer is None:
            return None
        self._learn(ask.limits, answer)
        if shortages := self._shortages(ask, answer):
            raise LimitReached(ask.limits, *shortages)
        hold = self.occupy(ask.limits, ask.tokens, ask.cost)
        hold.id = ask.name
        self._count(ask)
        return hold

    def _reserve_apart(
        self, name: str, limits: KeyLimits, tokens: int, cost: Decimal | None, *, is_free: bool
    ) -> Hold:
        """By this process's share. Raises LimitReached."""
        apart, own, now = self._apart[limits.key], self.use(limits.key).minute, self.now()
        own.turn(now)
        held = self._own(limits) + self._others.get(limits.key, ZERO)
        left = (limits.budget or ZERO) - self._ledger(limits) - held
        apart.open_quota(self._period(limits), left, self.processes)
        room = apart.room(limits, own, now, self.processes)
        hold = self.reserve_here(limits, tokens, cost, is_free=is_free, room=room)
        hold.id, hold.apart = name, self._times_apart
        apart.given += hold.cost
        self._note_sent(Sent(limits.key, now, hold.tokens, apart.minute.add(now, 1, hold.tokens)), name)
        return hold

    def _note_sent(self, sent: Sent, name: str) -> None:
        """To be told when the others can be asked again; after a minute it is nobody's business any more."""
        self._sent[name] = sent
        while self._sent[oldest := next(iter(self._sent))].at < sent.at - MINUTE:
            del self._sent[oldest]

    def _asking(self, ask: _Ask) -> Iterable[bytes]:
        """What is known when the question is sent."""
        ask.round, limits = self._round, ask.limits
        has_price = limits.budget is not None and ask.price is not None
        question = {
            "key": str(limits.key),
            "process": self._process,
            "patience": _us(self._times.dead),
            "hold": ask.name,
            "requests": limits.requests,
            "tokens": limits.tokens,
            "budget": to_units(limits.budget or ZERO) if has_price else None,
            "counted": ask.tokens,
            "cost": to_units(ask.cost),
            "period": self._period(limits),
            "spent": to_units(self._ledger(limits)),
        }
        return (_encode(question),)

    def _count(self, ask: _Ask) -> None:
        """Redis has counted this, unless it was told the whole since."""
        if ask.round == self._round:
            self._counted[ask.limits.key] += ask.cost
        self._tell_if_wrong(ask.limits)

    def _give_back(self, ask: _Ask, reply: Reply) -> None:
        """Whoever asked has left."""
        if not reply.cancelled() and not reply.exception() and not _is_refused(reply.result()):
            self._count(ask)

    def _learn(self, limits: KeyLimits, answer: list[Any]) -> None:
        requests, tokens, others, spent = answer[4:]
        own, now = self.use(limits.key).minute, self.now()
        own.turn(now)
        self._apart[limits.key].hear(now, requests - own.requests, tokens - own.tokens)
        place = (limits.key, self._period(limits))
        self._others[limits.key] = to_dollars(others)
        self._heard[place] = max(self._heard.get(place, ZERO), to_dollars(spent))

    def _shortages(self, ask: _Ask, answer: list[Any]) -> list[Shortage]:
        limits, found = ask.limits, []
        _, requests_wait, tokens_wait, is_dear, requests, tokens, _, _ = answer
        for limit, wait, allowed, used, asked in (
            (Limit.REQUESTS, requests_wait, limits.requests, requests, 1),
            (Limit.TOKENS, tokens_wait, limits.tokens, tokens, ask.tokens),
        ):
            if wait >= 0:
                counts = (Decimal(allowed or 0), Decimal(used), ZERO, Decimal(asked))
                found.append(Shortage(limit, *counts, wait / MICROSECONDS))
        if is_dear:
            spent = self._ledger(limits) + self._pending(limits)
            held = self.use(limits.key).spending.reserved + self._others[limits.key]
            found.append(self.too_dear(limits, spent, held, ask.cost, (limits.budget or ZERO) - spent))
        return found

    # --- money ---------------------------------------------------------------------------------------------

    def _span(self, limits: KeyLimits) -> range:
        return span_of(limits.period, int(self.wall() // DAY_SECONDS))

    def _period(self, limits: KeyLimits) -> str:
        return f"{limits.period.value}:{self._span(limits).start}"

    def _pending(self, limits: KeyLimits) -> Decimal:
        """What this process has spent in the period and the ledger does not say yet."""
        span, places = self._span(limits), itertools.chain(self.unsaved.items(), self.saving.items())
        return sum((amount for (key, day), amount in places if key == limits.key and day in span), ZERO)

    def _own(self, limits: KeyLimits) -> Decimal:
        """What this process holds on top of the ledger."""
        return self.use(limits.key).spending.reserved + self._pending(limits)

    def _ledger(self, limits: KeyLimits) -> Decimal:
        """What is in the ledger for the period, as far as anybody has told."""
        spent = self.use(limits.key).spending.spent(limits.period, self.wall()) - self._pending(limits)
        return max(spent, self._heard.get((limits.key, self._period(limits)), ZERO))

    def remaining(self, limits: KeyLimits) -> Decimal | None:
        """What is left of a key's budget and not held by anybody; None without a budget."""
        if limits.budget is None:
            return None
        held = self._own(limits) + self._others.get(limits.key, ZERO)
        return max(ZERO, limits.budget - self._ledger(limits) - held)

    def settle(self, hold: Hold, slot: Slot, tokens: int, cost: Decimal) -> None:
        """A hold is over, for everybody."""
        super().settle(hold, slot, tokens, cost)
        limits = hold.limits
        if hold.apart:
            self._settle_apart(hold, tokens, cost)
        if limits.tokens is not None and hold.tokens != tokens and self._link.is_up:
            self._used.append((str(limits.key), hold.id, hold.tokens, tokens))
            self._tell_soon()
        self._tell_if_wrong(limits)

    def _settle_apart(self, hold: Hold, tokens: int, cost: Decimal) -> None:
        apart = self._apart[hold.limits.key]
        if hold.apart == self._times_apart:
            apart.given += cost - hold.cost
        if (sent := self._sent.get(hold.id)) is not None:
            apart.minute.correct(self.now(), sent.slot, hold.tokens, tokens)
            sent.tokens = tokens

    def saved(self, totals: Iterable[tuple[int, int, Decimal]]) -> None:
        """The ledger was written: what it says now replaces what was held on top of it."""
        totals = list(totals)
        super().saved(totals)
        for key, _, _ in totals:
            if key in self._known:
                self._tell_if_wrong(self._known[key])

    # --- telling -------------------------------------------------------------------------------------------

    def _tell_if_wrong(self, limits: KeyLimits) -> None:
        """What Redis takes this process to hold is corrected."""
        if limits.budget is not None and self._counted[limits.key] != self._own(limits):
            self._news.add(limits.key)
            self._tell_soon()

    def _tell_soon(self) -> None:
        """With the next message; until the connection has sent it more can be added."""
        if self._link.is_up and not self._is_telling:
            self._is_telling = True
            self._tell()

    def _tell(self, *, leaves: bool = False, whole: bool = False, sent: Sequence[str] = ()) -> Reply:
        return self._link.call(KEY_TELL, lambda: (self._told(leaves, whole, sent),))

    def _told(self, leaves: bool, whole: bool, sent: Sequence[str]) -> bytes:
        """What there is to say at this moment. `sent`: of what was let through apart, by its hold."""
        self._is_telling = False
        if whole:
            self._round += 1
            self._counted.clear()
            self._news |= self._known.keys()
        news, self._news = self._news, set()
        used, self._used = self._used, []
        limits = [self._known[key] for key in news if self._known[key].budget is not None]
        told = {
            "process": self._process,
            "patience": _us(self._times.dead),
            "leaves": int(leaves),
            "whole": int(whole),
            "money": [self._money(one) for one in limits],
            "tokens": used,
            "sent": [self._let_through(name) for name in sent if name in self._sent],
        }
        return _encode(told)

    def _let_through(self, name: str) -> tuple[str, str, int, int]:
        """Key, hold, age, tokens."""
        one = self._sent[name]
        return str(one.key), name, _us(self.now() - one.at), one.tokens

    def _money(self, limits: KeyLimits) -> tuple[str, int, str, int]:
        own = self._own(limits)
        change, self._counted[limits.key] = own - self._counted[limits.key], own
        return str(limits.key), to_units(change), self._period(limits), to_units(self._ledger(limits))

    async def _serve(self) -> None:
        """Runs as long as a connection lasts: a beat, and all that is held whenever Redis may not know it."""
        await self._tell(whole=True)
        await self._tell_sent()
        self._times_apart += 1
        for apart in self._apart.values():
            apart.join()
        self._link.open()
        self._news |= self._known.keys()
        await self._tell_sent()  # what was let through meanwhile
        joined_at = self.now()
        while True:
            _, count, was_known = await self._tell()
            others_may_come = self.now() - joined_at < self._times.dead
            self.processes = max(count, self.processes) if others_may_come else count
            if not was_known:
                await self._tell(whole=True)
            await asyncio.sleep(self._times.beat)

    async def _tell_sent(self) -> None:
        """What of the last minute Redis may not know, in pieces: while it reads one it serves nobody."""
        names = list(self._sent)
        for start in range(0, len(names), MOST_SENT):
            piece = names[start : start + MOST_SENT]
            await self._tell(sent=piece)
            for name in piece:
                self._sent.pop(name, None)

    def _part(self) -> None:
        """The connection is lost, and what was to be sent with it."""
        self._is_telling = False
        self._used.clear()


def _is_refused(answer: list[Any]) -> bool:
    return answer[1] >= 0 or answer[2] >= 0 or bool(answer[3])


def _us(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def _ignore(_: bytes) -> None:
    """The pool's announcements."""
