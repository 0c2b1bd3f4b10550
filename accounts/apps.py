"""Every secret and every identity."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts and client keys"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_save

        from accounts import checks  # noqa: F401  (registers the system checks)
        from accounts.models import Account, ClientKey, OAuthProvider, OAuthToken
        from backends.models import bump_on_change

        for model in (Account, ClientKey, OAuthProvider, OAuthToken):
            post_save.connect(bump_on_change, sender=model, dispatch_uid=f"bump-save-{model.__name__}")
            post_delete.connect(bump_on_change, sender=model, dispatch_uid=f"bump-delete-{model.__name__}")
