"""Changing and testing accounts and client keys: the one function behind command, admin button and endpoint."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.catalogs import models_of, refresh_catalogs
from accounts.client_auth import KEY_PREFIX, digest_of, new_client_key
from accounts.credentials import credential_headers
from accounts.models import Account, ClientKey, LoginLink, clean_secret
from accounts.snapshot import AccountConfig, Snapshot, load_snapshot
from accounts.vault import VaultError
from backends.addresses import BadBaseUrl
from backends.catalog import CatalogError, fetch_models
from backends.config import BackendConfig, CatalogEntry
from backends.durations import parse_duration
from backends.models import Backend
from backends.services import ServiceError, get_backend, one_line, save_checked

__all__ = ["ServiceError", "refresh_catalogs"]
LOGIN_LINK_MINUTES = 15


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


# --- accounts -----------------------------------------------------------------------------------------


@transaction.atomic
def account_add(alias: str, backend: Backend, secret: str | None) -> Account:
    """Create an account; without a secret it is of kind `none` (a local server). Raises ServiceError."""
    if Account.objects.filter(alias=alias).exists():
        raise ServiceError(f"Account {alias} exists. Remove it first, or choose another alias.")
    row = Account(alias=alias, backend=backend, kind=Account.API_KEY if secret is not None else Account.NONE)
    if secret is not None:
        account_set_secret(row, secret)
    save_checked(row)
    return row


def account_set_secret(row: Account, secret: str) -> None:
    """Seal a new secret into the row, unsaved. Raises ServiceError."""
    try:
        row.set_secret(secret)
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc


def account_forget_secret(row: Account) -> None:
    """Take the secret out of the row, unsaved."""
    row.sealed_secret, row.secret_hint, row.secret_set_at = "", "", None


def check_secret(secret: str) -> None:
    """Raises ServiceError for what cannot be a key."""
    try:
        clean_secret(secret)
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc


def account_remove(alias: str) -> None:
    """Delete an account and its credential. Raises ServiceError if there is none."""
    get_account(alias).delete()


def account_set_paused(alias: str, paused: bool) -> Account:
    """Take an account out of the pool, or back in. Raises ServiceError if there is none."""
    row = get_account(alias)
    row.is_paused = paused
    row.save(update_fields=["is_paused", "updated_at"])
    return row


def get_account(alias: str) -> Account:
    """The account of this alias. Raises ServiceError."""
    row = Account.objects.select_related("backend").filter(alias=alias).first()
    if row is None:
        aliases = ", ".join(Account.objects.values_list("alias", flat=True)) or "none yet"
        raise ServiceError(f"There is no account {alias!r}. Accounts: {aliases}.")
    return row


def account_status(row: Account) -> str:
    """`paused`, `needs-login` when the stored key cannot be used, else `ready`."""
    if row.is_paused:
        return "paused"
    return "needs-login" if account_problem(row) else "ready"


def account_problem(row: Account) -> str:
    """Why the stored key cannot be used, in words for people; "" if it can."""
    try:
        row.open_secret()
    except (VaultError, BadBaseUrl) as exc:
        return str(exc)
    return ""


# --- tests: free, over the model list -------------------------------------------------------------------


async def account_test(backend: BackendConfig, account: AccountConfig) -> TestResult:
    """Ask the backend for its models with this account's credential, paused or not."""
    began = time.monotonic()
    try:
        if account.problem:
            raise CatalogError(account.problem)
        models = await fetch_models(backend, credential_headers(account, backend.protocol))
        found: tuple[int | None, int, str] = (
            200,
            len(models),
            f"It lists {len(models)} model{'s' * (len(models) != 1)}.",
        )
    except CatalogError as exc:
        found = (exc.status, 0, str(exc))
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


# --- client keys ----------------------------------------------------------------------------------------


@transaction.atomic
def key_add(name: str, model_globs: tuple[str, ...] = (), expires: str = "") -> tuple[ClientKey, str]:
    """Create a client key; the second value is the key itself, which is not kept. Raises ServiceError."""
    if ClientKey.objects.filter(name=name).exists():
        raise ServiceError(f"Client key {name} exists. Revoke it, or choose another name.")
    expires_at = parse_expiry(expires) if expires else None
    row = ClientKey(name=name, model_globs=list(model_globs), expires_at=expires_at)
    return row, key_issue(row)


def key_issue(row: ClientKey) -> str:
    """Give an unsaved row its key and save it. The key is returned once and not kept. Raises ServiceError."""
    key = new_client_key()
    row.prefix, row.digest = key[: len(KEY_PREFIX) + 4], digest_of(key)
    save_checked(row)
    return key


def key_revoke(name: str) -> ClientKey:
    """Make a key useless from the next request on. Raises ServiceError if there is none."""
    row = ClientKey.objects.filter(name=name).first()
    if row is None:
        names = ", ".join(ClientKey.objects.values_list("name", flat=True)) or "none yet"
        raise ServiceError(f"There is no client key {name!r}. Keys: {names}.")
    if row.revoked_at is None:
        row.revoked_at = timezone.now()
        row.save(update_fields=["revoked_at"])
    return row


def key_status(row: ClientKey, moment: datetime) -> str:
    """`revoked`, `expired` or `active`."""
    if row.revoked_at is not None:
        return "revoked"
    return "active" if row.is_valid_at(moment) else "expired"


def parse_expiry(text: str) -> datetime:
    """`90d`, `12h`, `30m`, `2w` from now. Raises ServiceError."""
    duration = parse_duration(text)
    if duration is None:
        raise ServiceError(f"{text!r} is not a duration. Write 90d, 12h, 30m or 2w.")
    return timezone.now() + duration


# --- who may enter the admin --------------------------------------------------------------------------------


def login_link_make() -> str:
    """A fresh one-time token for the admin; only its hash is kept. Older unused ones stop working."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        LoginLink.objects.all().delete()
        expires = timezone.now() + timedelta(minutes=LOGIN_LINK_MINUTES)
        LoginLink.objects.create(digest=digest_of(token), expires_at=expires)
    return token


def login_link_url() -> str:
    """A fresh one-time link for a browser on this machine."""
    path = reverse("login-link", args=[login_link_make()], urlconf=settings.ROOT_URLCONF)
    return f"http://127.0.0.1:{settings.PATCHBAY_PORT}{path}"


def login_link_use(token: str) -> User | None:
    """The admin user, if the token is good; it is spent by this call. Makes the first admin user if there is none."""
    with transaction.atomic():
        spent = LoginLink.objects.filter(
            digest=digest_of(token), used_at__isnull=True, expires_at__gt=timezone.now()
        ).update(used_at=timezone.now())
        return admin_user() if spent else None


def admin_user() -> User:
    """The first active superuser; made, without a usable password, if there is none."""
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return user or User.objects.create_superuser("admin", password=None)


@transaction.atomic
def admin_set_password(username: str, password: str) -> bool:
    """Make `username` an active superuser with this password. True if the user is new. Raises ServiceError."""
    found = User.objects.filter(username=username).first()
    user = found or User(username=username)
    try:
        validate_password(password, user)
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(password)
        user.full_clean()
    except ValidationError as exc:
        raise ServiceError(one_line(exc)) from exc
    user.save()
    return found is None
