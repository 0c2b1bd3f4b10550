"""One request, from socket to socket."""

from __future__ import annotations

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxyapp"
    verbose_name = "Proxy"

    def ready(self) -> None:
        from proxyapp import checks  # noqa: F401  (registers the system checks)
