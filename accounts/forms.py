"""Forms that take secrets. A secret goes in and never comes back out: no value is ever rendered."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.login_services import (
    CallersOwn,
    Credential,
    LoginLater,
    TokenFile,
    check_secret,
    credential_problem,
    credential_put,
    token_grant,
)
from accounts.models import Account, ClientKey, OAuthProvider
from backends.django_types import ModelForm
from backends.forms import GLOBS_HELP, BackendForm, GlobsField, ReadField
from backends.services import ServiceError

_PERCENT = re.compile(r"([\w.-]{1,64})\s*[=:\s]\s*(\d{1,3}(?:\.\d+)?)\s*%?")


class SecretField(forms.CharField):
    """A write-only field."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "new-password", "size": 60, "spellcheck": "false"}
        super().__init__(
            required=False, strip=True, widget=forms.PasswordInput(render_value=False, attrs=attrs), **kwargs
        )


class PercentsField(ReadField):
    """Percent by window, typed one a line: `5h = 10`."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 30, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        """A mapping as lines."""
        if not isinstance(value, dict):
            return value
        return "\n".join(f"{name} = {percent:g}" for name, percent in value.items())

    def to_python(self, value: Any) -> Any:
        """Lines as a mapping."""
        found = {}
        for line in filter(None, map(str.strip, re.split(r"[\n,;]", value or ""))):
            match = _PERCENT.fullmatch(line)
            if match is None or float(match[2]) > 100:
                raise ValidationError(f"{line!r} is not a window and its percent. Write 5h = 10, one a line.")
            found[match[1]] = float(match[2])
        return found


class AccountForm(ModelForm):
    """An account; what the form does not say about the credential stays as it is stored."""

    secret = SecretField(label="Key or token", help_text="Stored encrypted, never shown again.")
    reserves = PercentsField(
        label="Reserves by window",
        required=False,
        help_text="Percent, where one window differs: 5h = 10, one a line. Windows not named keep the reserve above.",
    )
    allowed_claims = GlobsField(
        label="Allowed claims",
        required=False,
        help_text="Only requests that these windows pay for: 5h, 7d …, one a line. Empty: any, also paid overage.",
    )

    class Meta:
        model = Account
        fields = (
            *("alias", "backend", "kind", "is_paused", "token_file", "token_path"),
            *("position", "weight", "min_interval_ms", "reserve_percent", "reserves"),
            *("allowed_claims", "daily_limit", "monthly_limit"),
        )
        widgets = {"token_file": forms.TextInput(attrs={"size": 60, "spellcheck": "false"})}

    # What the form made of the credential, for `credential_settle` after the row was saved.
    stored: Credential = None
    has_new_credential = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.sealed_secret and "secret" in self.fields:
            self.fields["secret"].help_text = f"Stored: {self.instance.secret_hint}. Leave empty to keep it."

    def clean(self) -> dict[str, Any]:
        """Put a new credential into the row, sealed for the backend that was chosen."""
        data = super().clean() or {}
        if not data.get("backend") or not data.get("kind"):
            return data
        self.instance.backend = data["backend"]
        try:
            self._take_credential(data)
        except ServiceError as exc:
            self.add_error("token_file" if data["kind"] == Account.TOKEN_FILE else "secret", str(exc))
        return data

    def _take_credential(self, data: dict[str, Any]) -> None:
        kind, secret = data["kind"], data.get("secret") or ""
        if secret and kind not in (Account.API_KEY, Account.OAUTH):
            raise ServiceError(
                "An account of this kind takes no key. Leave it empty, or choose another kind."
            )
        if not self._is_new(data, secret):
            self._check_kept(kind)
            return
        self.stored = credential_put(self.instance, _credential(data, secret))
        self.has_new_credential = True
        for field in ("kind", "token_file", "token_path"):
            data[field] = getattr(self.instance, field)

    def _is_new(self, data: dict[str, Any], secret: str) -> bool:
        """Whether the form says anything about the credential that is not stored already."""
        kind = data["kind"]
        if kind == Account.TOKEN_FILE:
            return bool({"kind", "token_file", "token_path"} & set(self.changed_data))
        if kind in (Account.API_KEY, Account.OAUTH):
            return bool(secret) or ("kind" in self.changed_data and kind == Account.OAUTH)
        return "kind" in self.changed_data or bool(self.instance.sealed_secret)

    def _check_kept(self, kind: str) -> None:
        """A key that is kept must be there, and must be one for the backend that was chosen."""
        if kind != Account.API_KEY:
            return
        if not self.instance.sealed_secret:
            raise ServiceError("An API-key account needs its key.")
        if "backend" in self.changed_data and (problem := credential_problem(self.instance)):
            raise ServiceError(f"Enter the key again. {problem}")


def _credential(data: dict[str, Any], secret: str) -> Credential:
    """The credential that a form's values describe."""
    kind = data["kind"]
    if kind == Account.TOKEN_FILE:
        return TokenFile(data.get("token_file") or "", data.get("token_path") or "")
    if kind == Account.OAUTH:
        return token_grant(secret) if secret else LoginLater()
    return CallersOwn() if kind == Account.CALLER else secret or None


class BackendAddForm(BackendForm):
    """A new backend with the key of its first account, as `backend add` takes it."""

    secret = SecretField(
        label="Key",
        help_text="Makes the first account, named like the backend. Empty: a server that needs no key.",
    )

    def clean(self) -> dict[str, Any]:
        """The first account gets the backend's name, so the name must be free as an alias as well."""
        data = super().clean() or {}
        if Account.objects.filter(alias=data.get("name", "")).exists():
            self.add_error(
                "name", "An account has this name. The first account of a backend gets the backend's name."
            )
        if secret := data.get("secret"):
            try:
                check_secret(secret)
            except ServiceError as exc:
                self.add_error("secret", str(exc))
        return data


class OAuthProviderForm(ModelForm):
    """An OAuth client; addresses are long."""

    class Meta:
        model = OAuthProvider
        fields = ("client_id", "issuer", "authorize_url", "token_url", "scopes", "redirect_url")
        widgets = {
            name: forms.TextInput(attrs={"size": 60, "spellcheck": "false", "autocomplete": "off"})
            for name in ("client_id", "issuer", "authorize_url", "token_url", "scopes", "redirect_url")
        }


class ClientKeyForm(ModelForm):
    """What a person says about a client key. The key itself is made by Patchbay."""

    model_globs = GlobsField(label="Models", required=False, help_text=GLOBS_HELP)

    class Meta:
        model = ClientKey
        fields = (
            *("name", "model_globs", "expires_at", "keeps_bodies"),
            *("requests_per_minute", "tokens_per_minute", "budget", "budget_period"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "budget_period" in self.fields:
            self.fields["budget_period"].required = False  # without a budget it means nothing
