"""What runs beside the requests of one process: started before or with the first request, stopped when it is quiet."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.catalogs import keep_catalogs_fresh
from accounts.key_limits import key_limits
from accounts.key_memory import KeyMemory, recall_keys
from accounts.pool import pool
from accounts.pool_memory import PoolMemory, recall
from accounts.refresh import finish_refreshes, keep_tokens_fresh
from accounts.snapshot import Demo, keeper
from accounts.waiting import room
from analytics.bodies.store import body_store
from analytics.forecasting.samples import keep_samples
from analytics.live.hub import hub
from analytics.notifier import Notifier
from analytics.pricing import estimate_cost
from analytics.recorder import recorder
from analytics.retention import cleaner
from analytics.shared_counts import shared_counts
from analytics.tracing import Tracing
from analytics.tracing import is_wanted as tracing_is_wanted
from backends.tasks import in_database_thread, supervise
from backends.upstream import current_upstream
from proxyapp.live import end_feeds_at_drain
from router_site.home_lock import hold_home, leave_home

if TYPE_CHECKING:
    from analytics.live.bridge import Bridge


class Runtime:
    """The configuration watcher, the history writer, the refreshers of catalogs and tokens, the pool's memory and,
    while needed, the demo provider.

    `prepare()` outside the event loop, `start()` inside; or `ensure()` alone, for a server that knows neither.
    """

    def __init__(self) -> None:
        self.is_running = False
        self._is_prepared = False
        self._demo_listener: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Lock | None = None
        self._memory = PoolMemory(pool.state)
        self._key_memory = KeyMemory(key_limits)
        self._tracing: Tracing | None = None
        self._bridge = _bridge() if settings.REDIS_URL else None

    def prepare(self) -> None:
        """Load the configuration and start the threads. Uses the database, so never in the event loop."""
        hold_home(settings.PATCHBAY_HOME)
        if settings.PATCHBAY_DEMO or not keeper.reload().routing.backends:
            self._open_demo()
        recall(pool.state)
        recall_keys(key_limits)
        keeper.start()
        if tracing_is_wanted():
            self._tracing = Tracing(settings.VERSION, recorder.prices)
            recorder.on_written = self._tracing.export
        recorder.start()
        body_store.start()
        if settings.PATCHBAY_IS_FIRST:
            cleaner.start()
        self._is_prepared = True

    def start(self) -> None:
        """Start the tasks, in the server's loop."""
        pool.state.listeners.append(room.wake)
        pool.state.start()
        key_limits.start()
        hub.start()
        if self._bridge is not None:
            self._bridge.start()
        self._tasks += [
            supervise(keep_catalogs_fresh, name="catalogs"),
            supervise(keep_tokens_fresh, name="tokens"),
            supervise(self._memory.keep, name="pool-memory"),
            supervise(self._key_memory.keep, name="key-memory"),
            supervise(_know_prices, name="prices"),
            supervise(keep_samples, name="window-samples"),
            supervise(end_feeds_at_drain, name="live-drain"),
        ]
        if settings.PATCHBAY_IS_FIRST:
            self._tasks.append(supervise(Notifier.from_settings().keep, name="notices"))
        if shared_counts.has_board:
            self._tasks.append(supervise(shared_counts.keep, name="shared-counts"))
        if self._demo_listener is not None:
            self._tasks.append(supervise(partial(_serve_demo, self._demo_listener), name="demo-provider"))
        self.is_running = True

    async def ensure(self) -> None:
        """Prepare and start, once, whoever comes first."""
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if not self._is_prepared:
                await in_database_thread(self.prepare)
            if not self.is_running:
                self.start()

    async def stop(self) -> None:
        """Called when all requests have ended: the last rows are written, connections closed."""
        self.is_running = self._is_prepared = False
        await finish_refreshes()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        shared_counts.post()
        if self._bridge is not None:
            await self._bridge.stop()
        hub.finish()
        pool.state.listeners.remove(room.wake)
        await pool.state.stop()
        await self._key_memory.finish()
        await key_limits.stop()  # after the ledger was written, so that the others know what it says
        await current_upstream().aclose()
        await in_database_thread(self._stop_threads)

    def _stop_threads(self) -> None:
        self._memory.write_now()
        self._key_memory.write_now()
        keeper.stop()
        recorder.stop()
        if self._tracing is not None:
            self._tracing.stop()
        body_store.stop()
        cleaner.stop()
        leave_home(settings.PATCHBAY_HOME)

    def _open_demo(self) -> None:
        """Listen at once, so that the demo's URL is in the snapshot before a request can ask for it."""
        self._demo_listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._demo_listener.getsockname()[:2]
        always = settings.PATCHBAY_DEMO
        keeper.demo = Demo(f"http://{host}:{port}", accounts=3 if always else 1, always=always)
        keeper.reload()


def _bridge() -> Bridge:
    """To the other processes; imported only where there are some: the Redis client costs 14 MB and 70 ms."""
    from analytics.live.bridge import Bridge

    return Bridge(settings.REDIS_URL, hub)


async def _know_prices() -> None:
    """Where money is limited, load the price table before a request would have to wait for it."""
    snapshot = keeper.current
    accounts = (account.has_limits for pool in snapshot.pools.values() for account in pool)
    keys = (key.limits is not None and key.limits.budget is not None for key in snapshot.client_keys.values())
    if any(accounts) or any(keys):
        await asyncio.to_thread(estimate_cost, "gpt-4o", "openai", 1, 1)


async def _serve_demo(listener: socket.socket) -> None:
    from backends.simulator import Simulator  # only where it is needed: it costs memory and start-up time

    simulator = Simulator(demo=True)
    await simulator.start(listener=listener)
    try:
        await asyncio.Event().wait()
    finally:
        await simulator.stop()


runtime = Runtime()
