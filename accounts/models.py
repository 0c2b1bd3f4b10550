"""Accounts (the operator's credentials at backends) and client keys (what tools use to call Patchbay)."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from accounts.vault import Secret, VaultError, seal, unseal
from backends.addresses import check_base_url
from backends.models import Backend, is_glob_list, name_validator


def new_uid() -> str:
    """An identity for a row before the database gives it one."""
    return uuid.uuid4().hex


class Account(models.Model):
    """A credential that the operator owns at one backend."""

    API_KEY, OAUTH, TOKEN_FILE, CALLER, NONE = "api_key", "oauth", "token_file", "caller", "none"
    KINDS = [
        (API_KEY, "API key"),
        (OAUTH, "OAuth login"),
        (TOKEN_FILE, "token file of another program (read only)"),
        (CALLER, "the caller's own credential"),
        (NONE, "no credential (local server)"),
    ]

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    alias = models.CharField(max_length=64, unique=True, validators=[name_validator])
    backend = models.ForeignKey(Backend, on_delete=models.CASCADE, related_name="accounts")
    kind = models.CharField(max_length=16, choices=KINDS, default=API_KEY)
    sealed_secret = models.TextField(blank=True, editable=False)
    secret_hint = models.CharField(max_length=8, blank=True, editable=False)
    secret_set_at = models.DateTimeField(null=True, blank=True, editable=False)
    token_file = models.CharField(
        max_length=1000,
        blank=True,
        help_text="Kind token file: where the other program keeps its token. Read, followed, never written.",
    )
    token_path = models.CharField(
        max_length=200,
        blank=True,
        help_text="Where the token stands in a JSON file, such as a.b.c; empty: the usual places.",
    )
    is_paused = models.BooleanField("paused", default=False)
    resumed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Whatever benched the account before is void."
    )
    position = models.PositiveSmallIntegerField(
        default=0, help_text="fill-first: the lowest is spent first; equal: in order of alias."
    )
    weight = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="weighted: its share of the requests."
    )
    reserve_percent = models.FloatField(
        default=2.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(100.0)],
        help_text="Left unspent in every window, so that you can still use the account yourself.",
    )
    reserves = models.JSONField(
        "reserves by window", default=dict, blank=True, help_text='Percent, such as {"5h": 10, "7d": 5}.'
    )
    min_interval_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Least time between two requests; empty: PATCHBAY_MIN_INTERVAL_MS, else 500 for OAuth, 0.",
    )
    allowed_claims = models.JSONField(
        default=list,
        blank=True,
        help_text='Only requests that these windows pay for, such as ["5h", "7d"]; empty: any, also paid overage.',
    )
    daily_limit = models.DecimalField(
        "money per day",
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="US dollars (UTC day).",
    )
    monthly_limit = models.DecimalField(
        "money per month",
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="US dollars (UTC).",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["backend", "alias"]

    def __str__(self) -> str:
        return self.alias

    def clean(self) -> None:
        """A key account without a key could only fail later."""
        if self.kind == self.API_KEY and not self.sealed_secret:
            raise ValidationError("An API-key account needs its key.")
        if self.kind == self.TOKEN_FILE and not self.token_file:
            raise ValidationError({"token_file": "Say which file holds the token."})
        if not is_percent_map(self.reserves):
            raise ValidationError({"reserves": 'Give percent by window, such as {"5h": 10}.'})
        if not is_glob_list(self.allowed_claims):
            raise ValidationError({"allowed_claims": 'Give a list of windows, such as ["5h", "7d"].'})

    def set_secret(self, text: str) -> None:
        """Seal `text` for this account and its backend's host. Does not save the row."""
        secret = clean_secret(text)
        self.sealed_secret = seal(secret.reveal(), owner=self.uid, host=self.host)
        self.secret_hint = secret.hint
        self.secret_set_at = timezone.now()

    def open_secret(self) -> Secret | None:
        """The API key, or None for a kind without one. Raises VaultError when it cannot be opened."""
        if self.kind != self.API_KEY:
            return None
        if not self.sealed_secret:
            raise VaultError(
                f"Account {self.alias} has no key. Run `login {self.alias}`, or set one in the admin."
            )
        return unseal(self.sealed_secret, owner=self.uid, host=self.host)

    @property
    def host(self) -> str:
        """`scheme://host:port` of the backend: where this account's secret may travel, and nowhere else."""
        base = check_base_url(self.backend.base_url)
        return f"{base.scheme}://{base.authority}"


def clean_secret(text: str) -> Secret:
    """Strip what a paste brings along; refuse what no HTTP header can carry, and published sample keys."""
    cleaned = text.strip().strip("\u200b\u200c\u200d\ufeff").strip()
    if not cleaned:
        raise ValidationError("The key is empty. Paste the key itself.")
    if not cleaned.isascii() or not cleaned.isprintable() or " " in cleaned:
        raise ValidationError("The key holds spaces or characters that no key has. Paste only the key.")
    if len(cleaned) > 8192:
        raise ValidationError("The key is longer than 8192 characters. Paste only the key.")
    if cleaned.lower() in SAMPLE_KEYS:
        raise ValidationError("That is an example key. Paste your own.")
    return Secret(cleaned)


def is_percent_map(value: object) -> bool:
    """Whether `value` maps window names to 0..100."""
    return isinstance(value, dict) and all(
        isinstance(percent, int | float) and not isinstance(percent, bool) and 0 <= percent <= 100
        for percent in value.values()
    )


SAMPLE_KEYS = {"your-api-key", "your-api-key-1", "sk-test", "changeme", "sk-xxx", "your_api_key"}


class ClientKey(models.Model):
    """A named key that a tool uses to call Patchbay. Shown once; stored as prefix and keyed hash."""

    BUDGET_PERIODS = [("day", "day"), ("week", "week"), ("month", "month")]

    name = models.CharField(max_length=64, unique=True, validators=[name_validator])
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    model_globs = models.JSONField(
        "models", default=list, blank=True, help_text="Only these models (globs); empty: every model."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    budget = models.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True, help_text="US dollars per budget period."
    )
    budget_period = models.CharField(
        max_length=5,
        choices=BUDGET_PERIODS,
        default="month",
        help_text="UTC days, weeks from Monday, months.",
    )
    keeps_bodies = models.BooleanField(
        "keep bodies",
        default=False,
        help_text="Store the bodies of its requests and answers in the history.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A wrong list would lock the key out, or open it, in silence."""
        if not is_glob_list(self.model_globs):
            raise ValidationError({"model_globs": 'Give a list of globs, such as ["gpt-*", "o3"].'})
        if self.budget is not None and self.budget <= 0:
            raise ValidationError({"budget": "Give an amount above 0. To close a key, revoke it."})

    def is_valid_at(self, moment: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)


class LoginLink(models.Model):
    """A one-time login link for the admin: hashed, short-lived, single use, loopback only."""

    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"login link until {self.expires_at:%H:%M}"


# The other tables of this app; Django looks for models here.
from accounts.oauth_models import OAuthProvider, OAuthToken  # noqa: E402
from accounts.pool_models import Bench, KeySpend, Spend, Window  # noqa: E402

__all__ = [
    "Account",
    "Bench",
    "ClientKey",
    "KeySpend",
    "LoginLink",
    "OAuthProvider",
    "OAuthToken",
    "Spend",
    "Window",
    "clean_secret",
]
