"""Tokens that are refreshed in time, and at once when a provider refuses one. How one refresh goes: `refresher`."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from math import ceil, inf

from accounts.clock import clock
from accounts.refresh_spool import spooled_uids
from accounts.refresh_store import LONGEST_WAIT_SECONDS, RefreshResult, Schedule, schedules
from accounts.refresher import WAIT_SECONDS, Refresher
from accounts.snapshot import keeper
from accounts.token_life import due_in
from backends.tasks import in_database_thread, spawn

__all__ = [
    "KeepFresh",
    "RefreshResult",
    "finish_refreshes",
    "keep_tokens_fresh",
    "refresh_now",
    "refresh_problems",
]
logger = logging.getLogger("patchbay.tokens")
LONGEST_PAUSE_SECONDS = 60.0
AGAIN_SECONDS = 5.0  # after a failure that the database could not note


@dataclass
class KeepFresh:
    """The background refresher of one process. `again_seconds`: the pause after a failure that no row tells of."""

    refresher: Refresher
    again_seconds: float = AGAIN_SECONDS
    _jitters: dict[str, tuple[int, float]] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Runs as long as the server. Whatever fails is logged and tried again."""
        has_recovered = False
        while True:
            try:
                await in_database_thread(lambda: keeper.current)
                if not has_recovered:
                    await self._recover()
                    has_recovered = True
                await _pause(await self._round())
            except Exception:
                logger.exception(
                    "Tokens cannot be looked after now. They are again in %d s.", self.again_seconds
                )
                await asyncio.sleep(self.again_seconds)

    async def _recover(self) -> None:
        """Adopt what a crash left in the spool, before a request meets the token that was spent."""
        for uid in await in_database_thread(spooled_uids):
            self._begin(uid)

    async def _round(self) -> float:
        """Begin what is due. Returns in how many seconds to look again."""
        waits = {uid: self._wait(uid) for uid in self.refresher.unsaved}
        for schedule in await in_database_thread(schedules):
            waits[schedule.uid] = min(self._due_in(schedule), waits.get(schedule.uid, inf))
        for uid, wait in waits.items():
            if wait <= 0:
                self._begin(uid)
        return max(1.0, min(waits.values(), default=inf))

    def _begin(self, uid: str) -> None:
        self._not_before[uid] = clock() + WAIT_SECONDS
        spawn(self._try(uid), name=f"keep-fresh-{uid}")

    async def _try(self, uid: str) -> None:
        if await self.refresher.refresh_now(uid) is RefreshResult.FAILED or uid in self.refresher.unsaved:
            self._not_before[uid] = clock() + self.again_seconds
        else:
            self._not_before.pop(uid, None)

    def _due_in(self, schedule: Schedule) -> float:
        """Seconds until this token is to be refreshed; not above 0: now."""
        left, wait = schedule.left, inf
        if schedule.is_given_up:
            wait = inf if left is None else left
        elif schedule.is_open:
            wait = 0.0
        elif left is not None:
            wait = due_in(left, schedule.lifetime, self._jitter(schedule))
        if schedule.retry_in <= LONGEST_WAIT_SECONDS:
            wait = max(wait, schedule.retry_in)
        return max(wait, self._wait(schedule.uid))

    def _wait(self, uid: str) -> float:
        return self._not_before.get(uid, -inf) - clock()

    def _jitter(self, schedule: Schedule) -> float:
        """The same for a token as long as this process runs."""
        generation, jitter = self._jitters.get(schedule.uid, (0, 0.0))
        if generation != schedule.generation:
            jitter = random.random()
            self._jitters[schedule.uid] = (schedule.generation, jitter)
        return jitter


async def _pause(seconds: float) -> None:
    """Sleep, but no longer than until the configuration changes."""
    version = keeper.current.version
    for _ in range(ceil(min(seconds, LONGEST_PAUSE_SECONDS))):
        await asyncio.sleep(1.0)
        if keeper.current.version != version:
            return


refresher = Refresher()


async def refresh_now(
    uid: str, *, seen_generation: int | None = None, by_hand: bool = False
) -> RefreshResult:
    """Get the account a token that works, if that can be done now. Cancelling the caller does not end the refresh.

    `seen_generation`: the token that the provider refused, to be replaced unless a newer one is there already;
    None: replace the token if it is due. `by_hand`: a person asks, so a back-off does not count. Who comes while a
    refresh is under way shares it, and waits 10 s for it at most.
    """
    return await refresher.refresh_now(uid, seen_generation=seen_generation, by_hand=by_hand)


async def keep_tokens_fresh() -> None:
    """Runs as long as the server: refreshes each token in time, and first adopts what a crash left behind."""
    await KeepFresh(refresher).run()


async def finish_refreshes(seconds: float = 5.0) -> None:
    """At the server's end: let refreshes under way end. One that is cut off is made good by the next start."""
    await refresher.finish(seconds)


def refresh_problems() -> list[str]:
    """Why refreshes are degraded, in words for people; empty when they are not."""
    return refresher.problems()
