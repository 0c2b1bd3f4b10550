"""Refreshing a token because somebody asks for it: the function behind `refresh` and the admin's button."""

from __future__ import annotations

from accounts.credentials import refresh_failures
from accounts.login_services import required_provider
from accounts.models import Account, OAuthToken
from accounts.refresh import RefreshResult, refresh_now
from backends.online import run_online
from backends.services import ServiceError


def credential_refresh(row: Account) -> None:
    """Get a new token for an OAuth account now. Raises ServiceError that says what to do instead."""
    if row.kind != Account.OAUTH:
        raise ServiceError(f"Account {row.alias} {_NOTHING_TO_REFRESH[row.kind]}")
    token = OAuthToken.objects.filter(account=row).first()
    if token is None:
        raise ServiceError(f"Account {row.alias} is not logged in. Run `login {row.alias} --oauth`.")
    if not token.sealed_refresh:
        raise ServiceError(
            f"Account {row.alias} has no refresh token, so its token cannot be renewed. When it ends, log in again:"
            f" `login {row.alias}`."
        )
    required_provider(row.backend.name)
    result = run_online(refresh_now(row.uid, seen_generation=token.generation, by_hand=True))
    if result not in (RefreshResult.REFRESHED, RefreshResult.FRESH):
        _, why = refresh_failures.get(row.uid, (0, ""))
        token.refresh_from_db()
        raise ServiceError(
            f"The token of account {row.alias} was not refreshed. {token.problem or why}".strip()
        )


_NOTHING_TO_REFRESH = {
    Account.API_KEY: "uses an API key, which does not expire. To replace it, run `login`.",
    Account.TOKEN_FILE: "follows the token file of another program. That program refreshes it; Patchbay never does.",
    Account.CALLER: "passes on what each caller sends, so there is nothing here to refresh.",
    Account.NONE: "has no credential, so there is nothing to refresh.",
}
