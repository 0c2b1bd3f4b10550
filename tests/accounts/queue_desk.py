"""A pool and its queue in simulated time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from accounts.pool import Ask, Lease, Pool
from accounts.pool_state import LocalPoolState
from accounts.snapshot import AccountConfig
from accounts.waiting import WaitingRoom
from tests.accounts.pools import SONNET, WALL, ask, at_once, limited, served
from tests.accounts.simulated_time import SimulatedLoop, simulated

Found = tuple[int, Lease]
SECONDS = 60.0


@dataclass
class QueueDesk:
    """A pool and its queue over one clock, that of the event loop. `served` lists who got an account, and when."""

    loop: SimulatedLoop
    accounts: tuple[AccountConfig, ...]
    limit: int = 128
    served: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        time = self.loop.time
        self.pool = Pool(LocalPoolState(now=time, wall=lambda: WALL + time()))
        self.room = WaitingRoom(now=time)
        self.pool.state.listeners.append(self.room.wake)

    def ask(self, model: str, key: str) -> Ask:
        found: Ask = ask(self.accounts, model, key=key)
        return found

    def spend(self, alias: str, seconds: float, model: str = SONNET) -> None:
        """The provider refuses the account for so long."""
        lease = self.take(alias, model)
        lease.report(limited(retry_at=WALL + self.loop.time() + seconds))
        lease.settle()

    def take(self, alias: str, model: str = SONNET) -> Lease:
        chosen = [each for each in self.accounts if each.alias == alias]
        return at_once(self.pool.lease(ask(chosen, model)))

    async def wait(
        self,
        name: str = "r",
        key: str = "k",
        *,
        model: str = SONNET,
        seconds: float = SECONDS,
        attempt: Callable[[], Awaitable[Found]] | None = None,
    ) -> Lease:
        """One request through the queue."""
        _, lease = await self.room.wait(
            attempt or (lambda: self.pool.lease_first([self.ask(model, key)])),
            discard=lambda found: found[1].settle(),
            key=key,
            lane=model,
            seconds=seconds,
            limit=self.limit,
        )
        self.served.append((name, self.loop.time()))
        return lease

    async def serve(self, name: str, key: str = "k", **settings: object) -> None:
        """The same, and all goes well."""
        lease = await self.wait(name, key, **settings)  # type: ignore[arg-type]
        lease.report(served())
        lease.settle()

    def names(self) -> list[str]:
        return [name for name, _ in self.served]


def in_a_pool(
    *accounts: AccountConfig, limit: int = 128
) -> Callable[[Callable[[QueueDesk], Awaitable[None]]], Callable[[], None]]:
    """Run a test in simulated time over a pool of these accounts; at its end nothing is held and nobody waits."""

    def decorate(test: Callable[[QueueDesk], Awaitable[None]]) -> Callable[[], None]:
        async def work(loop: SimulatedLoop) -> None:
            desk = QueueDesk(loop, accounts, limit)
            await test(desk)
            assert len(desk.room) == 0
            assert all(state.in_flight == 0 for state in desk.pool.state.accounts.values())

        def run() -> None:
            simulated(work)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate
