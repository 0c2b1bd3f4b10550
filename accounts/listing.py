"""Accounts as commands and admin pages show them: what is stored, and the state of the credential.

The pool's live state is not here: only the running server has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F, QuerySet

from accounts.models import Account, Bench
from accounts.snapshot import AccountConfig, load_snapshot
from accounts.status import EXPIRED, NEEDS_LOGIN, CredentialStatus, credential_status
from accounts.windows import BenchKind


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """One account, as of `now` (seconds since the epoch)."""

    row: Account
    config: AccountConfig
    credential: CredentialStatus
    now: float

    @property
    def word(self) -> str:
        """`paused`, `needs-login`, `expired` or `ready`: what is known without asking the running server."""
        if self.row.is_paused:
            return "paused"
        return self.credential.status if self.credential.status in (NEEDS_LOGIN, EXPIRED) else "ready"

    @property
    def expiry(self) -> str:
        """`expires in 11h 42m`; "" when no end is known."""
        return self.credential.expiry(self.now)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "alias": self.row.alias,
            "backend": self.config.backend,
            "kind": self.row.kind,
            "status": self.word,
            "credential": self.credential.status,
            "expiresAt": self.credential.expires_at_ms,
            "expiresIn": self.credential.expires_in,
            "canRefresh": self.credential.can_refresh,
            "keyHint": self.row.secret_hint or None,
            "createdAt": self.row.created_at.isoformat(),
        }


def benches_in_force() -> QuerySet[Bench]:
    """What keeps accounts out of rotation; not what was noted before somebody resumed them."""
    return Bench.objects.exclude(account__resumed_at__gt=F("since"))


def list_accounts(now: float) -> list[ListedAccount]:
    """Every account, by backend and alias."""
    refused = set(benches_in_force().filter(kind=BenchKind.AUTH.value).values_list("account__uid", flat=True))
    configs = {config.uid: config for pool in load_snapshot().pools.values() for config in pool}
    rows = Account.objects.select_related("backend").order_by("backend__name", "alias")
    return [
        ListedAccount(row, config, credential_status(config, now, is_refused=row.uid in refused), now)
        for row in rows
        if (config := configs.get(row.uid))
    ]


def list_account(row: Account, now: float) -> ListedAccount:
    """One account that is stored."""
    return next(found for found in list_accounts(now) if found.row.uid == row.uid)
