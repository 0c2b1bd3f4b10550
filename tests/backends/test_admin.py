from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from backends.models import Backend, Route
from backends.services import NewBackend, backend_add, route_add

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/backends/route/"


@pytest.fixture
def admin_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password="correct-horse-9"))
    return client


@pytest.fixture
def backends() -> list[Backend]:
    return [backend_add(NewBackend("ollama")), backend_add(NewBackend("openai"))]


def form(pattern: str, targets: list[tuple[int, Backend, str]], **values: str) -> dict[str, object]:
    lines: dict[str, object] = {"targets-TOTAL_FORMS": len(targets), "targets-INITIAL_FORMS": 0}
    for index, (position, backend, model) in enumerate(targets):
        lines |= {
            f"targets-{index}-position": position,
            f"targets-{index}-backend": backend.pk,
            f"targets-{index}-model": model,
        }
    return {"pattern": pattern, "is_enabled": "on", **lines, **values}


def test_a_saved_alias_says_where_it_goes_now(admin_client: Client, backends: list[Backend]) -> None:
    ollama, openai = backends
    targets = [(1, openai, "gpt-5"), (0, ollama, "llama3")]
    page = admin_client.post(f"{LIST}add/", form(" FAST ", targets), follow=True).content.decode()
    assert "fast would go to: ollama:llama3 → openai:gpt-5" in page
    assert [str(target) for target in Route.objects.get().targets.all()] == ["ollama:llama3", "openai:gpt-5"]


def test_a_disabled_target_is_saved_with_a_warning(admin_client: Client, backends: list[Backend]) -> None:
    Backend.objects.filter(name="ollama").update(is_enabled=False)
    page = admin_client.post(
        f"{LIST}add/", form("fast", [(0, backends[0], "")]), follow=True
    ).content.decode()
    assert "Backend ollama is disabled" in page
    assert Route.objects.exists()


@pytest.mark.parametrize("pattern", ["", "a b", "tab\tname"])
def test_a_refused_pattern_leaves_no_route(
    admin_client: Client, backends: list[Backend], pattern: str
) -> None:
    answer = admin_client.post(f"{LIST}add/", form(pattern, [(0, backends[0], "")]))
    assert b"errorlist" in answer.content
    assert not Route.objects.exists()


def test_a_route_needs_a_target(admin_client: Client, backends: list[Backend]) -> None:
    assert b"errorlist" in admin_client.post(f"{LIST}add/", form("fast", [])).content
    assert not Route.objects.exists()


def test_a_new_line_goes_below_the_others(admin_client: Client, backends: list[Backend]) -> None:
    row = route_add("fast", ["ollama", "openai"])
    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert 'name="targets-__prefix__-position" value="2"' in page


def test_the_preview_reads_and_shows_the_decision(admin_client: Client, backends: list[Backend]) -> None:
    route_add("fast", ["ollama:llama3", "openai:gpt-5"])
    page = admin_client.get(f"{LIST}preview/", {"model": "Fast", "protocol": "openai"}).content.decode()
    assert "Fast would go to: ollama:llama3 → openai:gpt-5 (alias fast)" in page
    assert "would go nowhere" in admin_client.get(f"{LIST}preview/", {"model": "unheard-of"}).content.decode()
    assert admin_client.get(f"{LIST}preview/", {"protocol": "nonsense"}).status_code == 200


def test_a_model_name_in_the_preview_is_inert(admin_client: Client) -> None:
    page = admin_client.get(f"{LIST}preview/", {"model": '"><script>alert(1)</script>'}).content.decode()
    assert "<script>alert(1)" not in page


def test_the_preview_is_for_staff(backends: list[Backend]) -> None:
    assert Client().get(f"{LIST}preview/?model=x").status_code == 302


@pytest.mark.parametrize("page", ["", "add/", "preview/?model=x"])
def test_the_pages_hold_no_inline_script_or_style(
    admin_client: Client, backends: list[Backend], page: str
) -> None:
    html = admin_client.get(LIST + page).content.decode()
    for forbidden in ("<style", " style=", "onclick=", "onload=", "javascript:", "<script>"):
        assert forbidden not in html
