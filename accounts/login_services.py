"""Giving an account its credential and taking it away: the functions behind `login`, `logout`, `accounts add` and
the admin.

A credential is what the operator gives: the text of a key, the grant of an OAuth login, a file that another
program keeps, the caller's own, or None for a server that needs none. It decides the account's kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, Bench, OAuthToken, clean_secret
from accounts.oauth import Grant, store_grant
from accounts.providers import ProviderConfig, environment_name, provider_of
from accounts.terms import is_subscription_token
from accounts.token_files import TokenFileError, read_token_file
from accounts.vault import Secret, VaultError, unseal
from backends.addresses import BadBaseUrl
from backends.models import Backend
from backends.services import ServiceError, one_line, save_checked
from backends.wire.kinds import Protocol

# What `claude setup-token` prints lives one year and cannot be refreshed: a year from now is its latest end.
YEAR_SECONDS = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A file of another program. `token_path`: where its JSON holds the token (a.b.c); empty: the usual places."""

    path: str
    token_path: str = ""


@dataclass(frozen=True, slots=True)
class CallersOwn:
    """Whatever credential the caller sends."""


@dataclass(frozen=True, slots=True)
class LoginLater:
    """An OAuth login that is still to be made."""


Credential = str | Grant | TokenFile | CallersOwn | LoginLater | None


# --- giving -----------------------------------------------------------------------------------------------


@transaction.atomic
def credential_set(row: Account, credential: Credential) -> Account:
    """Give a new or stored account this credential in place of what it has, and save it. Raises ServiceError."""
    stored = credential_put(row, credential)
    save_checked(row)
    credential_settle(row, stored)
    return row


def credential_put(row: Account, credential: Credential) -> Credential:
    """Put the credential into the unsaved row; returns it as it will be stored. Raises ServiceError."""
    credential = as_stored(row.backend, credential)
    file = checked_file(credential) if isinstance(credential, TokenFile) else TokenFile("")
    _clear(row)
    row.kind = kind_of(credential)
    row.token_file, row.token_path = file.path, file.token_path
    if isinstance(credential, str):
        _seal_key(row, credential)
    return credential


def credential_settle(row: Account, credential: Credential) -> None:
    """After the row was saved: store a login's tokens, drop those of an earlier one, end what benched the old ones."""
    if isinstance(credential, Grant):
        store_grant(row, credential, keep_refresh=False)
    else:
        OAuthToken.objects.filter(account=row).delete()
    Bench.objects.filter(account=row).delete()
    row.resumed_at = timezone.now()
    row.save(update_fields=["resumed_at"])


def kind_of(credential: Credential) -> str:
    """The kind of an account that holds this credential."""
    if credential is None:
        return Account.NONE
    kinds: dict[type, str] = {
        str: Account.API_KEY,
        Grant: Account.OAUTH,
        LoginLater: Account.OAUTH,
        TokenFile: Account.TOKEN_FILE,
        CallersOwn: Account.CALLER,
    }
    return kinds[type(credential)]


def check_secret(secret: str) -> Secret:
    """The key without what a paste brought along. Raises ServiceError for what cannot be a key."""
    try:
        return clean_secret(secret)
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc


def checked_file(file: TokenFile) -> TokenFile:
    """The same with an absolute path, once a token was read from it. Raises ServiceError."""
    if not file.path.strip():
        raise ServiceError("Say which file holds the token.")
    path = str(Path(file.path.strip()).expanduser().absolute())
    try:
        read_token_file(path, file.token_path)
    except TokenFileError as exc:
        raise ServiceError(str(exc)) from exc
    return TokenFile(path, file.token_path)


def _seal_key(row: Account, secret: str) -> None:
    try:
        row.set_secret(secret)
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc


_CREDENTIAL_FIELDS = ("sealed_secret", "secret_hint", "secret_set_at", "token_file", "token_path")


def _clear(row: Account) -> None:
    row.sealed_secret = row.secret_hint = row.token_file = row.token_path = ""
    row.secret_set_at = None


def as_stored(backend: Backend, credential: Credential) -> Credential:
    """The same; but the token of an Anthropic plan, pasted as a key, is a login: it travels as a bearer token.

    Raises ServiceError for a text that cannot be a key.
    """
    if not isinstance(credential, str):
        return credential
    key = check_secret(credential).reveal()
    is_plan = backend.protocol == Protocol.ANTHROPIC and is_subscription_token(key)
    return token_grant(key) if is_plan else credential


def token_grant(text: str) -> Grant:
    """The grant that a pasted access token stands for. Raises ServiceError for a text that cannot be one."""
    token = check_secret(text)
    return Grant(access=token, expires_in=YEAR_SECONDS if is_subscription_token(token.reveal()) else None)


def required_provider(backend: str) -> ProviderConfig:
    """The OAuth client that is configured for this backend. Raises ServiceError that says how to configure one."""
    provider = provider_of(backend)
    if provider is None:
        name = f"PATCHBAY_OAUTH_{environment_name(backend)}"
        raise ServiceError(
            f"Backend {backend} has no OAuth client, and Patchbay ships nobody's client id. Register a client of your"
            f" own at the provider; then set {name}_CLIENT_ID and {name}_ISSUER (or {name}_AUTHORIZE_URL and"
            f" {name}_TOKEN_URL; {name}_SCOPES if it asks for scopes), or fill in the OAuth provider on the backend's"
            " page in the admin."
        )
    return provider


# --- taking away ----------------------------------------------------------------------------------------------


@transaction.atomic
def credential_forget(row: Account) -> bool:
    """Delete the stored credential; the account stays, with its kind. False if there was none to delete."""
    deleted, _ = OAuthToken.objects.filter(account=row).delete()
    had = bool(deleted or row.sealed_secret or row.token_file)
    _clear(row)
    row.save(update_fields=[*_CREDENTIAL_FIELDS, "updated_at"])
    return had


def credential_problem(row: Account) -> str:
    """Why the stored key or token cannot be used with the row's backend, for people; "" if it can."""
    try:
        row.open_secret()
        token = (
            OAuthToken.objects.filter(account=row).first() if row.kind == Account.OAUTH and row.pk else None
        )
        if token is not None:
            unseal(token.sealed_access, owner=row.uid, host=row.host)
    except (VaultError, BadBaseUrl) as exc:
        return str(exc)
    return ""
