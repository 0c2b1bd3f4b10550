"""A process with a shared pool state, for the tests: it takes orders as lines of JSON and answers each with a line.

An order is {"id", "do", …}; the answer has the same id and "result", or "error". Orders run side by side.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import django

django.setup()

from accounts.pool import Lease, NoAccount, Pool, Unavailable  # noqa: E402  (the settings come first)
from accounts.redis_link import Times  # noqa: E402
from accounts.redis_state import RedisPoolState  # noqa: E402
from accounts.reports import Report, Result  # noqa: E402
from accounts.waiting import WaitingRoom  # noqa: E402
from accounts.windows import BenchKind, BenchState  # noqa: E402
from tests.accounts.sharing import account, ask, until  # noqa: E402


class Worker:
    """One process's pool and queue."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}

    async def open(self, url: str, times: dict[str, float]) -> None:
        """A fresh state. Returns once it is in step."""
        self.state = RedisPoolState(url, Times(**times))
        self.pool = Pool(self.state)
        self.room = WaitingRoom(self.state.order)
        self.state.listeners.append(self.room.wake)
        self.state.start()
        await until(lambda: self.state.is_shared, self.state)

    async def close(self) -> None:
        """Take leave."""
        await self.state.stop()

    async def lease(self, accounts: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Take one and keep it."""
        try:
            lease = await self.pool.lease(ask(*(account(**a) for a in accounts), **options))
        except NoAccount as failure:
            return {"kinds": sorted(o.kind.value for o in failure.obstacles.values())}
        self.leases[lease.id] = lease
        return {"lease": lease.id, "uid": lease.account.uid, "is_bound": lease.choice.is_bound}

    async def report(self, lease: str, result: str) -> None:
        """What an attempt showed."""
        self.leases[lease].report(Report(Result(result)))

    async def bench(self, uid: str) -> None:
        """An account was limited, and the time is up: the next request is the probe."""
        now = self.state.now()
        bench = BenchState(BenchKind.LIMITED, "", "limited", 1, now - 2, now - 1)
        self.state.put_bench(self.state.account(uid), bench)

    async def settle(self, lease: str) -> None:
        """Give it back."""
        self.leases.pop(lease).settle()

    async def load(
        self, accounts: list[dict[str, Any]], end: float, width: int, hold: float
    ) -> list[tuple[float, float, str]]:
        """So many clients, until a moment of the monotonic clock: (asked, leased, account) of every lease."""
        found: list[tuple[float, float, str]] = []
        configs = tuple(account(**a) for a in accounts)

        async def client() -> None:
            while (asked := time.monotonic()) < end:
                try:
                    lease = await self.pool.lease(ask(*configs))
                except NoAccount as failure:
                    again = failure.recovers_at or self.state.now()
                    await asyncio.sleep(min(0.05, max(0.001, again - self.state.now())))
                    continue
                found.append((asked, time.monotonic(), lease.account.uid))
                await asyncio.sleep(hold)
                lease.settle()

        await asyncio.gather(*(client() for _ in range(width)))
        return found

    async def sessions(self, accounts: list[dict[str, Any]], names: list[str]) -> dict[str, str]:
        """A request of each session: which account serves it."""
        found = {}
        for name in names:
            lease = await self.pool.lease(ask(*(account(**a) for a in accounts), session=name))
            found[name] = lease.account.uid
            lease.settle()
        return found

    async def queue(self, accounts: list[dict[str, Any]], keys: list[str]) -> list[tuple[float, str]]:
        """A waiting request of each key, in this order: when each was served."""
        configs = tuple(account(**a) for a in accounts)

        async def request(key: str) -> tuple[float, str]:
            lease = await self.room.wait(
                lambda: self._first(configs), discard=Lease.settle, key=key, lane=("lane", frozenset(("x", "y"))),
                seconds=30, limit=1000,
            )  # fmt: skip
            lease.settle()
            return time.monotonic(), key

        return await asyncio.gather(*(request(key) for key in keys))

    async def _first(self, configs: Any) -> Lease:
        return (await self.pool.lease_first([ask(*configs)]))[1]

    async def look(self, uid: str) -> dict[str, Any]:
        """What this process knows."""
        state = self.state.account(uid)
        return {
            "at": time.monotonic(),
            "in_flight": state.in_flight,
            "benches": len(state.benches),
            "queued": len(self.state.order),
            "processes": self.state.processes,
            "problems": self.state.problems(),
        }

    async def bench_seen(self, uid: str) -> float:
        """When this process heard that an account is benched."""
        await until(lambda: self.state.account(uid).benches, self.state)
        return time.monotonic()


async def main() -> None:
    """Carry out orders until there are no more."""
    worker, reader = Worker(), asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        order = json.loads(line)
        work: Callable[..., Awaitable[Any]] = getattr(worker, order.pop("do"))
        task = loop.create_task(_carry_out(work, order.pop("id"), order))
        running.add(task)
        task.add_done_callback(running.discard)


async def _carry_out(work: Callable[..., Awaitable[Any]], number: int, options: dict[str, Any]) -> None:
    try:
        answer: dict[str, Any] = {"result": await work(**options)}
    except (Exception, Unavailable) as exc:
        answer = {"error": repr(exc)}
    sys.stdout.write(json.dumps({"id": number, **answer}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
