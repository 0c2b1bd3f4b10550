"""Forms that take secrets. A secret goes in and never comes back out: no value is ever rendered."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import Account, ClientKey
from accounts.services import (
    ServiceError,
    account_forget_secret,
    account_problem,
    account_set_secret,
    check_secret,
)
from backends.django_types import ModelForm
from backends.forms import GLOBS_HELP, BackendForm, GlobsField


class SecretField(forms.CharField):
    """A write-only field."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "new-password", "size": 60, "spellcheck": "false"}
        super().__init__(
            required=False, strip=True, widget=forms.PasswordInput(render_value=False, attrs=attrs), **kwargs
        )


class AccountForm(ModelForm):
    """An account; an empty key field keeps the stored key."""

    secret = SecretField(label="Key", help_text="Stored encrypted, never shown again.")

    class Meta:
        model = Account
        fields = ("alias", "backend", "kind", "is_paused")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.sealed_secret and "secret" in self.fields:
            self.fields["secret"].help_text = f"Stored: {self.instance.secret_hint}. Leave empty to keep it."

    def clean(self) -> dict[str, Any]:
        """Seal a new key for the backend that was chosen; ask for it again when the host changes."""
        data = super().clean() or {}
        if not data.get("backend") or not data.get("kind"):
            return data
        self.instance.backend = data["backend"]
        try:
            self._take_secret(data["kind"], data.get("secret") or "")
        except ServiceError as exc:
            self.add_error("secret", str(exc))
        return data

    def _take_secret(self, kind: str, secret: str) -> None:
        if kind == Account.NONE:
            if secret:
                raise ServiceError("An account without a credential takes no key. Choose the kind API key.")
            account_forget_secret(self.instance)
        elif secret:
            account_set_secret(self.instance, secret)
        elif not self.instance.sealed_secret:
            raise ServiceError("An API-key account needs its key.")
        elif "backend" in self.changed_data and (problem := account_problem(self.instance)):
            raise ServiceError(f"Enter the key again. {problem}")


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


class ClientKeyForm(ModelForm):
    """What a person says about a client key. The key itself is made by Patchbay."""

    model_globs = GlobsField(label="Models", required=False, help_text=GLOBS_HELP)

    class Meta:
        model = ClientKey
        fields = ("name", "model_globs", "expires_at")
