from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Account
from accounts.providers import provider_of
from accounts.setup import backend_add_with_account
from backends.models import Backend, CatalogModel
from backends.services import NewBackend
from tests.servers import SimulatorThread

pytestmark = pytest.mark.django_db(databases=["default", "history"])
KEY = "sk-canary-0123456789abcdef"
LIST = "/admin/backends/backend/"


def form(**values: object) -> dict[str, object]:
    empty = {"base_url": "", "protocol": "openai", "model_globs": "", "responses": "unknown", "secret": ""}
    provider = {"oauth_provider-TOTAL_FORMS": 0, "oauth_provider-INITIAL_FORMS": 0}
    return {"name": "mine", "is_enabled": "on", "strategy": "headroom", **empty, **provider, **values}


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(models=["alpha", "beta"]) as running:
        yield running


@pytest.fixture
def backend(simulator: SimulatorThread) -> Backend:
    return backend_add_with_account(NewBackend("sim", base_url=f"{simulator.url}/v1"), KEY).backend


def test_a_known_name_fills_in_the_rest(admin_client: Client) -> None:
    assert admin_client.post(f"{LIST}add/", form(name="anthropic", secret=KEY)).status_code == 302
    row = Backend.objects.get()
    assert (row.base_url, row.protocol, row.preset) == ("https://api.anthropic.com", "anthropic", "anthropic")
    assert Account.objects.get().alias == "anthropic"


def test_without_a_key_the_first_account_needs_none(admin_client: Client) -> None:
    admin_client.post(f"{LIST}add/", form(base_url="http://127.0.0.1:9/v1", model_globs="gpt-*\no3, o4"))
    assert Backend.objects.get().model_globs == ["gpt-*", "o3", "o4"]
    assert Account.objects.get().kind == "none"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"base_url": "http://169.254.169.254/"},
        {"base_url": "javascript:alert(1)"},
        {"base_url": f"http://127.0.0.1:{settings.PATCHBAY_PORT}/v1"},
        {"base_url": "http://127.0.0.1:9/v1", "secret": "two words"},
        {"name": "a b", "base_url": "http://127.0.0.1:9/v1"},
        {"base_url": "http://127.0.0.1:9/v1", "idle_timeout_s": "-1"},
    ],
)
def test_a_refused_form_says_why_and_leaves_nothing(admin_client: Client, values: dict[str, object]) -> None:
    answer = admin_client.post(f"{LIST}add/", form(**values))
    assert answer.status_code == 200
    assert b"errorlist" in answer.content
    assert not Backend.objects.exists()
    assert not Account.objects.exists()


def test_a_name_that_is_taken_as_an_alias_is_refused(admin_client: Client, backend: Backend) -> None:
    Account.objects.update(alias="openai")
    answer = admin_client.post(f"{LIST}add/", form(name="openai", secret=KEY))
    assert b"An account has this name" in answer.content
    assert Backend.objects.count() == 1


def test_a_changed_host_leaves_the_stored_key_behind(admin_client: Client, backend: Backend) -> None:
    with SimulatorThread() as thief:
        values = form(name="sim", base_url=f"{thief.url}/v1")
        page = admin_client.post(f"{LIST}{backend.pk}/change/", values, follow=True).content.decode()
        assert "were entered for another host" in page
        tested = admin_client.post(f"{LIST}{backend.pk}/do/test/", follow=True).content.decode()
        assert "FAILED" in tested
        assert thief.journal.entries == []


def test_buttons(admin_client: Client, backend: Backend) -> None:
    def press(name: str) -> str:
        return admin_client.post(f"{LIST}{backend.pk}/do/{name}/", follow=True).content.decode()

    assert "sim/sim: ok" in press("test")
    assert "sim lists 2 models: alpha, beta." in press("models")
    assert CatalogModel.objects.count() == 2
    assert "is disabled" in press("disable")
    assert not Backend.objects.get().is_enabled
    assert "is disabled, or its base URL is refused" in press("test")
    assert "is enabled" in press("enable")


def test_the_list_shows_addresses_as_text(admin_client: Client, backend: Backend) -> None:
    page = admin_client.get(LIST).content.decode()
    assert backend.base_url in page
    assert f'href="{backend.base_url}' not in page


def test_names_from_outside_are_inert(admin_client: Client, backend: Backend) -> None:
    CatalogModel.objects.create(
        backend=backend, model_id="<script>alert(1)</script>", seen_at="2026-01-01T00:00Z"
    )
    page = admin_client.get(f"{LIST}{backend.pk}/change/").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_bulk_actions(admin_client: Client, backend: Backend) -> None:
    for action, enabled in (("disable_selected", False), ("enable_selected", True), ("test_selected", True)):
        answer = admin_client.post(LIST, {"action": action, "_selected_action": [backend.pk]}, follow=True)
        assert Backend.objects.get().is_enabled is enabled
    assert "sim/sim: ok" in answer.content.decode()


def provider(**values: object) -> dict[str, object]:
    """The form of a backend with one OAuth provider in it."""
    named = {f"oauth_provider-0-{name}": value for name, value in values.items()}
    return {"name": "sim", "oauth_provider-TOTAL_FORMS": 1, **named}


def test_the_strategy_of_a_pool(admin_client: Client, backend: Backend) -> None:
    values = form(name="sim", base_url=backend.base_url, strategy="fill-first")
    assert admin_client.post(f"{LIST}{backend.pk}/change/", values).status_code == 302
    assert Backend.objects.get().strategy == "fill-first"
    assert b'value="fill-first" selected' in admin_client.get(f"{LIST}{backend.pk}/change/").content


def test_an_oauth_provider_beside_its_backend(admin_client: Client, backend: Backend) -> None:
    page = admin_client.get(f"{LIST}{backend.pk}/change/").content.decode()
    assert "PATCHBAY_OAUTH_SIM_CLIENT_ID" in page
    assert "terms" in page
    given = provider(client_id="mine", issuer="https://login.example.com", scopes="a b")
    values = form(**{"base_url": backend.base_url, **given})
    assert admin_client.post(f"{LIST}{backend.pk}/change/", values).status_code == 302
    found = provider_of("sim")
    assert found is not None
    assert (found.client_id, found.issuer, found.scopes) == ("mine", "https://login.example.com", "a b")


@pytest.mark.parametrize(
    "values",
    [
        {"issuer": "https://login.example.com"},
        {"client_id": "mine"},
        {"client_id": "mine", "authorize_url": "https://login.example.com/authorize"},
        {"client_id": "mine", "issuer": "http://169.254.169.254/"},
    ],
)
def test_half_an_oauth_provider_is_refused(
    admin_client: Client, backend: Backend, values: dict[str, object]
) -> None:
    given = form(**{"base_url": backend.base_url, **provider(**values)})
    answer = admin_client.post(f"{LIST}{backend.pk}/change/", given)
    assert b"errorlist" in answer.content
    assert provider_of("sim") is None


def test_a_real_request_is_asked_about_first(
    admin_client: Client, backend: Backend, simulator: SimulatorThread
) -> None:
    button = f"{LIST}{backend.pk}/do/test-real/"
    page = admin_client.post(button).content.decode()
    assert "it is billed" in page
    assert not [entry for entry in simulator.journal.entries if entry.method == "POST"]
    page = admin_client.post(button, {"confirmed": "yes"}, follow=True).content.decode()
    assert "It cost " in page
    assert len([entry for entry in simulator.journal.entries if entry.method == "POST"]) == 1
    assert admin_client.get(button).status_code == 405


@pytest.mark.parametrize(("typed", "saved"), [('{"images": false}', {"images": False}), ("", {})])
def test_capabilities_are_typed_as_json(
    admin_client: Client, backend: Backend, typed: str, saved: dict[str, object]
) -> None:
    data = form(name=backend.name, base_url=backend.base_url, capabilities=typed)
    admin_client.post(f"{LIST}{backend.pk}/change/", data)
    backend.refresh_from_db()
    assert backend.capabilities == saved


@pytest.mark.parametrize("typed", ['{"smell": true}', "[1]", '{"context": -1}', "{"])
def test_capabilities_that_make_no_sense_are_refused(
    admin_client: Client, backend: Backend, typed: str
) -> None:
    data = form(name=backend.name, base_url=backend.base_url, capabilities=typed)
    assert b"errorlist" in admin_client.post(f"{LIST}{backend.pk}/change/", data).content
    backend.refresh_from_db()
    assert backend.capabilities == {}
