"""Accounts (the operator's credentials at backends) and client keys (what tools use to call Patchbay)."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
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

    API_KEY, NONE = "api_key", "none"
    KINDS = [(API_KEY, "API key"), (NONE, "no credential (local server)")]

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    alias = models.CharField(max_length=64, unique=True, validators=[name_validator])
    backend = models.ForeignKey(Backend, on_delete=models.CASCADE, related_name="accounts")
    kind = models.CharField(max_length=16, choices=KINDS, default=API_KEY)
    sealed_secret = models.TextField(blank=True, editable=False)
    secret_hint = models.CharField(max_length=8, blank=True, editable=False)
    secret_set_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_paused = models.BooleanField("paused", default=False)
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

    def set_secret(self, text: str) -> None:
        """Seal `text` for this account and its backend's host. Does not save the row."""
        secret = clean_secret(text)
        self.sealed_secret = seal(secret.reveal(), owner=self.uid, host=self.host)
        self.secret_hint = secret.hint
        self.secret_set_at = timezone.now()

    def open_secret(self) -> Secret | None:
        """The credential, or None for a kind without one. Raises VaultError when it cannot be opened."""
        if self.kind == self.NONE:
            return None
        if not self.sealed_secret:
            raise VaultError(
                f"Account {self.alias} has no key. Set one in the admin or add the account again."
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


SAMPLE_KEYS = {"your-api-key", "your-api-key-1", "sk-test", "changeme", "sk-xxx", "your_api_key"}


class ClientKey(models.Model):
    """A named key that a tool uses to call Patchbay. Shown once; stored as prefix and keyed hash."""

    name = models.CharField(max_length=64, unique=True, validators=[name_validator])
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    model_globs = models.JSONField(
        "models", default=list, blank=True, help_text="Only these models (globs); empty: every model."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A wrong list would lock the key out, or open it, in silence."""
        if not is_glob_list(self.model_globs):
            raise ValidationError({"model_globs": 'Give a list of globs, such as ["gpt-*", "o3"].'})

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
