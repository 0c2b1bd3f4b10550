"""The admin of this app: how it is entered, and the pages of its models."""

from __future__ import annotations

from django.contrib import admin

from accounts import admin_accounts, admin_backends, admin_keys, admin_routes
from accounts.login_throttle import ThrottledLoginForm

__all__ = [
    "admin_accounts",
    "admin_backends",
    "admin_keys",
    "admin_routes",
]  # importing them registers the pages

admin.site.site_header = admin.site.site_title = "Patchbay"
admin.site.index_title = "Configuration and history"
admin.site.login_form = ThrottledLoginForm
admin.site.enable_nav_sidebar = False  # the lists need the width, and the first page is one click away
