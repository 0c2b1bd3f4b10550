"""What only the server's process knows, for pages: they are rendered in threads, the pool lives on the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from asgiref.sync import async_to_sync

from accounts.pool_view import AccountView, accounts_view
from accounts.snapshot import Snapshot, keeper
from accounts.waiting import room

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LiveState:
    """One moment of the pool. `queued`: requests that wait for an account."""

    snapshot: Snapshot
    accounts: list[AccountView]
    queued: int

    @property
    def in_flight(self) -> int:
        """Requests that accounts are busy with."""
        return sum(view.in_flight for view in self.accounts)


def live_state() -> LiveState:
    """Look at the pool."""
    snapshot = keeper.current  # reads the database if this process never did
    return on_the_loop(lambda: LiveState(snapshot, accounts_view(snapshot), len(room)))


def on_the_loop(look: Callable[[], T]) -> T:
    """Call `look` where requests are served, between two of them, so that nothing changes meanwhile.

    For threads. It must be quick, and must not touch the database.
    """

    async def looked() -> T:
        return look()

    return async_to_sync(looked)()
