"""The admin, whose pages are found when somebody asks for them: a command needs none, and they are costly to import."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.core.checks import CheckMessage


class Site(admin.AdminSite):
    """Looks for `admin.py` in every app at the first use of its URLs, and before `manage.py check` looks at it."""

    @property
    def urls(self) -> Any:
        """As Django's, with every page registered."""
        admin.autodiscover()
        return super().urls

    def check(self, app_configs: Any) -> list[CheckMessage]:
        """As Django's, over every page."""
        admin.autodiscover()
        return super().check(app_configs)


class Config(SimpleAdminConfig):
    """Django's admin with the site above."""

    default_site = "router_site.admin_site.Site"
