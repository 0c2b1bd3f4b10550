"""The state of an account's credential: one function for `status`, `GET /status`, the lists and the admin.

Whether the pool would choose the account is another question (`accounts/standing.py`): a healthy credential can
be limited, benched or paused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.credentials import credential_obstacle, token_in_force
from accounts.models import Account
from accounts.snapshot import AccountConfig
from accounts.token_files import TokenFileError, followed
from accounts.token_life import EARLY_SECONDS
from backends.durations import how_long_ago, span

DEFAULT_ALIAS = "login"
EXPIRING_SECONDS = EARLY_SECONDS  # from then on a token that can be refreshed is
HEALTHY, EXPIRING, EXPIRED, NEEDS_LOGIN, NONE = "healthy", "expiring", "expired", "needs-login", "none"


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """`status` is healthy, expiring, expired, needs-login or none; `expires_at_ms` milliseconds since the epoch."""

    kind: str
    authenticated: bool
    status: str
    expires_at_ms: int | None = None
    expires_in: str | None = None
    can_refresh: bool = False
    problem: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "authenticated": self.authenticated,
            "status": self.status,
            "expiresAt": self.expires_at_ms,
            "expiresIn": self.expires_in,
            "canRefresh": self.can_refresh,
        }

    def expiry(self, now: float) -> str:
        """`expires in 11h 42m`, `expired 2 hours ago`; "" when no end is known."""
        if self.expires_at_ms is None:
            return ""
        if self.expires_in is not None:
            return f"expires in {self.expires_in}"
        ended = datetime.fromtimestamp(self.expires_at_ms / 1000, UTC)
        return f"expired {how_long_ago(ended, datetime.fromtimestamp(now, UTC))}"

    def line(self, now: float) -> str:
        """`healthy, expires in 11h 42m`; with what to do when something is wrong."""
        parts = (self.expiry(now),) if self.status == EXPIRED else (self.status, self.expiry(now))
        words = ", ".join(part for part in parts if part)
        return f"{words}: {self.problem}" if self.problem else words


NOBODY = CredentialStatus(NONE, authenticated=False, status=NONE)


def credential_status(account: AccountConfig, now: float, *, is_refused: bool = False) -> CredentialStatus:
    """The credential's state at `now` (seconds since the epoch). `is_refused`: the provider said no to it.

    Reads the token file of an account that follows one; pure otherwise.
    """
    if account.kind in (Account.NONE, Account.CALLER):
        return CredentialStatus(account.kind, authenticated=False, status=NONE)
    expires_at, can_refresh = _life(account)
    obstacle = credential_obstacle(account, now)
    if is_refused or (obstacle is not None and obstacle.kind == NEEDS_LOGIN):
        status = NEEDS_LOGIN
    else:
        status = _by_time(expires_at, now)
    problem = obstacle.reason if obstacle is not None and obstacle.kind == status else ""
    left = None if expires_at is None or expires_at <= now else span(expires_at - now)
    return CredentialStatus(
        kind=account.kind,
        authenticated=status in (HEALTHY, EXPIRING),
        status=status,
        expires_at_ms=None if expires_at is None else round(expires_at * 1000),
        expires_in=left,
        can_refresh=can_refresh and status != NEEDS_LOGIN,
        problem=problem or ("the provider refused it; give the account a new one" if is_refused else ""),
    )


def status_answer(accounts: Iterable[tuple[AccountConfig, CredentialStatus]]) -> dict[str, object]:
    """What `GET /status` and `status --json` say: the default account's fields, and every account's."""
    listed = list(accounts)
    rows = [
        {"alias": account.alias, "backend": account.backend, "kind": account.kind, **found.as_dict()}
        for account, found in listed
    ]
    return {**default_status(listed).as_dict(), "accounts": rows}


def default_status(listed: Sequence[tuple[AccountConfig, CredentialStatus]]) -> CredentialStatus:
    """Of the account `login`, else of the first login of a plan, else of the first account."""
    named = [found for account, found in listed if account.alias == DEFAULT_ALIAS]
    logins = [found for account, found in listed if account.kind in (Account.OAUTH, Account.TOKEN_FILE)]
    return next(iter([*named, *logins, *(found for _, found in listed)]), NOBODY)


def _life(account: AccountConfig) -> tuple[float | None, bool]:
    """When the token ends (seconds since the epoch, None when nobody says), and whether we can get a new one."""
    if account.kind != Account.TOKEN_FILE:
        _, token = token_in_force(account)
        return (token.expires_at, token.can_refresh) if token else (None, False)
    try:
        return followed(account.token_file, account.token_path).expires_at, False
    except TokenFileError:
        return None, False


def _by_time(expires_at: float | None, now: float) -> str:
    if expires_at is None or expires_at - now > EXPIRING_SECONDS:
        return HEALTHY
    return EXPIRING if expires_at > now else EXPIRED
