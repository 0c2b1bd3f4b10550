"""Whatever happens in whatever order: the pool holds nothing back, gives nothing out wrongly, and starves nobody."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accounts.models import Account, Bench, Window
from accounts.pool import Lease, NoAccount, Pool
from accounts.pool_memory import PoolMemory, recall
from accounts.pool_state import STICKY_SECONDS
from accounts.reports import Report, Result
from accounts.snapshot import AccountConfig
from accounts.standing import ObstacleKind
from accounts.windows import BenchKind
from backends.config import Strategy
from backends.models import Backend
from backends.wire.limits import Limits, Reading, class_of, classes_of
from tests.accounts.pool_oracle import Facts
from tests.accounts.pools import HAIKU, HOUR, OPUS, SONNET, WALL, Time, account, ask, at_once

ALIASES = ("a", "b", "c", "slow")
INTERVAL = 0.5
MODELS = st.sampled_from((OPUS, SONNET, HAIKU))
MOMENTS = (0.0, 0.3, 1.0, 5.0, 31.0, 61.0, 301.0, HOUR, 5 * HOUR, 7 * 24 * HOUR)
RESETS = st.sampled_from((-5.0, 0.0, 30.0, HOUR, 5 * HOUR, 6 * 24 * HOUR))
USED = st.sampled_from((0.0, 0.5, 0.97, 0.98, 0.985, 1.0, 1.2))
EPS = 0.001


@dataclass
class Held:
    """A lease under way. `probes`: it is the one that tries a benched account."""

    lease: Lease
    model: str
    at: float
    probes: bool = False
    is_reported: bool = False


def clean_tables() -> None:
    """The same accounts for every example, and nothing remembered of them."""
    if not Account.objects.exists():
        backend = Backend.objects.create(name="b", base_url="http://127.0.0.1:9/v1")
        for alias in ALIASES:
            Account.objects.create(alias=alias, uid=alias, backend=backend, kind=Account.NONE)
    Window.objects.all().delete()
    Bench.objects.all().delete()


class PoolMachine(RuleBasedStateMachine):
    """`now` is true time; the pool's clock and the wall clock are off from it by what the test makes them."""

    def __init__(self) -> None:
        super().__init__()
        clean_tables()
        self.now, self.clock_at, self.wall_at = 0.0, 1000.0, WALL
        self.configs = {alias: account(alias) for alias in ALIASES}
        self.configs["slow"] = account("slow", interval_s=INTERVAL)
        self.facts = {alias: Facts() for alias in ALIASES}
        self.written = {
            alias: (Facts(), self.wall_at) for alias in ALIASES
        }  # and how the wall clock was set then
        self.held: list[Held] = []
        self.sessions: dict[str, tuple[str, float]] = {}
        self.paced_at = float("-inf")
        self.strategy = Strategy.HEADROOM
        self.pool = self.new_pool()

    @initialize(strategy=st.sampled_from(Strategy))
    def choose_strategy(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def new_pool(self) -> Pool:
        time = Time()
        self.time = time
        self.set_clocks()
        return time.pool()

    def set_clocks(self) -> None:
        self.time.now, self.time.wall = self.now + self.clock_at, self.now + self.wall_at

    def accounts(self) -> tuple[AccountConfig, ...]:
        return tuple(self.configs.values())

    # --- requests -------------------------------------------------------------------------------------------------

    def try_lease(
        self, model: str, session: str = "", exclude: frozenset[str] = frozenset()
    ) -> Held | NoAccount:
        wanted = ask(self.accounts(), model, self.strategy, session=session, exclude=exclude)
        probed = {alias: self.probe_of(alias, model) for alias in ALIASES}
        try:
            lease = at_once(self.pool.lease(wanted))
        except NoAccount as exc:
            self.check_refusal(exc, model)
            return exc
        self.check_choice(lease, model, exclude, probed[lease.account.alias])
        if session:
            self.check_session(session, lease, model, exclude)
        held = Held(lease, model, self.now, probes=probed[lease.account.alias] is not None)
        self.held.append(held)
        return held

    def probe_of(self, alias: str, model: str) -> BenchKind | None:
        state = self.pool.state
        found = state.standing(self.configs[alias], classes_of(model), state.now())
        return found.probe.kind if found.obstacle is None and found.probe is not None else None

    def check_choice(
        self, lease: Lease, model: str, exclude: frozenset[str], probe: BenchKind | None
    ) -> None:
        alias, facts = lease.account.alias, self.facts[lease.account.alias]
        assert alias not in exclude
        assert not self.configs[alias].is_paused
        assert not self.configs[alias].problem
        assert facts.spent_until(model, self.now) <= self.now + EPS
        assert facts.named_until(model) <= self.now + EPS
        if alias == "slow":
            assert self.now - self.paced_at >= INTERVAL - EPS
            self.paced_at = self.now
        if probe is not None and probe is not BenchKind.FAULT:
            others = [
                h for h in self.held if h.lease.account.alias == alias and h.probes and not h.is_reported
            ]
            is_silent = any(self.now - h.at >= 3.0 - EPS for h in others)  # then it holds nobody up any more
            assert is_silent or not others, "two probes at a time"

    def check_session(self, session: str, lease: Lease, model: str, exclude: frozenset[str]) -> None:
        after = lease.account.alias
        before, used_at = self.sessions.get(session, (after, 0.0))
        if before != after and before not in exclude and self.now - used_at < STICKY_SECONDS - EPS:
            state = self.pool.state
            standing = state.standing(self.configs[before], classes_of(model), state.now())
            assert standing.obstacle is not None or standing.probe is not None, "moved without need"
        self.sessions[session] = (after, self.now)

    def check_refusal(self, exc: NoAccount, model: str) -> None:
        pool_now = self.pool.state.now()
        for alias, obstacle in exc.obstacles.items():
            facts = self.facts[alias]
            if obstacle.recovers_at is None:
                assert obstacle.kind in (ObstacleKind.PAUSED, ObstacleKind.NEEDS_LOGIN, ObstacleKind.TRIED)
                continue
            at = self.now + (obstacle.recovers_at - pool_now)
            assert at > self.now - EPS
            if obstacle.kind is ObstacleKind.LIMITED:
                assert at == pytest.approx(facts.spent_until(model, self.now), abs=EPS)
            elif obstacle.kind in (ObstacleKind.COOLING, ObstacleKind.FAULTY, ObstacleKind.NEEDS_LOGIN):
                assert at <= facts.benched_until() + EPS
            else:
                assert at <= self.now + 3.0 + EPS  # a probe or the pace: over in a moment

    @rule(
        model=MODELS,
        session=st.sampled_from(("", "", "s1", "s2", "s3")),
        tried=st.frozensets(st.sampled_from(ALIASES), max_size=2),
    )
    def request(self, model: str, session: str, tried: frozenset[str]) -> None:
        self.try_lease(model, session, tried)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        for _ in range(data.draw(st.integers(1, 2))):
            held.lease.settle()

    # --- answers --------------------------------------------------------------------------------------------------

    def tell(self, held: Held, report: Report, *, settle: bool) -> None:
        state = self.pool.state.account(held.lease.account.uid)
        before = dict(state.windows)
        held.lease.report(report)
        held.is_reported = True
        if not report.limits.readings:
            assert state.windows == before
        if settle:
            self.held.remove(held)
            held.lease.settle()

    def draw_held(self, data: st.DataObject) -> tuple[Held, Facts]:
        held: Held = data.draw(st.sampled_from(self.held))
        return held, self.facts[held.lease.account.alias]

    def readings(self, used: float, resets_in: float, *, opus: bool) -> tuple[Reading, ...]:
        resets_at = self.time.wall + resets_in
        name, model_class = ("7d_opus", "opus") if opus else ("5h", "")
        return (
            Reading(name, model_class, used, None, None, resets_at, False),
            Reading("requests", "sonnet", 0.5, 10, 20, resets_at, False),
        )

    @precondition(lambda self: self.held)
    @rule(data=st.data(), settle=st.booleans())
    def good_answer(self, data: st.DataObject, settle: bool) -> None:
        held, facts = self.draw_held(data)
        self.tell(held, Report(Result.SERVED), settle=settle)
        facts.served(held.model, held.at)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), used=USED, resets_in=RESETS, opus=st.booleans(), settle=st.booleans())
    def good_answer_with_headers(
        self, data: st.DataObject, used: float, resets_in: float, opus: bool, settle: bool
    ) -> None:
        held, facts = self.draw_held(data)
        readings = self.readings(used, resets_in, opus=opus)
        self.tell(held, Report(Result.SERVED, Limits(readings)), settle=settle)
        facts.served(held.model, held.at)
        facts.reported(readings, resets_in, held.at, self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), wait=st.sampled_from((None, 0.0, 0.5, 7.0, 61.0, HOUR)))
    def too_many_requests(self, data: st.DataObject, wait: float | None) -> None:
        held, facts = self.draw_held(data)
        retry_at = None if wait is None else self.time.wall + wait
        self.tell(held, Report(Result.LIMITED, Limits(retry_at=retry_at)), settle=True)
        if held.lease.taken_at >= self.void_before(held):
            facts.refused(class_of(held.model), wait or None, self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), resets_in=RESETS)
    def window_refuses(self, data: st.DataObject, resets_in: float) -> None:
        held, facts = self.draw_held(data)
        opus = class_of(held.model) == "opus" and data.draw(st.booleans())
        readings = self.readings(1.0, resets_in, opus=opus)
        limits = Limits(readings, None, readings[0].window, is_rejected=True)
        self.tell(held, Report(Result.LIMITED, limits), settle=True)
        facts.reported(readings, resets_in, held.at, self.now)
        if held.lease.taken_at >= self.void_before(held):
            facts.refused("opus" if opus else "", resets_in if resets_in > 0 else None, self.now)

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        result=st.sampled_from(
            (Result.REFUSED, Result.QUOTA, Result.FAULT, Result.FAULT, Result.OVERLOADED, Result.BROKEN)
        ),
    )
    def failure(self, data: st.DataObject, result: Result) -> None:
        held, facts = self.draw_held(data)
        self.tell(held, Report(result), settle=True)
        facts.blown_at = self.now

    @precondition(lambda self: self.held)
    @rule(data=st.data(), settle=st.booleans())
    def the_requests_own_error(self, data: st.DataObject, settle: bool) -> None:
        held, _ = self.draw_held(data)
        self.tell(held, Report(Result.NEUTRAL), settle=settle)

    def void_before(self, held: Held) -> float:
        config, state = self.configs[held.lease.account.alias], self.pool.state
        return state.account(config.uid).resumed(config, state.now(), state.wall())

    # --- time, people, restarts -------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(MOMENTS))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds + EPS
        self.set_clocks()

    @rule(seconds=st.sampled_from((-86_400.0, -600.0, 600.0, 86_400.0)))
    def wall_clock_is_set(self, seconds: float) -> None:
        self.wall_at += seconds
        self.set_clocks()

    @rule(alias=st.sampled_from(ALIASES), paused=st.booleans(), problem=st.sampled_from(("", "", "no key")))
    def edit(self, alias: str, paused: bool, problem: str) -> None:
        self.configs[alias] = replace(self.configs[alias], is_paused=paused, problem=problem)

    @rule(alias=st.sampled_from(ALIASES))
    def resume(self, alias: str) -> None:
        self.now += EPS
        self.set_clocks()
        config = self.configs[alias]
        resumed_at = max(self.time.wall, config.resumed_at + EPS)
        self.configs[alias] = replace(config, resumed_at=resumed_at, is_paused=False)
        self.pool.obstacle(self.configs[alias])  # the swapped snapshot is looked at
        self.facts[alias].resumed()
        self.now += EPS
        self.set_clocks()

    @rule()
    def write(self) -> None:
        for alias in self.pool.state.dirty:
            self.written[alias] = (copy.deepcopy(self.facts[alias]), self.wall_at)
        PoolMemory(self.pool.state, self.configs.get).write_now()

    @rule(clock_at=st.sampled_from((5.0, 10.0**6)), crash=st.booleans())
    def restart(self, clock_at: float, crash: bool) -> None:
        if not crash:
            self.write()
        self.clock_at = clock_at - self.now
        self.held.clear()
        self.sessions.clear()
        self.paced_at = float("-inf")
        self.pool = self.new_pool()
        recall(self.pool.state)
        self.facts = {
            alias: known.remembered(wrote_at, self.wall_at, self.now, self.configs[alias].resumed_at)
            for alias, (known, wrote_at) in self.written.items()
        }
        self.now += EPS
        self.set_clocks()

    # --- always -----------------------------------------------------------------------------------------------------

    @invariant()
    def in_flight_is_what_is_held(self) -> None:
        for alias in ALIASES:
            held = sum(h.lease.account.alias == alias for h in self.held)
            assert self.pool.state.account(alias).in_flight == held

    @precondition(lambda self: not all(c.is_paused or c.problem for c in self.configs.values()))
    @rule(model=MODELS)
    def nobody_starves(self, model: str) -> None:
        """Once everything is at rest, a request is served no later than the pool itself predicts, step by step."""
        while self.held:
            self.held.pop().lease.settle()
        for _ in range(40):
            found = self.try_lease(model)
            if isinstance(found, Held):
                self.held.remove(found)
                found.lease.settle()
                return
            at = [o.recovers_at for o in found.obstacles.values() if o.recovers_at is not None]
            self.now += max(0.0, min(at) - self.pool.state.now()) + EPS
            self.set_clocks()
        raise AssertionError("no account is ever free")


PoolMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=40)
TestPool = pytest.mark.django_db(PoolMachine.TestCase)
