"""The whole configuration in force: routing, accounts and client keys, swapped as one.

Rule: a request takes `keeper.current` once and works with that object to its end. One thread watches the
version in the database and swaps a complete new snapshot in; nobody changes one in place. When the
database cannot be read, the last snapshot stays in force.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from django.conf import settings
from django.db import connections

from accounts.key_use import KeyLimits, Period
from accounts.models import Account, ClientKey
from accounts.redact import register_secrets
from accounts.token_life import lives
from accounts.vault import Secret, VaultError, unseal
from backends.addresses import BadBaseUrl
from backends.config import DEMO_NAME, Routing
from backends.models import ConfigVersion
from backends.price_services import load_prices
from backends.prices import NO_PRICES, PriceBook
from backends.snapshot import load_routing
from backends.tasks import in_database_thread

logger = logging.getLogger("patchbay.config")
POLL_SECONDS = 0.25
CATCH_UP_SECONDS = 0.05  # however many requests are refused, the database is asked at most this often


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of an OAuth account's token besides itself. Times are seconds since the epoch."""

    generation: int
    expires_at: float | None
    can_refresh: bool
    needs_login: bool = False
    obtained_at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """One account as the pool sees it. `problem` says why its secret cannot be used, if it cannot.

    `secret` is the API key or the OAuth access token; a token file is read when it is needed. Reserves are
    fractions of a window, `interval_s` the least time between two requests, limits US dollars; what benched the
    account before `resumed_at` (seconds since the epoch) is void.
    """

    uid: str
    alias: str
    backend: str
    kind: str
    secret: Secret | None
    is_paused: bool = False
    problem: str = ""
    token: TokenFacts | None = None
    token_file: str = ""
    token_path: str = ""
    resumed_at: float = 0.0
    position: int = 0
    weight: int = 1
    interval_s: float = 0.0
    reserve: float = 0.02
    reserves: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    allowed_claims: frozenset[str] = frozenset()
    daily_limit: Decimal | None = None
    monthly_limit: Decimal | None = None

    @property
    def has_limits(self) -> bool:
        """Whether the operator limits what it may cost."""
        return self.daily_limit is not None or self.monthly_limit is not None


@dataclass(frozen=True, slots=True)
class ClientKeyConfig:
    """One client key that has not been revoked. `limits`: None when it has none."""

    name: str
    model_globs: tuple[str, ...]
    expires_at: datetime | None
    limits: KeyLimits | None = None
    keeps_bodies: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of everything. `pools` is keyed by backend name, `client_keys` by digest.

    `prices` are those that the operator set.
    """

    version: int
    routing: Routing
    pools: Mapping[str, tuple[AccountConfig, ...]]
    client_keys: Mapping[str, ClientKeyConfig]
    has_client_keys: bool
    prices: PriceBook = NO_PRICES

    def pool(self, backend: str) -> tuple[AccountConfig, ...]:
        """The accounts of one backend, in order of alias; empty if it has none."""
        return self.pools.get(backend, ())

    def account(self, uid: str) -> AccountConfig | None:
        """The account of this uid, or None when it is gone."""
        return next((a for pool in self.pools.values() for a in pool if a.uid == uid), None)


@dataclass(frozen=True, slots=True)
class Demo:
    """The simulated backend of this process: where it listens and with how many accounts it is shown."""

    url: str
    accounts: int = 1
    always: bool = False  # also beside real backends (`runproxy --demo`)


def load_snapshot(demo: Demo | None = None) -> Snapshot:
    """Read the database into a new snapshot. The version is read first: a change meanwhile loads again."""
    version = ConfigVersion.current()
    routing = load_routing()
    if demo and (demo.always or not routing.backends):
        routing = load_routing(demo.url)
    pools = _pools(demo if DEMO_NAME in routing.backends else None)
    register_secrets(a.secret.reveal() for pool in pools.values() for a in pool if a.secret)
    return Snapshot(version, routing, MappingProxyType(pools), *_client_keys(), load_prices())


def _pools(demo: Demo | None) -> dict[str, tuple[AccountConfig, ...]]:
    pools: dict[str, tuple[AccountConfig, ...]] = {}
    for row in Account.objects.select_related("backend", "token").order_by("alias"):
        config = _account_config(row)
        pools[config.backend] = (*pools.get(config.backend, ()), config)
    if demo and DEMO_NAME not in pools:
        pools[DEMO_NAME] = tuple(
            _demo_account(number, demo.accounts) for number in range(1, demo.accounts + 1)
        )
    return pools


def _account_config(row: Account) -> AccountConfig:
    secret, token, problem = None, None, ""
    try:
        secret, token = _credential(row)
    except (VaultError, BadBaseUrl) as exc:
        problem = str(exc)
    return AccountConfig(
        uid=row.uid,
        alias=row.alias,
        backend=row.backend.name,
        kind=row.kind,
        secret=secret,
        is_paused=row.is_paused,
        problem=problem,
        token=token,
        token_file=row.token_file,
        token_path=row.token_path,
        resumed_at=row.resumed_at.timestamp() if row.resumed_at else 0.0,
        position=row.position,
        weight=row.weight,
        interval_s=_interval_ms(row) / 1000,
        reserve=row.reserve_percent / 100,
        reserves=MappingProxyType({name: percent / 100 for name, percent in row.reserves.items()}),
        allowed_claims=frozenset(row.allowed_claims),
        daily_limit=row.daily_limit,
        monthly_limit=row.monthly_limit,
    )


def _credential(row: Account) -> tuple[Secret | None, TokenFacts | None]:
    if row.kind != Account.OAUTH:
        return row.open_secret(), None
    stored = getattr(row, "token", None)
    if stored is None:
        raise VaultError(f"Account {row.alias} is not logged in. Run `login {row.alias} --oauth`.")
    expires_at = stored.expires_at.timestamp() if stored.expires_at else None
    obtained_at = stored.obtained_at.timestamp()
    facts = TokenFacts(
        stored.generation, expires_at, bool(stored.sealed_refresh), stored.needs_login, obtained_at
    )
    if expires_at is not None:
        lives.note(row.uid, stored.generation, expires_at, stored.lifetime_s)
    return unseal(stored.sealed_access, owner=row.uid, host=row.host), facts


def _interval_ms(row: Account) -> int:
    """The account's own, else the setting's, else 500 for OAuth logins and 0 for the rest."""
    if row.min_interval_ms is not None:
        return row.min_interval_ms
    if settings.PATCHBAY_MIN_INTERVAL_MS is not None:
        return int(settings.PATCHBAY_MIN_INTERVAL_MS)
    return 500 if row.kind == Account.OAUTH else 0


def _demo_account(number: int, count: int) -> AccountConfig:
    alias = DEMO_NAME if count == 1 else f"{DEMO_NAME}-{number}"
    return AccountConfig(f"{DEMO_NAME}-{number}", alias, DEMO_NAME, Account.NONE, None)


def _client_keys() -> tuple[Mapping[str, ClientKeyConfig], bool]:
    rows = list(ClientKey.objects.all())
    valid = {
        row.digest: ClientKeyConfig(
            row.name, tuple(row.model_globs), row.expires_at, _limits(row), row.keeps_bodies
        )
        for row in rows
        if row.revoked_at is None
    }
    return MappingProxyType(valid), bool(rows)


def _limits(row: ClientKey) -> KeyLimits | None:
    if row.requests_per_minute is None and row.tokens_per_minute is None and row.budget is None:
        return None
    period = Period(row.budget_period)
    return KeyLimits(row.pk, row.name, row.requests_per_minute, row.tokens_per_minute, row.budget, period)


@dataclass
class SnapshotKeeper:
    """Holds the snapshot in force and the thread that renews it. `is_failing`: the database cannot be read now."""

    demo: Demo | None = None
    is_failing: bool = False
    _current: Snapshot | None = None
    _caught_up_at: float = float("-inf")
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _reading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def current(self) -> Snapshot:
        """The snapshot in force; loaded on first use."""
        return self._current or self.reload()

    def reload(self) -> Snapshot:
        """Load now and swap."""
        with self._reading:
            self._current = load_snapshot(self.demo)
            return self._current

    async def catch_up(self) -> Snapshot:
        """The snapshot, renewed first if the database holds a newer one.

        For requests that are about to be refused: a key or a backend that was added a moment ago counts at once.
        """
        now = time.monotonic()
        if now - self._caught_up_at >= CATCH_UP_SECONDS:
            self._caught_up_at = now
            await in_database_thread(self._renew)
        return self.current

    def _renew(self) -> None:
        if ConfigVersion.current() != self.current.version:
            self.reload()

    def start(self) -> None:
        """Watch the version in a thread of its own, until `stop()`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, name="config-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self._renew()
                self.is_failing = False
            except (
                Exception
            ):  # a database that is away, or rows that nobody can read: this thread must outlive both
                if not self.is_failing:
                    logger.exception("The configuration cannot be read; the last one stays in force.")
                self.is_failing = True
        connections.close_all()


keeper = SnapshotKeeper()
