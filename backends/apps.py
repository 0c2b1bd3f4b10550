"""The lowest app: backends, routes and the wire."""

from __future__ import annotations

from django.apps import AppConfig


class BackendsConfig(AppConfig):
    name = "backends"
    verbose_name = "Backends and routes"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_save

        from backends import (
            checks,  # noqa: F401  (registers the system checks)
            models,
        )

        configuration = (
            *(models.Backend, models.Route, models.RouteTarget, models.CatalogModel),
            *(models.LearnedQuirk, models.RequestTemplate, models.RedactionRule),
            models.PriceOverride,
        )
        for model in configuration:
            post_save.connect(models.bump_on_change, sender=model, dispatch_uid=f"bump-save-{model.__name__}")
            post_delete.connect(
                models.bump_on_change, sender=model, dispatch_uid=f"bump-delete-{model.__name__}"
            )
