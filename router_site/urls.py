"""The pages' URLs, behind Django's own handler and middleware."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from accounts.views import login_link

urlpatterns = [
    path("admin/login-link/<str:token>/", login_link, name="login-link"),
    path("admin/", admin.site.urls),
]
