"""Who logs in the accounts of a backend: the OAuth client that the operator configured there. Nothing is built in.

The environment (`PATCHBAY_OAUTH_<BACKEND>_…`) wins over the admin's row, field by field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from accounts.oauth_models import OAuthProvider
from backends.addresses import BadBaseUrl, check_base_url
from backends.services import ServiceError


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A public OAuth client at a provider. Empty: not given. `discover()` fills in the URLs from the issuer.

    `refresh_host` is the only `scheme://host:port` for which the refresh tokens of this backend are sealed: that
    of the configured token URL or, without one, of the issuer that names it. Discovery does not move it.
    """

    backend: str
    client_id: str
    authorize_url: str = ""
    token_url: str = ""
    scopes: str = ""
    redirect_url: str = ""
    issuer: str = ""
    refresh_host: str = ""

    def __post_init__(self) -> None:
        if not self.refresh_host:
            object.__setattr__(self, "refresh_host", _host(self.token_url or self.issuer))


def provider_of(backend_name: str) -> ProviderConfig | None:
    """The provider of this backend (any case), or None if nothing is configured. Reads the database.

    Raises ServiceError for half a configuration.
    """
    row = OAuthProvider.objects.filter(backend__name__iexact=backend_name).first()
    given: Mapping[str, str] = settings.PATCHBAY_OAUTH.get(environment_name(backend_name), {})
    if row is None and not given:
        return None
    names = ("client_id", "authorize_url", "token_url", "scopes", "redirect_url", "issuer")
    fields = {name: given.get(name) or (getattr(row, name) if row else "") for name in names}
    provider = ProviderConfig(backend_name, **fields)
    _check_complete(provider)
    return provider


def environment_name(backend_name: str) -> str:
    """How a backend is written in the name of a setting: `my-backend.eu` → `MY_BACKEND_EU`."""
    return re.sub("[-.]", "_", backend_name).upper()


def _check_complete(provider: ProviderConfig) -> None:
    prefix = f"PATCHBAY_OAUTH_{environment_name(provider.backend)}"
    if not provider.client_id:
        raise ServiceError(
            f"The OAuth provider of {provider.backend} has no client id. Set {prefix}_CLIENT_ID, or the client id"
            " in the admin."
        )
    if not provider.issuer and not (provider.authorize_url and provider.token_url):
        raise ServiceError(
            f"The OAuth provider of {provider.backend} cannot be reached: give its issuer ({prefix}_ISSUER), or"
            f" both its URLs ({prefix}_AUTHORIZE_URL and {prefix}_TOKEN_URL)."
        )


def _host(url: str) -> str:
    try:
        base = check_base_url(url)
    except BadBaseUrl:
        return ""  # told by whoever connects to it; sealed for nothing, so nothing opens
    return f"{base.scheme}://{base.authority}"
