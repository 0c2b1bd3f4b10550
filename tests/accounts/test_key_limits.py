"""What a client key may use: reserve, settle, refund; by examples, and against a plain model of what it means."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from accounts.key_limits import Hold, LocalKeyLimits
from accounts.key_refusals import Limit, LimitReached
from accounts.key_use import DAY_SECONDS, KeyLimits, Period, day_name, day_number, span_of

CENT = Decimal("0.01")


class Times:
    """Clocks that stand until they are set."""

    def __init__(self, wall: float = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) -> None:
        self.at, self.wall_at = 1000.0, wall

    def pass_(self, seconds: float) -> None:
        self.at += seconds
        self.wall_at += seconds

    def limits(self) -> LocalKeyLimits:
        return LocalKeyLimits(now=lambda: self.at, wall=lambda: self.wall_at)


def limits(**fields: object) -> KeyLimits:
    return KeyLimits(7, "ci", **fields)  # type: ignore[arg-type]


def reserve(state: LocalKeyLimits, own: KeyLimits, tokens: int = 0, cost: str | None = None) -> Hold:
    return asyncio.run(state.reserve(own, tokens, None if cost is None else Decimal(cost)))


def refused(state: LocalKeyLimits, own: KeyLimits, tokens: int = 0, cost: str | None = None) -> LimitReached:
    with pytest.raises(LimitReached) as found:
        reserve(state, own, tokens, cost)
    return found.value


# --- the minute ----------------------------------------------------------------------------------------------


def test_requests_of_any_sixty_seconds_are_counted_not_those_of_a_minute_of_the_clock() -> None:
    times = Times()
    state, own = times.limits(), limits(requests=3)
    for _ in range(3):
        reserve(state, own)
        times.pass_(15)
    found = refused(state, own)
    assert found.shortage.limit is Limit.REQUESTS
    assert found.shortage.wait_s == pytest.approx(15)
    assert "keys set ci --rpm" in str(found)
    times.pass_(15)
    reserve(state, own)
    assert refused(state, own).shortage.wait_s == pytest.approx(15)


def test_requests_of_the_same_moment_count_as_long_as_the_last_of_them() -> None:
    times = Times()
    state, own = times.limits(), limits(requests=2)
    reserve(state, own)
    times.pass_(0.04)
    reserve(state, own)
    times.pass_(59.97)
    assert refused(state, own).shortage.wait_s == pytest.approx(0.03)
    times.pass_(0.03)
    reserve(state, own)


def test_a_refused_request_does_not_count() -> None:
    times = Times()
    state, own = times.limits(), limits(requests=1)
    reserve(state, own)
    for _ in range(10):
        refused(state, own)
    times.pass_(60)
    reserve(state, own)


def test_a_job_that_runs_once_a_minute_passes_a_limit_of_one() -> None:
    times = Times()
    state, own = times.limits(), limits(requests=1)
    for _ in range(5):
        reserve(state, own)
        times.pass_(60.0)


def test_tokens_are_held_as_estimated_and_settled_as_used() -> None:
    times = Times()
    state, own = times.limits(), limits(tokens=1000)
    first = reserve(state, own, 900)
    assert refused(state, own, 200).shortage.left == 100
    first.settle(50, None)
    second = reserve(state, own, 900)
    second.settle(2000, None)  # it turned out larger than anybody could know
    found = refused(state, own, 1)
    assert found.shortage.used == 2050
    times.pass_(61)
    reserve(state, own, 1000)


def test_tokens_of_a_long_stream_count_when_they_are_known() -> None:
    times = Times()
    state, own = times.limits(), limits(tokens=1000)
    hold = reserve(state, own, 100)
    times.pass_(300)
    hold.settle(1000, None)
    assert refused(state, own, 200).shortage.wait_s == pytest.approx(60)


def test_a_request_larger_than_the_limit_is_told_that_it_never_fits() -> None:
    state, own = Times().limits(), limits(tokens=1000)
    found = refused(state, own, 1001)
    assert found.shortage.is_hopeless
    assert not found.is_worth_waiting
    assert "never fits" in str(found)
    assert "max_tokens" in str(found)


def test_the_longest_wait_is_told_when_several_limits_are_reached() -> None:
    times = Times()
    state, own = times.limits(), limits(requests=1, budget=CENT)
    reserve(state, own, cost="0.01").settle(0, CENT)
    assert refused(state, own, cost="0.01").shortage.limit is Limit.BUDGET


# --- budgets -------------------------------------------------------------------------------------------------


def test_what_running_requests_may_cost_counts_as_spent() -> None:
    state, own = Times().limits(), limits(budget=Decimal(1))
    running = [reserve(state, own, cost="0.30") for _ in range(3)]
    found = refused(state, own, cost="0.30")
    assert found.shortage.left == Decimal("0.10")
    assert found.is_worth_waiting, "one of the running requests may give something back"
    running[0].refund()
    reserve(state, own, cost="0.30")


def test_a_hold_is_settled_once() -> None:
    state, own = Times().limits(), limits(budget=Decimal(1))
    hold = reserve(state, own, cost="0.50")
    hold.settle(0, Decimal("0.20"))
    hold.settle(0, Decimal("0.20"))
    hold.refund()
    assert state.remaining(own) == Decimal("0.80")


def test_a_spent_budget_says_when_it_begins_anew() -> None:
    state, own = Times().limits(), limits(budget=CENT, period=Period.MONTH)
    reserve(state, own, cost="0.01").settle(0, CENT)
    found = refused(state, own, cost="0.001")
    assert not found.is_worth_waiting
    assert "2026-12-01 00:00 UTC" in str(found)
    assert "--budget AMOUNT/month" in str(found)
    assert found.shortage.wait_s == pytest.approx(8 * DAY_SECONDS + DAY_SECONDS / 2)


def test_a_request_without_a_known_price_costs_nothing_but_needs_something_left() -> None:
    state, own = Times().limits(), limits(budget=CENT)
    reserve(state, own).settle(10, None)
    assert state.remaining(own) == CENT
    reserve(state, own, cost="0.01").settle(0, CENT)
    assert refused(state, own).shortage.limit is Limit.BUDGET


def test_counting_tokens_takes_only_a_place_in_the_minute() -> None:
    state, own = Times().limits(), limits(requests=2, tokens=10, budget=CENT)
    reserve(state, own, 10, "0.01").settle(10, CENT)
    asyncio.run(state.reserve(own, is_free=True)).refund()
    with pytest.raises(LimitReached):
        asyncio.run(state.reserve(own, is_free=True))


@pytest.mark.parametrize(
    ("period", "now", "then"),
    [
        (Period.DAY, datetime(2026, 11, 22, 23, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)),
        (Period.WEEK, datetime(2026, 11, 22, 23, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)),
        (Period.WEEK, datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC)),
        (Period.MONTH, datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (Period.MONTH, datetime(2028, 2, 29, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_budget_begins_anew_at_the_end_of_its_period(period: Period, now: datetime, then: datetime) -> None:
    times = Times(now.timestamp())
    state, own = times.limits(), limits(budget=CENT, period=period)
    reserve(state, own, cost="0.01").settle(0, CENT)
    assert refused(state, own, cost="0.01").shortage.resets_at == then.timestamp()
    times.pass_(then.timestamp() - now.timestamp())
    reserve(state, own, cost="0.01")


def test_a_request_over_midnight_is_charged_to_the_day_of_its_end() -> None:
    times = Times(datetime(2026, 11, 22, 23, 59, 50, tzinfo=UTC).timestamp())
    state, own = times.limits(), limits(budget=Decimal(1), period=Period.DAY)
    hold = reserve(state, own, cost="0.60")
    times.pass_(20)
    assert refused(state, own, cost="0.60").shortage.held == Decimal("0.60")
    hold.settle(0, Decimal("0.55"))
    assert state.unsaved == {(7, day_number("2026-11-23")): Decimal("0.55")}
    assert state.remaining(own) == Decimal("0.45")


def test_another_period_finds_what_was_spent_before() -> None:
    times = Times()
    state = times.limits()
    daily = limits(budget=Decimal(1), period=Period.DAY)
    reserve(state, daily, cost="1").settle(0, Decimal(1))
    times.pass_(DAY_SECONDS)
    assert state.remaining(daily) == 1
    assert state.remaining(limits(budget=Decimal(5), period=Period.MONTH)) == 4


@pytest.mark.parametrize("name", ["1970-01-01", "2024-02-29", "2026-11-22"])
def test_days_have_names(name: str) -> None:
    assert day_name(day_number(name)) == name


@pytest.mark.parametrize("period", list(Period))
def test_every_day_lies_in_one_period(period: Period) -> None:
    for day in range(day_number("2023-12-01"), day_number("2028-04-01")):
        span = span_of(period, day)
        assert day in span
        assert span_of(period, span.start) == span_of(period, span.stop - 1) == span
        assert span_of(period, span.stop).start == span.stop


# --- a model -------------------------------------------------------------------------------------------------

RPM, TPM, BUDGET = 4, 1000, Decimal("1.00")
costs = st.decimals(min_value=0, max_value="0.70", places=8)


class LimitsMachine(RuleBasedStateMachine):
    """Everything that can happen to one key, beside lists of what was let in and what was charged."""

    def __init__(self) -> None:
        super().__init__()
        self.times = Times()
        self.state = self.times.limits()
        self.own = limits(requests=RPM, tokens=TPM, budget=BUDGET, period=Period.DAY)
        self.running: list[Hold] = []
        self.sent: list[float] = []
        self.ledger: dict[int, Decimal] = {}
        self.charged: dict[int, Decimal] = {}

    @property
    def today(self) -> int:
        return int(self.times.wall_at // DAY_SECONDS)

    @rule(tokens=st.integers(0, 600), cost=st.one_of(st.none(), costs))
    def begin(self, tokens: int, cost: Decimal | None) -> None:
        try:
            hold = asyncio.run(self.state.reserve(self.own, tokens, cost))
        except LimitReached as found:
            self.check_refusal(found)
            return
        self.running.append(hold)
        self.sent.append(self.times.at)
        held = sum((one.cost for one in self.running), Decimal(0))
        assert self.charged.get(self.today, Decimal(0)) + held <= BUDGET or not hold.cost

    def check_refusal(self, found: LimitReached) -> None:
        """It is true, and so is what it says about waiting."""
        shortage = found.shortage
        assert str(found)
        assert shortage.wait_s > 0
        if shortage.limit is Limit.REQUESTS:
            assert len([at for at in self.sent if at > self.times.at - 60.06]) >= RPM
            assert shortage.wait_s <= 60
        if shortage.limit is Limit.BUDGET:
            assert shortage.asked > shortage.left or not shortage.left
            assert shortage.used == self.charged.get(self.today, Decimal(0))
            assert shortage.held == sum((one.cost for one in self.running), Decimal(0))

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        tokens=st.integers(0, 1500),
        share=st.decimals(min_value=0, max_value=1, places=3),
        again=st.booleans(),
    )
    def settle(self, data: st.DataObject, tokens: int, share: Decimal, again: bool) -> None:
        """Costs no more than was estimated."""
        hold = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        cost = (hold.cost * share).quantize(Decimal("0.00000001"))
        hold.settle(tokens, cost)
        if again:
            hold.settle(tokens, cost)
        self.charged[self.today] = self.charged.get(self.today, Decimal(0)) + cost

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.running.pop(data.draw(st.integers(0, len(self.running) - 1))).refund()

    @rule(seconds=st.floats(0.001, 90))
    def wait(self, seconds: float) -> None:
        self.times.pass_(seconds)

    @rule(seconds=st.sampled_from([-3600.0, -DAY_SECONDS, 3600.0, DAY_SECONDS / 2, DAY_SECONDS]))
    def step_the_wall_clock(self, seconds: float) -> None:
        """Somebody sets it: the minute does not care, and every day keeps its own sum."""
        self.times.wall_at += seconds

    @rule(works=st.booleans())
    def write(self, works: bool) -> None:
        amounts = self.state.take_unsaved()
        if not works:
            self.state.not_saved()
            return
        for (_, day), amount in amounts.items():
            self.ledger[day] = self.ledger.get(day, Decimal(0)) + amount
        self.state.saved((7, day, self.ledger[day]) for _, day in amounts)

    @rule(is_crash=st.booleans())
    def restart(self, is_crash: bool) -> None:
        """Running requests and the minute are forgotten; what the ledger knows is not."""
        if not is_crash:
            for hold in self.running:
                hold.refund()
            self.write(works=True)
        self.running.clear()
        self.sent.clear()
        self.state = self.times.limits()
        self.state.load((7, day, amount) for day, amount in self.ledger.items())
        self.charged = dict(self.ledger)

    @invariant()
    def never_more_than_allowed_in_any_minute(self) -> None:
        for at in self.sent:
            assert len([other for other in self.sent if at <= other < at + 60.0]) <= RPM

    @invariant()
    def every_cent_is_somewhere(self) -> None:
        use = self.state.use(7)
        assert use.spending.reserved == sum((one.cost for one in self.running), Decimal(0))
        for day, amount in self.charged.items():
            assert amount == self.ledger.get(day, Decimal(0)) + self.state.unsaved.get((7, day), Decimal(0))
        left = self.state.remaining(self.own)
        assert left is not None
        assert left == max(
            Decimal(0), BUDGET - self.charged.get(self.today, Decimal(0)) - use.spending.reserved
        )


LimitsMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestLimitsMachine = LimitsMachine.TestCase
