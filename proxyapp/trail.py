"""What a request has tried and what is left: targets in order, each account of a target at most once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterator
from decimal import Decimal

import msgspec
from django.conf import settings

from accounts.clock import clock
from accounts.credentials import token_in_force
from accounts.pool import Ask, Lease, Unavailable, pool
from accounts.refresh import RefreshResult, refresh_now
from accounts.reports import Report, Result
from accounts.retry_budget import AMBIGUOUS_COST, TRANSIENT_COST, RetryBudget
from accounts.snapshot import AccountConfig, keeper
from accounts.standing import ObstacleKind
from accounts.token_files import token_files
from accounts.waiting import QueueFull, room
from analytics.drafts import AttemptDraft
from analytics.pricing import estimate_cost
from backends.routing import Decision, Target
from backends.wire.kinds import carrier
from proxyapp.call import ClientCall
from proxyapp.errors import ProxyError
from proxyapp.exchange import Exchange, UpstreamTime
from proxyapp.key_estimates import estimate_of, output_sizes
from proxyapp.notes import choice_note
from proxyapp.policy import MAX_ATTEMPTS, RESENDS, WAITS, Fault, Move, Options, verdict
from proxyapp.quirks import note
from proxyapp.room_for import has_more_room
from proxyapp.unavailable import queue_full_error, unavailable_error

RETRY_PAUSE_SECONDS = (0.05, 0.2)
Found = tuple[int, Lease]


class Trail(msgspec.Struct):
    """The way of one request through its targets. `open()` makes one; `lease()`, `judge()`, `advance()` move it."""

    call: ClientCall
    targets: tuple[Target, ...]
    index: int = 0  # of the target in turn
    asked: int = 0  # of the target that was asked last
    tried: set[tuple[int, str]] = msgspec.field(default_factory=set)  # (target, account)
    refreshed: set[str] = msgspec.field(default_factory=set)
    same_tried_again: bool = False
    ambiguous_before: bool = False
    has_waited: bool = False
    again: AccountConfig | None = None  # the account that the verdict wants tried once more
    floor: int = 0  # targets before it are ruled out: the prompt is too long for them
    queue_left: float = 0.0  # seconds that this request may still spend in the queue
    attempt: AttemptDraft | None = None
    sent_with: int | None = None  # the generation of the token that the attempt goes with

    @classmethod
    def open(cls, call: ClientCall, decision: Decision) -> Trail:
        """A trail over the targets that speak the call's language. Raises ProxyError when none does."""
        refusals = [_refusal(call, decision, target) for target in decision.targets]
        usable = tuple(
            target for target, refusal in zip(decision.targets, refusals, strict=True) if not refusal
        )
        if not usable and refusals[0]:
            raise refusals[0]
        call.draft.backend = usable[0].backend.name
        if mute := [target.backend.name for target in decision.targets if target not in usable]:
            call.draft.route_reason += f"; nothing like {call.kind.path} at {', '.join(mute)}"
        return cls(call, usable, queue_left=float(settings.PATCHBAY_QUEUE_SECONDS))

    @property
    def target(self) -> Target:
        """The target in turn."""
        return self.targets[self.index]

    @property
    def is_fallback(self) -> bool:
        """Whether the target in turn is not the decision's first choice any more."""
        return self.index > 0

    # --- leasing -----------------------------------------------------------------------------------------------

    async def lease(self) -> Lease:
        """An account of the target in turn, or of a later one; waits in the queue when all are spent or busy.

        Raises ProxyError: 429 when nothing comes free in time, 503 when time will not help.
        """
        draft, began = self.call.draft, clock()
        queued_before = draft.queued_s
        try:
            return await self._lease()
        finally:
            waited = draft.queued_s - queued_before
            draft.lease_ms = (draft.lease_ms or 0.0) + max(0.0, clock() - began - waited) * 1000

    async def _lease(self) -> Lease:
        try:
            if len(room.order) and room.is_waiting(self._lane()):
                return self._begin(await self._queued())
            try:
                return self._begin(await self._attempt())
            except Unavailable as failure:
                if failure.is_broken or not self._is_soon(failure.recovers_at):
                    raise
            return self._begin(await self._queued())
        except Unavailable as failure:
            self.call.draft.choices += [choice_note(found.choice) for found in failure.failures]
            raise unavailable_error(failure) from failure

    def go_back(self) -> None:
        """Nobody else could be had after all: the target that was asked last is in turn again."""
        self.index = self.asked

    async def _attempt(self) -> Found:
        found, lease = await pool.lease_first(self._asks())
        return self.index + found, lease

    async def _queued(self) -> Found:
        """The same through the queue. Raises Unavailable when that cannot help in time."""
        began = clock()
        try:
            return await room.wait(
                self._attempt,
                discard=lambda found: found[1].settle(),
                key=self.call.caller.key,
                lane=self._lane(),
                seconds=self.queue_left,
                limit=settings.PATCHBAY_QUEUE_MAX,
            )
        except QueueFull:
            raise queue_full_error(self.recovers_at()) from None
        finally:
            waited = clock() - began
            self.queue_left = max(0.0, self.queue_left - waited)
            self.call.waited(waited)

    def _is_soon(self, moment: float | None) -> bool:
        """Whether this request may wait for so long."""
        return moment is not None and 0 < self.queue_left >= moment - clock()

    def _lane(self) -> object:
        """Requests with the same lane would be served, or not, alike.

        A session whose account could serve waits for that account alone, so it must not hold up the others.
        """
        asks = self._asks()
        names = (self.call.only_account, *((ask.backend.name, ask.model) for ask in asks))
        if self.again is not None:
            return (names, frozenset(self.tried), self.again.uid)
        own = pool.state.bound(asks[0].sticky, clock())
        is_free = any(a.uid == own and not pool.obstacle(a, asks[0].model) for a in asks[0].accounts)
        return (names, frozenset(self.tried), own if is_free else "")

    def _asks(self) -> list[Ask]:
        if self.again is not None:
            return [self._ask(self.target, (self.again,), ())]
        return [
            self._ask(target, self._accounts(target), {uid for at, uid in self.tried if at == index})
            for index, target in enumerate(self.targets)
            if index >= self.index
        ]

    def _ask(self, target: Target, accounts: tuple[AccountConfig, ...], tried: Collection[str]) -> Ask:
        call = self.call
        cost = _estimate(call, target) if any(account.has_limits for account in accounts) else None
        return Ask(target.backend, accounts, target.model, call.session.id, call.caller.key, tried, cost)

    def _begin(self, found: Found) -> Lease:
        index, lease = found
        if index != self.index:
            self._go_to(index)
        self.asked = index
        target, draft, account = self.target, self.call.draft, lease.account
        self.tried.add((index, account.uid))
        self.again, self.sent_with = None, _generation(account)
        self.attempt = AttemptDraft(target.backend.name, account.alias, target.model)
        draft.attempts.append(self.attempt)
        told_ms = sum(choice.waited_ms for choice in draft.choices)
        draft.choices.append(choice_note(lease.choice, max(0.0, draft.queued_s - told_ms / 1000)))
        draft.backend, draft.account, draft.model_used = target.backend.name, account.alias, target.model
        draft.provider = target.backend.preset
        return lease

    # --- after an attempt --------------------------------------------------------------------------------------

    def judge(self, result: Exchange, lease: Lease) -> Move:
        """The policy's verdict on the attempt, told to the pool and noted in the attempt's row."""
        move = self._verdict(result, lease)
        note(self.call, self.target, result.refused, result.message, is_good=result.fault is Fault.NONE)
        if result.fault is Fault.OVERFLOW and move is Move.NEXT_TARGET:
            self._rule_out_smaller()
        self.ambiguous_before |= result.fault is Fault.AMBIGUOUS
        if self.attempt is not None:
            self.attempt.status = result.status
            self.attempt.end(result.code, move.value, result.message)
        return move

    def _verdict(self, result: Exchange, lease: Lease) -> Move:
        """A token that may be refreshed is not reported as refused before that. A good answer pays into the pool's
        retry budget; a resend to the same backend takes out of it.
        """
        fault = result.fault
        can_refresh = fault is Fault.CREDENTIAL and self._can_refresh(lease.account)
        if not can_refresh:
            self._report(lease, result.report)
        if fault is Fault.NONE:
            self._budget().earn()
            return Move.GO_ON
        move = verdict(fault, self._options(fault, can_refresh))
        if can_refresh and move is not Move.REFRESH:
            self._report(lease, result.report)
        if fault in RESENDS and move in (Move.NEXT_ACCOUNT, Move.SAME_ACCOUNT):
            self._budget().spend(_cost(fault))
        return move

    async def advance(self, move: Move, lease: Lease, report: Report) -> None:
        """Make the next `lease()` follow the verdict on the account of `lease`, which is settled."""
        match move:
            case Move.NEXT_TARGET:
                self._go_to(self.index + 1)
            case Move.AGAIN_WITHOUT:
                self.again = lease.account
            case Move.SAME_ACCOUNT:
                self.again, self.same_tried_again = lease.account, True
                with UpstreamTime(self.call):
                    await asyncio.sleep(random.uniform(*RETRY_PAUSE_SECONDS))
            case Move.WAIT:
                self.has_waited = True
                self._go_to(self.floor)
                self.tried = {(at, uid) for at, uid in self.tried if not self._is_held(at, uid)}
            case Move.REFRESH:
                with UpstreamTime(self.call):
                    await self._refresh(lease, report)

    async def _refresh(self, lease: Lease, report: Report) -> None:
        """One fresh token for the account that was refused, and one more try; else it counts as refused."""
        account = lease.account
        self.refreshed.add(account.uid)
        if account.token_file:
            is_cured = token_files.has_changed(account.token_file, account.token_path)
        else:
            is_cured = await refresh_now(account.uid, seen_generation=self.sent_with) in _CURED
        if is_cured:
            self.again = keeper.current.account(account.uid)
        if self.again is None:
            self._report(lease, report)

    def _report(self, lease: Lease, report: Report) -> None:
        """Tell the pool, unless a token was refused that another one has replaced meanwhile: the account is well."""
        if report.result is Result.REFUSED:
            account = keeper.current.account(lease.account.uid) or lease.account
            if self.sent_with != _generation(account):
                return
        lease.report(report)

    def _can_refresh(self, account: AccountConfig) -> bool:
        """An OAuth token once; a token file once, since its owner may just have written a new token."""
        if account.uid in self.refreshed:
            return False
        return bool(account.token_file) or (account.token is not None and account.token.can_refresh)

    def abandon(self) -> None:
        """The client left, or something of ours failed, while an attempt ran."""
        if self.attempt is not None and not self.attempt.outcome:
            self.attempt.end("cancelled", "")

    def _go_to(self, index: int) -> None:
        self.index, self.same_tried_again = index, False

    def _options(self, fault: Fault, can_refresh: bool) -> Options:
        left = MAX_ATTEMPTS - len(self.call.draft.attempts)
        return Options(
            attempts_left=left if self.call.seconds_left else 0,
            other_account=self._has_other_account(),
            other_target=self._has_other_target(),
            same_tried_again=self.same_tried_again,
            ambiguous_before=self.ambiguous_before,
            can_refresh=can_refresh,
            recovers_in_time=fault in WAITS and self._is_soon(self.recovers_at()),
            has_waited=self.has_waited,
            has_budget=fault not in RESENDS or self._budget().has(_cost(fault), clock()),
            larger_target=fault is Fault.OVERFLOW and self._has_other_target(larger=True),
        )

    def _rule_out_smaller(self) -> None:
        """Nobody whose model has no more room than the one that overflowed is asked from now on."""
        kept = [at for at in range(len(self.targets)) if at <= self.index or self._is_larger(at)]
        places = {at: place for place, at in enumerate(kept)}
        self.tried = {(places[at], uid) for at, uid in self.tried if at in places}
        self.targets = tuple(self.targets[at] for at in kept)
        self.floor = self.index + 1

    def _is_larger(self, at: int) -> bool:
        return has_more_room(self.targets[at], self.target, self.call.facts)

    def _budget(self) -> RetryBudget:
        return pool.budget(self.target.backend.name, self._accounts(self.target))

    def _has_other_account(self) -> bool:
        return any(_serves(account, self.target) for account in self._untried(self.index))

    def _has_other_target(self, *, larger: bool = False) -> bool:
        later = (at for at in range(self.index + 1, len(self.targets)) if not larger or self._is_larger(at))
        return any(_serves(account, self.targets[at]) for at in later for account in self._untried(at))

    def _accounts(self, target: Target) -> tuple[AccountConfig, ...]:
        """The accounts as they are now: a token may have been refreshed, an account removed, since the request came."""
        found, only = keeper.current.pool(target.backend.name), self.call.only_account
        return tuple(account for account in found if account.alias == only) if only else found

    def _untried(self, at: int) -> Iterator[AccountConfig]:
        return (a for a in self._accounts(self.targets[at]) if (at, a.uid) not in self.tried)

    def _is_held(self, at: int, uid: str) -> bool:
        """Whether time will give this account back: it may be tried once more then."""
        account = keeper.current.account(uid)
        return account is not None and pool.obstacle(account, self.targets[at].model) is not None

    def recovers_at(self) -> float | None:
        """When the first account of any target may serve this request, on the pool's clock; None: unknown."""
        moments: list[float | None] = []
        for at, target in list(enumerate(self.targets))[self.floor :]:
            moments += [clock() for account in self._untried(at) if _serves(account, target)]
            found = [pool.obstacle(account, target.model) for account in self._accounts(target)]
            moments += [o.recovers_at for o in found if o is not None and not o.is_broken]
        return min((moment for moment in moments if moment is not None), default=None)


_CURED = (RefreshResult.REFRESHED, RefreshResult.FRESH)


def _generation(account: AccountConfig) -> int | None:
    """Of the OAuth token in force; None for every other credential."""
    _, token = token_in_force(account)
    return token.generation if token is not None else None


def _cost(fault: Fault) -> float:
    return AMBIGUOUS_COST if fault is Fault.AMBIGUOUS else TRANSIENT_COST


def _serves(account: AccountConfig, target: Target) -> bool:
    obstacle = pool.obstacle(account, target.model)
    return obstacle is None or obstacle.kind is ObstacleKind.FAULTY


def _estimate(call: ClientCall, target: Target) -> Decimal | None:
    """What the request will hardly exceed, in US dollars: its input, and an answer as long as this model's mostly are,
    or as the client allows.
    """
    backend, prices, tokens = target.backend, call.snapshot.prices, estimate_of(call, (target,))
    output = min(tokens.output, output_sizes.expected(target))
    return estimate_cost(target.model, backend.preset, tokens.input, output, backend=backend.name, own=prices)


def _refusal(call: ClientCall, decision: Decision, target: Target) -> ProxyError | None:
    """Why this target cannot serve this call at all, or None."""
    backend = target.backend
    if carrier(call.kind, backend.kinds) is not None:
        return None
    message = (
        f"Backend {backend.name} speaks {backend.protocol.value} and has nothing like {call.kind.path}."
        f" Route {decision.asked!r} to a backend that does."
    )
    return ProxyError(400, message, param="model", is_rejection=True)
