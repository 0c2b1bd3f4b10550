"""Templates in the admin: written with errors that name the place, versioned, restored, tried on a request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from backends.models import RequestTemplate, Route, TemplateVersion
from backends.services import NewBackend, backend_add, route_add
from backends.template_services import template_create, template_update

pytestmark = pytest.mark.django_db(databases=["default", "history"])
LIST = "/admin/backends/requesttemplate/"
FIRST: dict[str, Any] = {"system": {"append": "Answer in German."}}
SECOND: dict[str, Any] = {"system": {"append": "<script>Answer in Greek.</script>"}}


@pytest.fixture
def admin_client(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann", password=None))
    return client


@pytest.fixture
def house() -> RequestTemplate:
    return template_create("house", FIRST)


def form(spec: Any, **more: object) -> dict[str, object]:
    return {"spec": spec if isinstance(spec, str) else json.dumps(spec), **more}


def test_a_template_is_written_and_changed(admin_client: Client) -> None:
    assert admin_client.post(f"{LIST}add/", form(FIRST, name="house")).status_code == 302
    row = RequestTemplate.objects.get()
    assert (row.version, row.spec) == (1, FIRST)
    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "&quot;append&quot;: &quot;Answer in German.&quot;" in page
    assert admin_client.post(f"{LIST}{row.pk}/change/", form(SECOND, edited=1)).status_code == 302
    assert [(found.version, found.spec) for found in row.versions.all()] == [(2, SECOND), (1, FIRST)]
    page = admin_client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "Restore version 1" in page
    assert "Restore version 2" not in page
    assert "<script>Answer" not in page


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ('{"system": }', "Line 1, column 12"),
        ('{"system": {}, "system": {}}', "stands twice"),
        ({"sistem": {}}, "$.sistem: There is no such field"),
        ({"headers": {"user-agent": "x"}}, "which product is asking"),
        ([], "$: Write an object"),
    ],
)
def test_a_refused_text_says_where_and_leaves_nothing(admin_client: Client, spec: Any, said: str) -> None:
    page = admin_client.post(f"{LIST}add/", form(spec, name="house")).content.decode()
    assert said in page
    assert not RequestTemplate.objects.exists()
    assert not TemplateVersion.objects.exists()


def test_nobodys_work_is_undone_unread(admin_client: Client, house: RequestTemplate) -> None:
    template_update(house, SECOND)
    answer = admin_client.post(f"{LIST}{house.pk}/change/", form({}, edited=1))
    assert "Version 2 was saved while you edited version 1" in answer.content.decode()
    assert RequestTemplate.objects.get().spec == SECOND


def test_an_earlier_version_is_restored_by_a_button(admin_client: Client, house: RequestTemplate) -> None:
    template_update(house, SECOND)
    path = f"{LIST}{house.pk}/restore/1/"
    assert admin_client.get(path).status_code == 405
    page = admin_client.post(path, follow=True).content.decode()
    assert "Version 1 is in force again, as version 3." in page
    assert RequestTemplate.objects.get().spec == FIRST
    assert (
        "has no version 9" in admin_client.post(f"{LIST}{house.pk}/restore/9/", follow=True).content.decode()
    )
    assert admin_client.post(f"{LIST}999/restore/1/").status_code == 404


def test_a_template_in_use_is_not_deleted(admin_client: Client, house: RequestTemplate) -> None:
    backend_add(NewBackend("ollama"))
    route_add("fast", ["ollama:x"], "house")
    page = admin_client.post(f"{LIST}{house.pk}/delete/", {"post": "yes"}).content.decode()
    assert "Route fast" in page
    assert RequestTemplate.objects.exists()
    Route.objects.all().delete()
    admin_client.post(f"{LIST}{house.pk}/delete/", {"post": "yes"})
    assert not RequestTemplate.objects.exists()


def test_the_list_shows_routes_and_problems(admin_client: Client, house: RequestTemplate) -> None:
    backend_add(NewBackend("ollama"))
    route_add("fast", ["ollama:x"], "house")
    RequestTemplate.objects.update(spec={"sistem": 1})
    page = admin_client.get(LIST).content.decode()
    assert "fast" in page
    assert "$.sistem: There is no such field" in page
    routes = admin_client.get("/admin/backends/route/").content.decode()
    assert "house (version 1)" in routes


def test_a_route_is_given_a_template(admin_client: Client, house: RequestTemplate) -> None:
    backend = backend_add(NewBackend("ollama"))
    lines = {"targets-TOTAL_FORMS": 1, "targets-INITIAL_FORMS": 0, "targets-0-backend": backend.pk}
    data = {"pattern": "fast", "is_enabled": "on", "template": house.pk, **lines}
    assert admin_client.post("/admin/backends/route/add/", data).status_code == 302
    assert Route.objects.get().template == house
    assert (
        b"with template house"
        in admin_client.get("/admin/backends/route/preview/", {"model": "fast"}).content
    )


def test_the_preview_shows_the_difference_and_stores_nothing(
    admin_client: Client, house: RequestTemplate
) -> None:
    path = f"{LIST}preview/?template={house.pk}"
    assert b"Answer in German." in admin_client.get(path).content
    page = admin_client.post(path, form(SECOND, kind="chat", preset="", body="")).content.decode()
    assert "$.messages[0].content=template" in page
    assert "You are helpful.\\n\\n&lt;script&gt;Answer in Greek." in page
    body = json.dumps({"model": "m", "instructions": "Own.", "input": "hi"})
    page = admin_client.post(path, form(FIRST, kind="responses", preset="openai", body=body)).content.decode()
    assert "Own.\\n\\nAnswer in German." in page
    assert "changes nothing" in admin_client.post(path, form({}, kind="messages")).content.decode()
    assert "is not taken" in admin_client.post(path, form({}, kind="messages", body="{")).content.decode()
    assert "no such field" in admin_client.post(path, form({"x": 1}, kind="messages")).content.decode()
    assert RequestTemplate.objects.get().spec == FIRST


def test_the_preview_keeps_the_clients_tools_where_the_server_does(
    admin_client: Client, settings: Any
) -> None:
    spec = {"rename_tools": {"get_time": "clock"}}
    path = f"{LIST}preview/"
    assert "becomes <code>get_time" in admin_client.post(path, form(spec, kind="chat")).content.decode()
    settings.PATCHBAY_PRESERVE_TOOLS = True
    assert "changes nothing" in admin_client.post(path, form(spec, kind="chat")).content.decode()


def test_who_may_only_look_cannot_restore_or_write(house: RequestTemplate) -> None:
    template_update(house, SECOND)
    eve = User.objects.create_user("eve", is_staff=True)
    client = Client()
    client.force_login(eve)
    assert client.get(f"{LIST}preview/").status_code == 403
    eve.user_permissions.add(Permission.objects.get(codename="view_requesttemplate"))
    assert client.post(f"{LIST}preview/", form(FIRST, kind="chat")).status_code == 200
    page = client.get(f"{LIST}{house.pk}/change/")
    assert page.status_code == 200
    assert b"Restore version" not in page.content
    assert client.post(f"{LIST}{house.pk}/restore/1/").status_code == 403
    assert client.post(f"{LIST}{house.pk}/change/", form({})).status_code == 403
    assert RequestTemplate.objects.get().spec == SECOND
