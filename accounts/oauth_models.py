"""OAuth: how a backend's provider is reached, and the tokens of one account, in a table of their own.

Rule: only a refresh writes `OAuthToken`. Quota and statistics never touch this table, so no late write of
theirs can bring back a token that was rotated away.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from backends.addresses import BadBaseUrl, check_base_url
from backends.models import Backend


class OAuthProvider(models.Model):
    """Who logs in the accounts of one backend: a client of your own at the provider. Nothing is built in."""

    backend = models.OneToOneField(Backend, on_delete=models.CASCADE, related_name="oauth_provider")
    issuer = models.CharField(
        max_length=500, blank=True, help_text="Its discovery document (RFC 8414) then gives both URLs."
    )
    client_id = models.CharField("client id", max_length=500)
    authorize_url = models.CharField("authorize URL", max_length=500, blank=True)
    token_url = models.CharField("token URL", max_length=500, blank=True)
    scopes = models.CharField(max_length=1000, blank=True, help_text="Separated by spaces.")
    redirect_url = models.CharField(
        "redirect URL for --manual",
        max_length=500,
        blank=True,
        help_text="A page of the provider that shows the code to paste; empty: the loopback address.",
    )

    class Meta:
        verbose_name = "OAuth provider"

    def __str__(self) -> str:
        return f"OAuth provider of {self.backend}"

    def clean(self) -> None:
        """Either an issuer to ask, or both URLs; each one an address that may be contacted."""
        if not self.issuer and not (self.authorize_url and self.token_url):
            raise ValidationError("Give the issuer, or both the authorize URL and the token URL.")
        for field in ("issuer", "authorize_url", "token_url", "redirect_url"):
            if url := getattr(self, field):
                try:
                    check_base_url(url)
                except BadBaseUrl as exc:
                    raise ValidationError({field: str(exc)}) from exc


class OAuthToken(models.Model):
    """The tokens of one OAuth account. `generation` moves with every stored refresh."""

    account = models.OneToOneField("accounts.Account", on_delete=models.CASCADE, related_name="token")
    sealed_access = models.TextField(editable=False)
    sealed_refresh = models.TextField(blank=True, editable=False)
    scope = models.CharField(max_length=1000, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    lifetime_s = models.FloatField(null=True, blank=True, help_text="As the provider told it, in seconds.")
    obtained_at = models.DateTimeField()
    generation = models.PositiveBigIntegerField(default=1)
    needs_login = models.BooleanField(default=False)
    problem = models.TextField(blank=True, help_text="Why the last refresh failed; empty when it did not.")
    # A refresh in progress. `lease_until` is the time after which another process may take over;
    # `intent` is the generation whose refresh token has been, or may have been, sent.
    lease_holder = models.CharField(max_length=64, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    intent = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    retry_at = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = "OAuth token"

    def __str__(self) -> str:
        return f"token of {self.account}"
