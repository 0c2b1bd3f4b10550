"""The pool as people and pages see it: the same eligibility as the router's, in words and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.pool import Pool, pool
from accounts.snapshot import AccountConfig, Snapshot
from accounts.standing import Obstacle, ObstacleKind, Standing, status_of
from accounts.status import credential_status
from accounts.windows import WindowState


@dataclass(frozen=True, slots=True)
class AccountView:
    """One account as of `now` (on the pool's clock), which is `wall` in seconds since the epoch.

    `standing` is for the kind of model that it can serve best; `sessions` is how many are bound to it. `reason` is
    what is in its way, or what the next request will find out about.
    """

    account: AccountConfig
    obstacle: Obstacle | None
    reason: str | None
    standing: Standing
    windows: tuple[WindowState, ...]
    claim: str
    observed_at: float | None
    requests: int
    in_flight: int
    sessions: int
    now: float
    wall: float

    @property
    def status(self) -> str:
        """ready, limited, cooling, expired, needs-login or paused."""
        return status_of(self.obstacle)

    def utilization(self, window: str) -> float | None:
        """Of one window that governs every model, while its reading lives."""
        return next((min(1.0, w.used) for w in self.windows if w.key == (window, "")), None)

    def as_dict(self) -> dict[str, object]:
        """For `/accounts`. Durations are milliseconds, moments milliseconds since the epoch."""
        recovers_at = self.obstacle.recovers_at if self.obstacle is not None else None
        ends_at = credential_status(self.account, self.wall).expires_at_ms
        return {
            "alias": self.account.alias,
            "backend": self.account.backend,
            "kind": self.account.kind,
            "status": self.status,
            "util5h": self.utilization("5h"),
            "util7d": self.utilization("7d"),
            "headroom": self.standing.headroom,
            "claim": self.claim or None,
            "windows": [self._window(window) for window in self.windows],
            "lastObservedAt": self._date(self.observed_at),
            "utilAgeMs": None if self.observed_at is None else _ms(self.now - self.observed_at),
            "requestCount": self.requests,
            "inFlight": self.in_flight,
            "stickyBindings": self.sessions,
            "cooldownMs": 0 if recovers_at is None else _ms(recovers_at - self.now),
            "reason": self.reason,
            "expiresInMs": None if ends_at is None else max(0, ends_at - round(self.wall * 1000)),
        }

    def _window(self, window: WindowState) -> dict[str, object]:
        reading = window.reading
        return {
            "name": reading.window,
            "modelClass": reading.model_class or None,
            "utilization": min(1.0, window.used),
            "remaining": reading.remaining,
            "limit": reading.limit,
            "rejected": reading.is_rejected,
            "resetsAt": None if reading.resets_at is None else self._date(window.retires_at),
            "observedAt": self._date(window.observed_at),
        }

    def _date(self, moment: float | None) -> int | None:
        return None if moment is None else round((self.wall + (moment - self.now)) * 1000)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def accounts_view(snapshot: Snapshot, of: Pool = pool) -> list[AccountView]:
    """Every account of every enabled backend, by backend and alias."""
    now = of.state.now()
    sessions = Counter(uid for uid, until in of.state.bindings.values() if until > now)
    return [
        _view(of, account, obstacle, sessions[account.uid])
        for backend in snapshot.routing.backends.values()
        for account, obstacle in _obstacles(of, snapshot.pool(backend.name))
    ]


def _obstacles(of: Pool, accounts: Iterable[AccountConfig]) -> list[tuple[AccountConfig, Obstacle | None]]:
    """What keeps each account of a pool from serving. Faults do not, when nobody else is left."""
    found = [(account, of.obstacle(account)) for account in accounts]
    if any(obstacle is None for _, obstacle in found):
        return found
    return [(account, None if o is not None and o.kind is ObstacleKind.FAULTY else o) for account, o in found]


def _view(of: Pool, account: AccountConfig, obstacle: Obstacle | None, sessions: int) -> AccountView:
    """One account as the router sees it now, for whatever it could serve at all."""
    now, state = of.state.now(), of.state.account(account.uid)
    standing = of.state.standing(account, None, now)
    return AccountView(
        account,
        obstacle,
        _reason(obstacle, standing),
        standing,
        tuple(window for window in state.windows.values() if window.retires_at > now),
        state.claim,
        state.observed_at,
        state.requests,
        state.in_flight,
        sessions,
        now,
        of.state.wall(),
    )


def _reason(obstacle: Obstacle | None, standing: Standing) -> str | None:
    if obstacle is not None:
        return obstacle.reason
    if standing.obstacle is not None:
        return f"used although it is faulty, because no other account can serve: {standing.obstacle.reason}"
    return None if standing.probe is None else f"the next request tries it, after: {standing.probe.reason}"


def pool_obstacles(snapshot: Snapshot, backend: str, of: Pool = pool) -> dict[str, str]:
    """alias → why it can serve no model now ("" when it can) for every account of a backend."""
    found = _obstacles(of, snapshot.pool(backend))
    return {account.alias: obstacle.reason if obstacle else "" for account, obstacle in found}


def unserviceable(snapshot: Snapshot, within: float, of: Pool = pool) -> list[str]:
    """Why nothing can be served in so many seconds, one reason a backend; empty when something can."""
    until, reasons = of.state.now() + within, []
    for backend in snapshot.routing.backends.values():
        found = _obstacles(of, snapshot.pool(backend.name))
        if any(_is_over_by(until, obstacle) for _, obstacle in found):
            return []
        listed = "; ".join(f"account {account.alias}: {o.reason}" for account, o in found if o)
        reasons.append(f"{backend.name}: {listed or 'no account'}")
    return reasons or ["no backend is enabled"]


def _is_over_by(until: float, obstacle: Obstacle | None) -> bool:
    if obstacle is None:
        return True
    return not obstacle.is_broken and obstacle.recovers_at is not None and obstacle.recovers_at <= until
