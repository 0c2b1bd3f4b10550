"""Whether an account can serve a request, and if not, why and until when.

Pure, but for the credential: `credential_obstacle()` looks at tokens itself. The router, `/health`, `/accounts`,
the admin, `routes explain` and `why` all ask `standing_of()`; there is no second opinion anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from accounts.credentials import credential_obstacle, token_in_force, token_since_wall
from accounts.forecast import RENEWED_SECONDS, UNKNOWN, outlook
from accounts.snapshot import AccountConfig
from accounts.token_life import lives
from accounts.windows import (
    OVERAGE,
    BenchKind,
    BenchState,
    WindowState,
    headroom_of,
    is_quota,
)

REFRESH_SECONDS = 1.0  # a refresh in progress is expected to take so long
LOOK_SECONDS = 1.0  # how often a token file, and a token that is at its end, is looked at


class ObstacleKind(StrEnum):
    """What is in the way of an account."""

    PAUSED = "paused"
    NEEDS_LOGIN = "needs-login"  # the credential cannot be used
    EXPIRED = "expired"
    REFRESHING = "refreshing"  # over in seconds
    LIMITED = "limited"  # a window is spent, or kept in reserve
    COOLING = "cooling"  # benched until the next probe
    PROBING = "probing"  # benched, and another request is trying now
    FAULTY = "faulty"  # benched for faults: still used when nothing else is left
    GUARD = "guard"  # the operator's own limit on money, or on what may pay
    PACING = "pacing"  # the least time between two requests has not passed
    TRIED = "tried"  # this request has had its answer from this account


_BROKEN = frozenset((ObstacleKind.PAUSED, ObstacleKind.NEEDS_LOGIN, ObstacleKind.EXPIRED))


class Obstacle(msgspec.Struct, frozen=True):
    """Why an account cannot serve now. `recovers_at` is on the pool's clock; None: not without somebody's help."""

    kind: ObstacleKind
    reason: str
    recovers_at: float | None = None

    @property
    def is_broken(self) -> bool:
        """Whether waiting is no use."""
        return self.kind in _BROKEN


class Standing(msgspec.Struct, frozen=True):
    """One account's case for one kind of model, as of one moment; true until `valid_until` unless news comes."""

    account: AccountConfig
    obstacle: Obstacle | None
    headroom: float | None
    valid_until: float
    probe: BenchState | None = None  # a bench whose time is up: one request may try
    is_overage: bool = False  # would be paid beyond the subscription
    percent_left: int = 100  # the headroom as the choice counts it: full when nothing was ever observed
    outlook: float = UNKNOWN  # see accounts.forecast
    is_refused: bool = False  # the provider refused the credential when it was last used


def standing_of(
    account: AccountConfig,
    windows: Iterable[WindowState],
    benches: Iterable[BenchState],
    classes: frozenset[str] | None,
    *,
    now: float,
    wall: float,
    void_before: float = -math.inf,
) -> Standing:
    """The standing of `account` for a model of these classes; None: for the kind of model it can serve best.

    What became known before `void_before` (on the pool's clock) does not count: somebody resumed the account then.
    """
    windows = [window for window in windows if window.observed_at >= void_before]
    token_since = now + (token_since_wall(account) - wall)
    held = [b for b in benches if b.since >= void_before and not _is_over(b, account, token_since)]
    case = _Case(account, windows, held, now, wall)
    if classes is not None:
        return case.standing(classes)
    cases = [case.standing(kind) for kind in _kinds_of_model(windows, held)]
    best = max(cases, key=_goodness)
    return msgspec.structs.replace(best, valid_until=min(found.valid_until for found in cases))


def _is_over(bench: BenchState, account: AccountConfig, token_since: float) -> bool:
    """Whether the account was benched for a token that has been replaced, or for a charge that is allowed by now."""
    if bench.kind is BenchKind.AUTH:
        return bench.since < token_since
    return bench.kind is BenchKind.QUOTA and bench.window != "" and may_use(account, bench.window)


def may_use(account: AccountConfig, claim: str) -> bool:
    """Whether the operator lets this window pay for requests. Who allows `7d` allows its parts, such as `7d_opus`."""
    allowed = account.allowed_claims
    return not allowed or claim in allowed or claim.partition("_")[0] in allowed


def _kinds_of_model(windows: Iterable[WindowState], benches: Iterable[BenchState]) -> list[frozenset[str]]:
    """The kinds of model that the account has told something about; also when that reading has retired since."""
    named = {w.reading.model_class for w in windows} | {b.model_class for b in benches}
    found = [frozenset(("", name)) for name in sorted(named - {""})]
    return [frozenset(("",)), *found] if not found or "" in named else found


def _goodness(standing: Standing) -> tuple[bool, float, float]:
    """Who can serve first, then who can soonest, then who has most left."""
    obstacle = standing.obstacle
    at = obstacle.recovers_at if obstacle is not None else None
    return (obstacle is None, -math.inf if at is None else -at, standing.percent_left)


class _Case(msgspec.Struct, frozen=True):
    """All that counts of one account at one moment."""

    account: AccountConfig
    windows: list[WindowState]
    benches: list[BenchState]
    now: float
    wall: float

    def standing(self, classes: frozenset[str]) -> Standing:
        """For models of these classes."""
        account, now = self.account, self.now
        told = [(w, floor(account, w)) for w in self.windows if w.reading.model_class in classes]
        known = [window for window, _ in told if window.retires_at > now]
        held = [bench for bench in self.benches if bench.model_class in classes]
        blocked = [(until, w) for w, kept in told if (until := w.blocks_until(kept)) > now]
        obstacle, probe = _general(account, self.wall, now), None
        if obstacle is None:
            obstacle, probe = _benched(held, now)
        is_overage = False
        if obstacle is None or obstacle.kind is ObstacleKind.FAULTY:
            spent, is_overage = _spent(account, blocked, known)
            obstacle = spent or obstacle
        left = headroom_of(known)
        return Standing(
            account,
            obstacle,
            left,
            min([until for until, _ in blocked] + self._moments(known, held), default=math.inf),
            probe,
            is_overage,
            percent_left=100 if left is None else round(100 * left),
            outlook=outlook(told, now),
            is_refused=any(bench.kind is BenchKind.AUTH for bench in held),
        )

    def _moments(self, known: list[WindowState], held: list[BenchState]) -> list[float]:
        """When time alone changes the answer."""
        now, account = self.now, self.account
        moments = [w.retires_at for w in known] + [b.until for b in held if b.until > now]
        if known:
            moments.append(now + RENEWED_SECONDS)
        if account.token_file:
            moments.append(now + LOOK_SECONDS)
        _, token = token_in_force(account)
        if token is not None and token.expires_at is not None:
            left = lives.seconds_left(account.uid, token.generation, token.expires_at, self.wall)
            moments.append(now + max(LOOK_SECONDS, left - lives.last_seconds(account.uid)))
        return moments


def _general(account: AccountConfig, wall: float, now: float) -> Obstacle | None:
    if account.is_paused:
        return Obstacle(ObstacleKind.PAUSED, "paused")
    found = credential_obstacle(account, wall)
    if found is None:
        return None
    recovers_at = now + REFRESH_SECONDS if found.kind == "refreshing" else None
    return Obstacle(ObstacleKind(found.kind), found.reason, recovers_at)


def _benched(benches: list[BenchState], now: float) -> tuple[Obstacle | None, BenchState | None]:
    """The bench that holds longest, a mere fault last; or, when all have run out, the one to probe."""
    held = [bench for bench in benches if bench.until > now]
    if not held:
        return None, max(benches, key=_weight, default=None)
    longest = max(held, key=_weight)
    return Obstacle(_obstacle_kind(longest), longest.reason, longest.until), None


def _weight(bench: BenchState) -> tuple[bool, float]:
    """What the provider refused counts before a mere fault."""
    return (bench.kind is not BenchKind.FAULT, bench.until)


def _obstacle_kind(bench: BenchState) -> ObstacleKind:
    if bench.kind is BenchKind.QUOTA and bench.window:
        return ObstacleKind.GUARD
    return _OBSTACLES.get(bench.kind, ObstacleKind.COOLING)


_OBSTACLES = {BenchKind.AUTH: ObstacleKind.NEEDS_LOGIN, BenchKind.FAULT: ObstacleKind.FAULTY}


def floor(account: AccountConfig, window: WindowState) -> float:
    """What stays unspent of a window. A rate per minute is used to the full, unless told otherwise by name."""
    name = window.reading.window
    return account.reserves.get(name, account.reserve if is_quota(name) else 0.0)


def _spent(
    account: AccountConfig, blocked: list[tuple[float, WindowState]], known: list[WindowState]
) -> tuple[Obstacle | None, bool]:
    """What the blocked windows mean, and whether paid overage would carry the request.

    Overage steps in for what is spent, never for what is only kept in reserve.
    """
    blocked = [(until, w) for until, w in blocked if w.reading.window != OVERAGE]
    if not blocked:
        return None, False
    recovers_at = max(until for until, _ in blocked)
    has_overage = any(w.reading.window == OVERAGE and w.used < 1 for w in known)
    if not has_overage or any(w.used < 1 for _, w in blocked):
        reason = "; ".join(_words(account, w) for _, w in blocked)
        return Obstacle(ObstacleKind.LIMITED, reason, recovers_at), False
    if may_use(account, OVERAGE):
        return None, True
    names = ", ".join(w.reading.window for _, w in blocked)
    reason = f"{names} spent, and this account may not use paid overage"
    return Obstacle(ObstacleKind.GUARD, reason, recovers_at), True


def _words(account: AccountConfig, window: WindowState) -> str:
    name = window.reading.window
    if window.used >= 1:
        return f"{name} spent"
    return f"{name} at {window.used:.0%}, {floor(account, window):.0%} is kept in reserve"


def status_of(obstacle: Obstacle | None) -> str:
    """The word in `/accounts`: ready, limited, cooling, expired, needs-login or paused."""
    return "ready" if obstacle is None else _STATUS[obstacle.kind]


_STATUS: Mapping[ObstacleKind, str] = {
    ObstacleKind.PAUSED: "paused",
    ObstacleKind.NEEDS_LOGIN: "needs-login",
    ObstacleKind.EXPIRED: "expired",
    ObstacleKind.REFRESHING: "expired",
    ObstacleKind.LIMITED: "limited",
    ObstacleKind.GUARD: "limited",
    ObstacleKind.COOLING: "cooling",
    ObstacleKind.PROBING: "cooling",
    ObstacleKind.FAULTY: "cooling",
    ObstacleKind.PACING: "ready",
    ObstacleKind.TRIED: "ready",
}
