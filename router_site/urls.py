"""The pages' URLs, behind Django's own handler and middleware."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from accounts.views import login_link
from analytics.pages.accounts import account_act, account_windows, accounts_page
from analytics.pages.live import live_page, live_stop
from analytics.pages.overview import overview_page
from analytics.pages.playground import playground_page
from analytics.pages.requests import request_page, requests_page
from analytics.pages.routes import routes_page
from analytics.pages.sessions import session_page, sessions_page

handler500 = "router_site.page_errors.failed"
urlpatterns = [
    path("admin/login-link/<str:token>/", login_link, name="login-link"),
    path("admin/", admin.site.urls),
    path("dashboard/", overview_page, name="overview"),
    path("dashboard/live/", live_page, name="live"),
    path("dashboard/live/<str:id>/stop", live_stop, name="live-stop"),
    path("dashboard/requests/", requests_page, name="requests"),
    path("dashboard/requests/<str:id>/", request_page, name="request"),
    path("dashboard/playground/", playground_page, name="playground"),
    path("dashboard/sessions/", sessions_page, name="sessions"),
    path("dashboard/sessions/<path:id>/", session_page, name="session"),
    path("dashboard/accounts/", accounts_page, name="accounts"),
    path("dashboard/accounts/<str:alias>/windows.json", account_windows, name="account-windows"),
    path("dashboard/accounts/<str:alias>/<str:action>/", account_act, name="account-act"),
    path("dashboard/routes/", routes_page, name="routes"),
]
