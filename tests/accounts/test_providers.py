"""Where a backend's OAuth provider comes from: the environment, then the admin's row, field by field."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from accounts.models import OAuthProvider
from accounts.providers import ProviderConfig, environment_name, provider_of
from backends.models import Backend
from backends.services import NewBackend, ServiceError, backend_add
from router_site.settings import read_oauth


@pytest.fixture
def backend(db: None) -> Backend:
    return backend_add(NewBackend("my-llm.eu", base_url="https://llm.example.com/v1"))


def test_nothing_is_built_in(backend: Backend) -> None:
    assert provider_of("my-llm.eu") is None
    assert provider_of("unknown") is None


def test_the_row_is_the_provider(backend: Backend) -> None:
    OAuthProvider.objects.create(
        backend=backend,
        client_id="row",
        authorize_url="https://login.example.com/authorize",
        token_url="https://login.example.com:8443/token",
        scopes="a b",
        redirect_url="https://login.example.com/code",
    )
    assert provider_of("MY-LLM.eu") == ProviderConfig(
        backend="MY-LLM.eu",
        client_id="row",
        authorize_url="https://login.example.com/authorize",
        token_url="https://login.example.com:8443/token",
        scopes="a b",
        redirect_url="https://login.example.com/code",
        refresh_host="https://login.example.com:8443",
    )


def test_the_environment_wins_field_by_field(backend: Backend) -> None:
    OAuthProvider.objects.create(
        backend=backend, client_id="row", scopes="row", issuer="https://row.example.com"
    )
    given = {"client_id": "env", "issuer": "https://env.example.com/tenant"}
    with override_settings(PATCHBAY_OAUTH={"MY_LLM_EU": given}):
        provider = provider_of("my-llm.eu")
    assert provider is not None
    assert (provider.client_id, provider.scopes) == ("env", "row")
    assert (provider.issuer, provider.refresh_host) == (
        "https://env.example.com/tenant",
        "https://env.example.com",
    )


@pytest.mark.django_db
def test_the_environment_alone_is_enough() -> None:
    given = {"client_id": "env", "issuer": "https://env.example.com"}
    with override_settings(PATCHBAY_OAUTH={"LOCAL": given}):
        provider = provider_of("local")
        assert provider_of("other") is None
    assert provider is not None
    assert provider.backend == "local"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"issuer": "https://a.example.com"}, "PATCHBAY_OAUTH_MY_LLM_CLIENT_ID"),
        ({"client_id": "x"}, "PATCHBAY_OAUTH_MY_LLM_ISSUER"),
        ({"client_id": "x", "token_url": "https://a.example.com/t"}, "PATCHBAY_OAUTH_MY_LLM_AUTHORIZE_URL"),
    ],
)
def test_half_a_provider_says_what_is_missing(given: dict[str, str], message: str) -> None:
    with override_settings(PATCHBAY_OAUTH={"MY_LLM": given}), pytest.raises(ServiceError, match=message):
        provider_of("my.llm")


def test_the_refresh_host_stays_when_discovery_fills_in_the_urls() -> None:
    provider = ProviderConfig("b", "client", issuer="https://issuer.example.com")
    found = replace(provider, token_url="https://tokens.example.com/t")
    assert provider.refresh_host == found.refresh_host == "https://issuer.example.com"


def test_a_backend_as_a_setting_writes_it() -> None:
    assert environment_name("my-llm.eu_2") == "MY_LLM_EU_2"


# --- the reader of the environment --------------------------------------------------------------------------


def test_settings_are_read_by_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_OAUTH_ANTHROPIC_ISSUER", " https://login.example.com ")
    monkeypatch.setenv("PATCHBAY_OAUTH_ANTHROPIC_CLIENT_ID", "me")
    monkeypatch.setenv("PATCHBAY_OAUTH_MY_OWN_LLM_TOKEN_URL", "http://127.0.0.1:9/token")
    monkeypatch.setenv("PATCHBAY_OAUTH_MY_OWN_LLM_AUTHORIZE_URL", "http://127.0.0.1:9/authorize")
    monkeypatch.setenv("PATCHBAY_OAUTH_MY_OWN_LLM_SCOPES", "a b")
    monkeypatch.setenv("PATCHBAY_OAUTH_EMPTY_ISSUER", "")
    assert read_oauth() == {
        "ANTHROPIC": {"issuer": "https://login.example.com", "client_id": "me"},
        "MY_OWN_LLM": {
            "token_url": "http://127.0.0.1:9/token",
            "authorize_url": "http://127.0.0.1:9/authorize",
            "scopes": "a b",
        },
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PATCHBAY_OAUTH_X_SECRET", "s3cr3t", "X_SECRET is not known"),
        ("PATCHBAY_OAUTH_ISSUER", "https://login.example.com", "OAUTH_ISSUER is not known"),
        ("PATCHBAY_OAUTH_x_ISSUER", "https://login.example.com", "x_ISSUER is not known"),
        ("PATCHBAY_OAUTH_X_ISSUER", "login.example.com", "X_ISSUER: A base URL starts with https"),
        ("PATCHBAY_OAUTH_X_TOKEN_URL", "http://login.example.com/t", "X_TOKEN_URL: Plain http"),
        ("PATCHBAY_OAUTH_X_AUTHORIZE_URL", "https://169.254.169.254/a", "metadata"),
    ],
)
def test_what_cannot_be_used_refuses_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=message) as caught:
        read_oauth()
    assert "s3cr3t" not in str(caught.value)
