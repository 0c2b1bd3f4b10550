"""The pool: which account serves an attempt, and the lease that holds it meanwhile.

Rule: a lease is taken and given back in one place; `settle()` works once, and works from any `finally`. What an
attempt showed about its account is told by `report()`, as soon as it is known: a stream may run for minutes
after its first byte has ended a probe.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from accounts.choice import Candidate, ranked, score_of
from accounts.models import Account
from accounts.pool_state import ZERO, AccountState, Claim, LocalPoolState, NotNow, Sticky, Taken
from accounts.reports import Attempt, Report, apply_report
from accounts.retry_budget import RetryBudget
from accounts.snapshot import AccountConfig
from accounts.spending import obstacle_of, periods
from accounts.standing import Obstacle, ObstacleKind, Standing
from accounts.windows import BenchKind
from backends.config import BackendConfig
from backends.wire.limits import classes_of

CONSIDERED = 20  # how many accounts a decision names; the rest is counted
CATCH_UP_TURNS = 10.0  # an account that was away has so many to make up for at most, in a weighted pool
PACING_SECONDS = 2.0  # an account that is free again so soon is waited for
RANKINGS = 3  # how often one lease ranks anew because other processes knew better


class Ask(msgspec.Struct, frozen=True):
    """What an attempt needs: an account of one backend for one model. `session` is "" for none.

    `cost` is what the request may cost in US dollars, if anybody asked for a limit.
    """

    backend: BackendConfig
    accounts: Sequence[AccountConfig]
    model: str
    session: str = ""
    key: str = ""
    exclude: Collection[str] = ()
    cost: Decimal | None = None

    @property
    def sticky(self) -> Sticky | None:
        """What the session's account is remembered by."""
        return (self.backend.name, self.key, self.session) if self.session else None


class Considered(msgspec.Struct, frozen=True, gc=False):
    """One account in a choice. `excluded` says why it could not serve; "" when it could."""

    alias: str
    score: float | None
    headroom: float | None
    excluded: str


class Choice(msgspec.Struct, frozen=True, gc=False):
    """Why an account was chosen. `others` counts the accounts that are not listed.

    `is_bound`: the session belonged to the account already, so nothing was weighed.
    """

    backend: str
    model: str
    strategy: str
    chosen: str
    reason: str
    considered: tuple[Considered, ...]
    others: int = 0
    is_bound: bool = False


class NoAccount(Exception):
    """No account of the pool can serve now. `obstacles` maps alias to why not; `choice` tells it for the record."""

    def __init__(self, ask: Ask, obstacles: dict[str, Obstacle], choice: Choice) -> None:
        self.backend, self.obstacles, self.choice = ask.backend.name, obstacles, choice
        listed = "; ".join(f"{alias}: {found.reason}" for alias, found in obstacles.items())
        super().__init__(
            listed or f"backend {self.backend} has no account; add one: accounts add ALIAS --backend NAME"
        )

    @property
    def is_broken(self) -> bool:
        """Whether waiting is no use: every account needs somebody's help, or was tried by this request."""
        return all(o.is_broken or o.recovers_at is None for o in self.obstacles.values())

    @property
    def recovers_at(self) -> float | None:
        """The earliest moment at which an account may serve again, on the pool's clock."""
        moments = [o.recovers_at for o in self.obstacles.values() if not o.is_broken]
        return min((moment for moment in moments if moment is not None), default=None)

    def is_brief(self, until: float) -> bool:
        """Whether an account is only paced, probed or refreshed, and expected to be free before `until`."""
        brief = (ObstacleKind.PACING, ObstacleKind.PROBING, ObstacleKind.REFRESHING)
        return any(
            o.kind in brief and o.recovers_at is not None and o.recovers_at <= until
            for o in self.obstacles.values()
        )


class Unavailable(Exception):
    """No account of any target can serve now. `failures` holds one NoAccount per target, in order."""

    def __init__(self, failures: Sequence[NoAccount]) -> None:
        self.failures = tuple(failures)
        super().__init__("; ".join(str(failure) for failure in failures))

    @property
    def is_broken(self) -> bool:
        """Whether waiting is no use."""
        return all(failure.is_broken for failure in self.failures)

    @property
    def recovers_at(self) -> float | None:
        """The earliest moment at which one of them may serve again, on the pool's clock."""
        moments = [failure.recovers_at for failure in self.failures]
        return min((moment for moment in moments if moment is not None), default=None)


class Lease(msgspec.Struct):
    """One account, held for one attempt. `choice` says why it was this one."""

    account: AccountConfig
    choice: Choice
    model: str
    id: str
    taken_at: float
    _pool: Pool
    _state: AccountState
    _cost: Decimal
    _is_open: bool = True

    def report(self, report: Report) -> None:
        """What the attempt showed about the account. Credentials of callers say nothing about ours."""
        state, news = self._state, self._pool.state
        if self.account.kind != Account.CALLER:
            attempt = Attempt(self.account, self.model, self.taken_at)
            apply_report(news, state, attempt, report, jitter=random.random())
        news.end_probe(state, self.id)

    def settle(self, cost: Decimal | None = None) -> None:
        """Give the account back; `cost` is what the request did cost. The second and later calls do nothing."""
        if not self._is_open:
            return
        self._is_open = False
        if cost:
            self._pool.state.spend(self._state, dict.fromkeys(periods(self._pool.state.wall()), cost))
        self._pool.state.release(self._state, self.id, self._cost)


class _Look(msgspec.Struct, frozen=True):
    """One look at a pool: who could serve, the best first, and what is in the way of the others."""

    ask: Ask
    now: float
    order: list[Candidate]
    unfit: dict[str, Obstacle]

    def standing(self, uid: str) -> Standing:
        """Of an account in the order."""
        return next(standing for standing, _ in self.order if standing.account.uid == uid)


@dataclass
class Pool:
    """The pools of all backends, over one state."""

    state: LocalPoolState = field(default_factory=LocalPoolState)
    _budgets: dict[str, tuple[float, RetryBudget]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def lease(self, ask: Ask) -> Lease:
        """Hold the best account of the pool. Raises NoAccount with the reasons."""
        lease_id = f"{self.state.process}-{next(self._ids)}"
        busy = NotNow(self.state.now())
        for _ in range(RANKINGS):
            look = self._look(ask)
            if not look.order:
                raise NoAccount(ask, look.unfit, self._choice(look, "", "no account can serve"))
            claims = _claims(look.order, self.state.wall())
            taken = await self.state.take(claims, ask.sticky, lease_id, ask.cost or ZERO)
            if isinstance(taken, Taken):
                return self._lease(look, taken, lease_id)
            busy = taken
            if not busy.is_stale:
                break
        raise self._busy(look, busy)

    def _busy(self, look: _Look, until: NotNow) -> NoAccount:
        busy = {standing.account.alias: _pacing(standing, until) for standing, _ in look.order}
        look = msgspec.structs.replace(look, unfit=look.unfit | busy)
        return NoAccount(look.ask, look.unfit, self._choice(look, "", "every account is busy"))

    async def lease_first(self, asks: Sequence[Ask]) -> tuple[int, Lease]:
        """A lease for the first of several targets that has an account, with that target's index.

        A target whose accounts are only busy for a moment is not passed over. Raises Unavailable.
        """
        failures = []
        for index, ask in enumerate(asks):
            try:
                return index, await self.lease(ask)
            except NoAccount as exc:
                failures.append(exc)
                if exc.is_brief(self.state.now() + PACING_SECONDS):
                    break
        raise Unavailable(failures)

    def _lease(self, look: _Look, taken: Taken, lease_id: str) -> Lease:
        state, ask = taken.state, look.ask
        standing = look.standing(state.uid)
        account = standing.account
        latest = max(load.turn for _, load in look.order)
        state.turn = max(state.turn, latest - CATCH_UP_TURNS) + 1 / account.weight
        choice = self._choice(look, account.alias, _reason(look, taken), is_bound=taken.was_bound)
        return Lease(account, choice, ask.model, lease_id, look.now, self, state, ask.cost or ZERO)

    def budget(self, backend: str, accounts: Iterable[AccountConfig]) -> RetryBudget:
        """How many retries the pool of a backend may still cause; a fresh one once an account was resumed."""
        resumed_at = max((account.resumed_at for account in accounts), default=0.0)
        known = self._budgets.get(backend)
        if known is None or known[0] < resumed_at:
            known = self._budgets[backend] = (resumed_at, RetryBudget())
        return known[1]

    def obstacle(self, account: AccountConfig, model: str | None = None) -> Obstacle | None:
        """Why an account cannot serve this model (None: any model) now, or None when it can."""
        classes = None if model is None else classes_of(model)
        now, state = self.state.now(), self.state.account(account.uid)
        standing = self.state.standing(account, classes, now)
        return obstacle_of(standing, state, None, now=now, wall=self.state.wall())

    def is_refused(self, account: AccountConfig) -> bool:
        """Whether the provider refused the account's credential when it was last used."""
        return self.state.standing(account, None, self.state.now()).is_refused

    def preview(self, ask: Ask) -> Choice:
        """What `lease()` would choose now, without taking it."""
        look = self._look(ask)
        return self._choice(look, look.order[0][0].account.alias if look.order else "", "")

    def _look(self, ask: Ask) -> _Look:
        now = self.state.now()
        fit, unfit = self._sort_out(ask, now)
        order = ranked(fit, ask.backend.strategy, now)
        bound = self.state.bound(ask.sticky, now)
        if (
            bound and order and order[0][0].account.uid != bound
        ):  # the session's own account first, if it can serve
            own = [candidate for candidate in fit if candidate[0].account.uid == bound]
            order = [*own, *(candidate for candidate in order if candidate[0].account.uid != bound)]
        return _Look(ask, now, order, unfit)

    def _sort_out(self, ask: Ask, now: float) -> tuple[list[Candidate], dict[str, Obstacle]]:
        """Who can serve, and what is in the way of the others. Faults count only while somebody else can."""
        classes, state, wall = classes_of(ask.model), self.state, self.state.wall()
        fit: list[Candidate] = []
        faulty: list[Candidate] = []
        unfit: dict[str, Obstacle] = {}
        for account in ask.accounts:
            load = state.accounts.get(account.uid) or state.account(account.uid)
            standing = state.standing(account, classes, now)
            if account.uid in ask.exclude:
                unfit[account.alias] = _TRIED
            elif obstacle := obstacle_of(standing, load, ask.cost, now=now, wall=wall):
                unfit[account.alias] = obstacle
                if obstacle.kind is ObstacleKind.FAULTY:
                    faulty.append((standing, load))
            else:
                fit.append((standing, load))
        return fit or faulty, unfit

    def _choice(self, look: _Look, chosen: str, reason: str, *, is_bound: bool = False) -> Choice:
        ask, unfit, strategy = look.ask, look.unfit, look.ask.backend.strategy
        listed = [
            Considered(s.account.alias, round(score_of(s, load, strategy, look.now), 4), s.headroom, "")
            for s, load in look.order[:CONSIDERED]
            if s.account.alias not in unfit
        ]
        for alias, obstacle in itertools.islice(unfit.items(), CONSIDERED - len(listed)):
            listed.append(self._excluded(look, alias, obstacle))
        others = max(0, len(ask.accounts) - len(listed))
        return Choice(
            ask.backend.name, ask.model, strategy.value, chosen, reason, tuple(listed), others, is_bound
        )

    def _excluded(self, look: _Look, alias: str, obstacle: Obstacle) -> Considered:
        account = next(a for a in look.ask.accounts if a.alias == alias)
        standing = self.state.standing(account, classes_of(look.ask.model), look.now)
        load = self.state.account(account.uid)
        score = score_of(standing, load, look.ask.backend.strategy, look.now)
        return Considered(alias, round(score, 4), standing.headroom, obstacle.reason)


_TRIED = Obstacle(ObstacleKind.TRIED, "already tried by this request")


def _claims(order: list[Candidate], wall: float) -> list[Claim]:
    """One probe at a time; but while every account is out for faults, they serve as before."""
    all_at_fault = all(s.probe is not None and s.probe.kind is BenchKind.FAULT for s, _ in order)
    claims = []
    for standing, load in order:
        account = standing.account
        limits = _limits(account, wall) if account.has_limits else ()
        is_probe = standing.probe is not None and not all_at_fault
        assert isinstance(load, AccountState)
        claims.append(Claim(load, account.interval_s, is_probe, limits))
    return claims


def _limits(account: AccountConfig, wall: float) -> tuple[tuple[str, Decimal], ...]:
    limits = zip(periods(wall), (account.daily_limit, account.monthly_limit), strict=True)
    return tuple((period, limit) for period, limit in limits if limit is not None)


def _pacing(standing: Standing, until: NotNow) -> Obstacle:
    if standing.probe is not None:
        return Obstacle(ObstacleKind.PROBING, "another request is probing it", until.again_at)
    return Obstacle(ObstacleKind.PACING, "the least time between two requests has not passed", until.again_at)


def _reason(look: _Look, taken: Taken) -> str:
    if taken.was_bound:
        return "the session's account"
    if len(look.ask.accounts) == 1:
        return "the only account"
    strategy = look.ask.backend.strategy
    words = f"best by {strategy.value}" if len(look.order) > 1 else "the only one that can serve"
    probe = look.standing(taken.state.uid).probe
    return f"{words}; probing after: {probe.reason}" if probe is not None else words


def configured_state() -> LocalPoolState:
    """Shared with other processes if REDIS_URL says where, else this process's own."""
    if not settings.REDIS_URL:
        return LocalPoolState()
    from accounts.redis_state import RedisPoolState  # where it is needed: it costs memory and time

    try:
        return RedisPoolState(settings.REDIS_URL)
    except ValueError:  # its text may hold part of a password
        raise ImproperlyConfigured(
            "REDIS_URL cannot be read. Write redis://[:password@]host[:port][/database], and percent-encode what is"
            " special in the password."
        ) from None


pool = Pool(configured_state())
