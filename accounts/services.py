"""Changing accounts: the one function behind command, admin button and endpoint. Credentials: `login_services`."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.login_services import Credential, credential_set
from accounts.models import Account, Bench
from backends.models import Backend, name_validator
from backends.services import ServiceError

__all__ = ["ServiceError"]


def account_add(alias: str, backend: Backend, credential: Credential) -> Account:
    """Create an account with its credential: a key's text, a login, a file, or None. Raises ServiceError."""
    check_new_alias(alias)
    return credential_set(Account(alias=alias, backend=backend), credential)


def check_new_alias(alias: str) -> None:
    """Raises ServiceError for an alias that is taken or against the rule."""
    try:
        name_validator(alias)
    except ValidationError as exc:
        raise ServiceError(f"alias: {' '.join(exc.messages)}") from exc
    if Account.objects.filter(alias=alias).exists():
        raise ServiceError(f"Account {alias} exists. Remove it first, or choose another alias.")


def account_remove(alias: str) -> None:
    """Delete an account and its credential. Raises ServiceError if there is none."""
    get_account(alias).delete()


def account_pause(alias: str) -> Account:
    """Take an account out of the pool. Raises ServiceError if there is none."""
    row = get_account(alias)
    row.is_paused = True
    row.save(update_fields=["is_paused", "updated_at"])
    return row


@transaction.atomic
def account_resume(alias: str) -> Account:
    """Put an account back into the pool; whatever benched it is void, so the next request may try it at once.

    Raises ServiceError if there is none.
    """
    row = get_account(alias)
    Bench.objects.filter(account=row).delete()
    row.is_paused, row.resumed_at = False, timezone.now()
    row.save(update_fields=["is_paused", "resumed_at", "updated_at"])
    return row


def get_account(alias: str) -> Account:
    """The account of this alias. Raises ServiceError."""
    row = Account.objects.select_related("backend").filter(alias=alias).first()
    if row is None:
        aliases = ", ".join(Account.objects.values_list("alias", flat=True)) or "none yet"
        raise ServiceError(f"There is no account {alias!r}. Accounts: {aliases}.")
    return row
