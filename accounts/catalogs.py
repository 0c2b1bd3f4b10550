"""Keeping the model lists fresh: every hour, after a change of the configuration, and when a name is unknown."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from django.db import DatabaseError

from accounts.credentials import MissingCredential, own_headers
from accounts.models import Account
from accounts.pool import pool
from accounts.snapshot import AccountConfig, Snapshot, keeper
from backends.catalog import CatalogError, fetch_models, store_models
from backends.config import BackendConfig, CatalogEntry
from backends.tasks import in_database_thread, spawn

logger = logging.getLogger("patchbay.catalog")
REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 60.0
WAIT_SECONDS = 4.0
PAUSE_SECONDS = 5


@dataclass
class Catalogs:
    """Which lists were asked for when, by backend name and address (an edited backend is asked again)."""

    _asked: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refresh(self, snapshot: Snapshot, *, only_missing: bool) -> bool:
        """Ask the backends whose lists are missing (or all, when old). True if any list was stored."""
        if not self._due(snapshot, only_missing=only_missing):
            return False
        async with self._lock:  # those who wait here find nothing due, and read what the first one stored
            due = self._due(snapshot, only_missing=only_missing)
            if not due:
                return keeper.current is not snapshot
            stored = await asyncio.gather(*(self._refresh_one(snapshot, backend) for backend in due))
            if any(stored):
                await in_database_thread(keeper.reload)
            return any(stored)

    def _due(self, snapshot: Snapshot, *, only_missing: bool) -> list[BackendConfig]:
        now = time.monotonic()
        return [
            backend
            for backend in snapshot.routing.real_backends
            if (not backend.catalog or not only_missing)
            and now - self._asked.get(_identity(backend), -1e9)
            >= (REFRESH_SECONDS if backend.catalog else RETRY_SECONDS)
        ]

    async def _refresh_one(self, snapshot: Snapshot, backend: BackendConfig) -> bool:
        self._asked[_identity(backend)] = time.monotonic()
        try:
            entries = await models_of(snapshot, backend)
        except CatalogError as exc:
            logger.info("The model list of backend %s could not be read: %s", backend.name, exc)
            return False
        if {entry.model: entry for entry in entries} == {e.model: e for e in backend.catalog.values()}:
            return False
        await in_database_thread(lambda: store_models(backend.name, entries))
        return True


async def models_of(snapshot: Snapshot, backend: BackendConfig) -> list[CatalogEntry]:
    """The backend's live list, asked with its first account that can serve. Raises CatalogError."""
    accounts = [account for account in snapshot.pool(backend.name) if not _is_unusable(account)]
    if not accounts:
        raise CatalogError(
            f"Backend {backend.name} has no account that can serve. Add one with `accounts add`."
        )
    try:
        return await fetch_models(backend, own_headers(accounts[0], backend.protocol))
    except MissingCredential as exc:
        raise CatalogError(str(exc)) from exc


def _is_unusable(account: AccountConfig) -> bool:
    """A spent account can still list its models; one whose credential cannot be used, or is the caller's, cannot."""
    obstacle = pool.obstacle(account)
    return account.kind == Account.CALLER or (obstacle is not None and obstacle.is_broken)


def _identity(backend: BackendConfig) -> tuple[str, str]:
    return (backend.name, str(backend.base))


catalogs = Catalogs()


async def refresh_catalogs(snapshot: Snapshot, *, only_missing: bool) -> bool:
    """Refresh what is due, waiting a few seconds at most. True when a newer snapshot may know more."""
    work = spawn(catalogs.refresh(snapshot, only_missing=only_missing), name="catalog-refresh")
    try:
        return await asyncio.wait_for(asyncio.shield(work), WAIT_SECONDS)
    except TimeoutError:
        return False


async def keep_catalogs_fresh() -> None:
    """Runs as long as the server: looks every few seconds whether a list is due."""
    while True:
        try:
            await catalogs.refresh(keeper.current, only_missing=False)
        except DatabaseError:
            logger.exception(
                "Model lists cannot be stored now; the next try is in %d seconds.", PAUSE_SECONDS
            )
        await asyncio.sleep(PAUSE_SECONDS)
