from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from backends.models import Backend, LearnedQuirk, Route
from backends.services import NewBackend, backend_add, quirks_learn, route_add
from backends.wire.quirks import Quirk, QuirkKind

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/backends/route/"


@pytest.fixture
def admin_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
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
    data = form("fast", [(0, backends[0], "")])
    page = admin_client.post(f"{LIST}add/", data).content.decode()
    assert "Backend ollama is disabled" in page
    assert "Nothing was saved" in page
    assert not Route.objects.exists()
    page = admin_client.post(f"{LIST}add/", {**data, "save_anyway": "on"}, follow=True).content.decode()
    assert "Backend ollama is disabled" in page
    assert Route.objects.exists()


def test_conditions_and_weights_are_typed_as_on_the_command_line(
    admin_client: Client, backends: list[Backend]
) -> None:
    data = form("fast", [(0, backends[0], "a"), (0, backends[1], "b")])
    data |= {"targets-0-weight": 3, "targets-1-conditions": "needs=images&hours=22:00-06:00"}
    admin_client.post(f"{LIST}add/", data)
    row = Route.objects.get()
    assert [(target.weight, target.conditions) for target in row.targets.all()] == [
        (3, {}),
        (1, {"needs": ["images"], "hours": ["22:00-06:00"]}),
    ]
    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert 'value="needs=images&amp;hours=22:00-06:00"' in page


@pytest.mark.parametrize("conditions", ["needs=smell", "min_tokens=9&max_tokens=1", "weight=3", "needs"])
def test_conditions_that_make_no_sense_are_refused(
    admin_client: Client, backends: list[Backend], conditions: str
) -> None:
    data = {**form("fast", [(0, backends[0], "")]), "targets-0-conditions": conditions}
    assert b"errorlist" in admin_client.post(f"{LIST}add/", data).content
    assert not Route.objects.exists()


def test_lines_without_a_position_go_below_the_others_each_by_itself(
    admin_client: Client, backends: list[Backend]
) -> None:
    data = form("fast", [(0, backends[0], "a"), (0, backends[1], "b"), (0, backends[1], "c")])
    data |= {"targets-0-position": "", "targets-1-position": "4", "targets-2-position": ""}
    admin_client.post(f"{LIST}add/", data)
    assert [(target.position, target.model) for target in Route.objects.get().targets.all()] == [
        (4, "b"),
        (5, "a"),
        (6, "c"),
    ]


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


def test_the_preview_reads_and_shows_the_decision(admin_client: Client, backends: list[Backend]) -> None:
    route_add("fast", ["ollama:llama3", "openai:gpt-5"])
    page = admin_client.get(f"{LIST}preview/", {"model": "Fast", "protocol": "openai"}).content.decode()
    assert "Fast would go to: ollama:llama3 → openai:gpt-5 (alias fast)" in page
    assert "1. ollama: llama3 (changed by alias)" in page
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


def test_the_preview_takes_the_facts_of_a_request(admin_client: Client, backends: list[Backend]) -> None:
    route_add("fast", ["ollama:llava?needs=images", "openai:gpt-5"])
    asked = {"model": "fast", "protocol": "openai"}
    page = admin_client.get(f"{LIST}preview/", asked).content.decode()
    assert "passed over: ollama:llava (only for requests with images)" in page
    page = admin_client.get(f"{LIST}preview/", {**asked, "images": "on"}).content.decode()
    assert "fast would go to: ollama:llava → openai:gpt-5" in page
    page = admin_client.get(f"{LIST}preview/", {**asked, "key": "nobody"}).content.decode()
    assert "There is no client key" in page


def test_quirks_are_shown_and_can_only_be_deleted(admin_client: Client, backends: list[Backend]) -> None:
    quirks_learn("openai", "o3", [Quirk(QuirkKind.PARAMETER, "temperature")], "Unsupported parameter")
    row = LearnedQuirk.objects.get()
    url = "/admin/backends/learnedquirk/"
    assert "Unsupported parameter" in admin_client.get(url).content.decode()
    assert admin_client.get(f"{url}add/").status_code == 403
    assert admin_client.post(f"{url}{row.pk}/change/", {"name": "x"}).status_code == 403
    admin_client.post(f"{url}{row.pk}/delete/", {"post": "yes"})
    assert not LearnedQuirk.objects.exists()
