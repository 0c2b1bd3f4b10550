"""The wiring: what belongs to no other app."""

from __future__ import annotations

from django.apps import AppConfig


class RouterSiteConfig(AppConfig):
    name = "router_site"

    def ready(self) -> None:
        from django.apps import apps
        from django.db.models.signals import pre_migrate

        from router_site.safeguard import keep_a_copy

        pre_migrate.connect(keep_a_copy, sender=apps.get_app_config("backends"), dispatch_uid="keep-a-copy")
