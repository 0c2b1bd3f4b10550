"""What the tests of the shared pool state have in common: accounts, requests, and states that are in step."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from accounts.pool import Ask, Lease, NoAccount, Pool
from accounts.pool_state import LocalPoolState
from accounts.redis_link import Times
from accounts.redis_state import RedisPoolState
from accounts.snapshot import AccountConfig
from backends.addresses import check_base_url
from backends.config import BackendConfig
from backends.wire.kinds import Kind, Protocol

# A busy machine is no dead Redis: patience is long where it is not what is tested.
TIMES = Times(patience=3.0, retry=0.05, beat=0.1, dead=1.0, lease=4.0)
SECONDS = 20.0
_ids = itertools.count(1)  # a lease has a name of its own, whichever pool object made it
BACKEND = BackendConfig("b", Protocol.OPENAI, check_base_url("http://127.0.0.1:9"), frozenset((Kind.CHAT,)))


def account(uid: str, **options: Any) -> AccountConfig:
    """An account whose alias is its uid."""
    return AccountConfig(uid, uid, "b", "api_key", None, **options)


def ask(*accounts: AccountConfig, model: str = "m", **options: Any) -> Ask:
    """A request for one of these accounts."""
    return Ask(BACKEND, accounts, model, **options)


async def leased(state: LocalPoolState, *accounts: AccountConfig, **options: Any) -> Lease:
    """A lease by the pool over this state."""
    return await Pool(state, _ids=_ids).lease(ask(*accounts, **options))


async def refused(state: LocalPoolState, *accounts: AccountConfig, **options: Any) -> NoAccount:
    """Why there is no lease."""
    try:
        lease = await leased(state, *accounts, **options)
    except NoAccount as failure:
        return failure
    raise AssertionError(f"{lease.account.alias} was leased")


async def until(condition: Callable[[], object], *states: LocalPoolState) -> None:
    """Wait for something that comes with news from another process, or with the next beat."""
    news = asyncio.Event()
    for state in states:
        state.listeners.append(news.set)
    try:
        async with asyncio.timeout(SECONDS):
            while not condition():
                news.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await news.wait()
                except TimeoutError:
                    pass
    finally:
        for state in states:
            state.listeners.remove(news.set)


@asynccontextmanager
async def shared(
    url: str, count: int = 1, times: Times = TIMES, **options: Any
) -> AsyncIterator[list[RedisPoolState]]:
    """Several states in step, as if each were in a process of its own."""
    states = [RedisPoolState(url, times, **options) for _ in range(count)]
    for state in states:
        state.start()
    try:
        await until(lambda: all(state.is_shared and state.processes >= count for state in states), *states)
        yield states
    finally:
        for state in states:
            await state.stop()
