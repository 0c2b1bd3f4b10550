"""Free tests over the network: a backend is asked for its model list. The functions behind the commands and buttons.

Rule: the database is read before and written after the network calls, never during them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from accounts.catalogs import models_of
from accounts.credentials import MissingCredential, credential_obstacle, own_headers
from accounts.models import Account
from accounts.refresh import refresh_now
from accounts.snapshot import AccountConfig, Snapshot, load_snapshot
from backends.addresses import BadBaseUrl
from backends.catalog import CatalogError, fetch_models, store_models
from backends.config import BackendConfig, CatalogEntry
from backends.online import run_online
from backends.services import ServiceError, get_backend
from backends.snapshot import backend_config


@dataclass(frozen=True, slots=True)
class TestResult:
    """What a connection test found. Costs nothing: it asks for the model list."""

    __test__ = False  # not a pytest class, whatever its name

    backend: str
    account: str
    ok: bool
    status: int | None
    milliseconds: int
    models: int
    message: str

    def line(self) -> str:
        """One line for a terminal or a message box."""
        state = "ok" if self.ok else "FAILED"
        return f"{self.backend}/{self.account}: {state} in {self.milliseconds} ms. {self.message}"

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self)


# --- for callers without an event loop ------------------------------------------------------------------


def backend_test_now(name: str) -> list[TestResult]:
    """Test every account of a backend, paused ones too. Raises ServiceError when there is nothing to test."""
    return run_online(_test_all(accounts_to_test(name)))


def account_test_now(row: Account) -> TestResult:
    """Test one account, also one that is paused or whose backend is disabled. Raises ServiceError.

    A token that is due for a refresh gets it first, as it would before a request.
    """
    try:
        backend = backend_config(row.backend)
    except BadBaseUrl as exc:
        raise ServiceError(f"Backend {row.backend.name}: {exc}") from exc
    config = _config_of(row)
    obstacle = credential_obstacle(config, time.time())
    if obstacle is not None and obstacle.kind == "refreshing":
        run_online(refresh_now(row.uid))
        config = _config_of(row)
    return run_online(account_test(backend, config))


def _config_of(row: Account) -> AccountConfig:
    return next(found for found in load_snapshot().pool(row.backend.name) if found.uid == row.uid)


def backend_models_now(name: str) -> list[CatalogEntry]:
    """The live model list of a backend, which also becomes its stored catalog. Raises ServiceError."""
    backend = get_backend(name).name
    entries = run_online(backend_models(load_snapshot(), backend))
    store_models(backend, entries)
    return sorted(entries, key=lambda entry: entry.model)


async def _test_all(pairs: Iterable[tuple[BackendConfig, AccountConfig]]) -> list[TestResult]:
    return list(await asyncio.gather(*(account_test(backend, account) for backend, account in pairs)))


# --- the tests ------------------------------------------------------------------------------------------


async def account_test(backend: BackendConfig, account: AccountConfig) -> TestResult:
    """Ask the backend for its models with this account's credential, paused or not."""
    began = time.monotonic()
    try:
        models = await fetch_models(backend, own_headers(account, backend.protocol))
        found: tuple[int | None, int, str] = (
            200,
            len(models),
            f"It lists {len(models)} model{'s' * (len(models) != 1)}.",
        )
    except CatalogError as exc:
        found = (exc.status, 0, str(exc))
    except MissingCredential as exc:
        found = (None, 0, str(exc))
    status, count, message = found
    elapsed = round((time.monotonic() - began) * 1000)
    ok = status == 200
    return TestResult(backend.name, account.alias, ok, status, elapsed, count, message)


async def backend_models(snapshot: Snapshot, name: str) -> list[CatalogEntry]:
    """The live model list of a backend. Raises ServiceError."""
    try:
        return await models_of(snapshot, enabled_backend(snapshot, name))
    except CatalogError as exc:
        raise ServiceError(str(exc)) from exc


def accounts_to_test(name: str) -> list[tuple[BackendConfig, AccountConfig]]:
    """Every account of a backend, ready for `account_test`. Raises ServiceError when it has none."""
    snapshot = load_snapshot()
    backend = enabled_backend(snapshot, get_backend(name).name)
    accounts = snapshot.pool(backend.name)
    if not accounts:
        raise ServiceError(
            f"Backend {backend.name} has no account. Add one: accounts add ALIAS --backend {backend.name}"
        )
    return [(backend, account) for account in accounts]


def enabled_backend(snapshot: Snapshot, name: str) -> BackendConfig:
    """A backend as the hot path sees it. Raises ServiceError for one that is off or misconfigured."""
    backend = snapshot.routing.backends.get(name.lower())
    if backend is None:
        raise ServiceError(
            f"Backend {name} is disabled, or its base URL is refused. Look at it in the admin."
        )
    return backend
