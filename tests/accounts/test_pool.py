"""Leases: the least burdened account, given back exactly once."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from accounts.pool import Lease, NoAccount, Pool, obstacle
from accounts.snapshot import AccountConfig


def account(alias: str, *, paused: bool = False, problem: str = "") -> AccountConfig:
    return AccountConfig(alias, alias, "b", "api_key", None, paused, problem)


A, B = account("a"), account("b")


async def test_equal_accounts_take_turns() -> None:
    pool = Pool()
    order = []
    for _ in range(4):
        lease = await pool.lease("b", (A, B))
        order.append(lease.account.alias)
        lease.settle()
    assert order == ["a", "b", "a", "b"]


async def test_the_fewest_in_flight_goes_first() -> None:
    pool = Pool()
    first = await pool.lease("b", (A, B))
    second = await pool.lease("b", (A, B))
    second.settle()
    third = await pool.lease("b", (A, B))
    assert (first.account, third.account) == (A, B)


async def test_paused_broken_and_excluded_accounts_are_left_out_with_their_reasons() -> None:
    accounts = (account("p", paused=True), account("x", problem="no key"), A)
    with pytest.raises(NoAccount) as caught:
        await Pool().lease("b", accounts, exclude={"a"})
    assert caught.value.reasons == {"p": "paused", "x": "no key", "a": "already tried"}


async def test_a_pool_without_accounts_says_how_to_add_one() -> None:
    with pytest.raises(NoAccount, match="accounts add"):
        await Pool().lease("b", ())


def test_an_account_without_obstacle_can_serve() -> None:
    assert obstacle(A) == ""


class LeaseMachine(RuleBasedStateMachine):
    """Whatever is leased and settled in whatever order, nothing leaks and nothing is given back twice."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()
        self.accounts = tuple(account(alias) for alias in "abc")
        self.held: list[Lease] = []

    @rule()
    def lease(self) -> None:
        try:
            self.pool.lease("b", self.accounts).send(None)
        except StopIteration as done:
            self.held.append(done.value)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), times=st.integers(1, 3))
    def settle(self, data: st.DataObject, times: int) -> None:
        lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        for _ in range(times):
            lease.settle()

    @invariant()
    def in_flight_is_what_is_held(self) -> None:
        for each in self.accounts:
            assert self.pool.state(each).in_flight == sum(lease.account is each for lease in self.held)

    @invariant()
    def the_load_is_even_while_nothing_is_given_back(self) -> None:
        assert min(self.pool.state(each).in_flight for each in self.accounts) >= 0


TestLeases = LeaseMachine.TestCase
