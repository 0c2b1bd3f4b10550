"""Free tests over the network, for sync callers: the functions behind the commands and the admin's buttons.

Rule: the database is read before and written after the network calls, never during them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from accounts.models import Account
from accounts.services import TestResult, account_test, accounts_to_test, backend_models
from accounts.snapshot import AccountConfig, load_snapshot
from backends.addresses import BadBaseUrl
from backends.catalog import store_models
from backends.config import BackendConfig, CatalogEntry
from backends.online import run_online
from backends.services import ServiceError, get_backend
from backends.snapshot import backend_config


def backend_test_now(name: str) -> list[TestResult]:
    """Test every account of a backend, paused ones too. Raises ServiceError when there is nothing to test."""
    return run_online(_test_all(accounts_to_test(name)))


def account_test_now(row: Account) -> TestResult:
    """Test one account, also one that is paused or whose backend is disabled. Raises ServiceError."""
    try:
        backend = backend_config(row.backend)
    except BadBaseUrl as exc:
        raise ServiceError(f"Backend {row.backend.name}: {exc}") from exc
    config = next(found for found in load_snapshot().pool(row.backend.name) if found.uid == row.uid)
    return run_online(account_test(backend, config))


def backend_models_now(name: str) -> list[CatalogEntry]:
    """The live model list of a backend, which also becomes its stored catalog. Raises ServiceError."""
    backend = get_backend(name).name
    entries = run_online(backend_models(load_snapshot(), backend))
    store_models(backend, entries)
    return sorted(entries, key=lambda entry: entry.model)


async def _test_all(pairs: Iterable[tuple[BackendConfig, AccountConfig]]) -> list[TestResult]:
    return list(await asyncio.gather(*(account_test(backend, account) for backend, account in pairs)))
