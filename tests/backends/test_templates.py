"""Templates as the operator handles them: services, versions, commands, the snapshot, import and export."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts.export import export_text
from accounts.move_in import Outcome, move_in
from accounts.preview import preview_of
from accounts.snapshot import load_snapshot
from backends.models import ConfigVersion, RequestTemplate, Route, TemplateVersion
from backends.move_in.recognise import Source, plan_of
from backends.routing import Decision, decide
from backends.services import NewBackend, ServiceError, backend_add, get_template, route_add
from backends.snapshot import load_routing
from backends.template_preview import preview, sample
from backends.template_services import (
    checked_spec,
    read_json,
    template_create,
    template_delete,
    template_restore,
    template_set,
    template_update,
)
from backends.wire.kinds import Kind, Protocol
from backends.wire.templates import parse_spec

pytestmark = pytest.mark.django_db(databases=["default", "history"])
FIRST: dict[str, Any] = {"system": {"append": "Answer in German."}}
SECOND: dict[str, Any] = {"parameters": {"force": {"temperature": 0}}, "rename_tools": {"a": "b"}}


@pytest.fixture
def house() -> RequestTemplate:
    return template_create("house", FIRST)


def versions(row: RequestTemplate) -> list[tuple[int, Any]]:
    return [(version.version, version.spec) for version in row.versions.all()]


# --- services ----------------------------------------------------------------------------------------------------


def test_every_save_that_changes_something_is_a_version(house: RequestTemplate) -> None:
    before = ConfigVersion.current()
    house = template_update(house, SECOND)
    assert (house.version, house.spec) == (2, SECOND)
    assert ConfigVersion.current() > before
    same = ConfigVersion.current()
    house = template_update(house, {**SECOND, "tools": []})
    assert (house.version, ConfigVersion.current()) == (2, same)
    house = template_restore(house, 1)
    assert versions(house) == [(3, FIRST), (2, SECOND), (1, FIRST)]


def test_what_cannot_be_used_changes_nothing(house: RequestTemplate) -> None:
    for spec in ({"systm": {}}, [], "x", {"headers": {"user-agent": "x"}}):
        with pytest.raises(ServiceError, match=r"^\$"):
            template_update(house, spec)
        with pytest.raises(ServiceError):
            template_create("new", spec)
    with pytest.raises(ServiceError, match="name"):
        template_create("a b", FIRST)
    with pytest.raises(ServiceError, match="already exists"):
        template_create("house", FIRST)
    with pytest.raises(ServiceError, match=r"no version 7\. Versions: 1"):
        template_restore(house, 7)
    assert (RequestTemplate.objects.count(), TemplateVersion.objects.count()) == (1, 1)


def test_two_who_edit_the_same_version_do_not_undo_each_other(house: RequestTemplate) -> None:
    mine, theirs = RequestTemplate.objects.get(), RequestTemplate.objects.get()
    template_update(theirs, SECOND)
    with pytest.raises(ServiceError, match="version 2 is in force, and you edited version 1"):
        template_update(mine, {"system": {"append": "Mine."}})
    with pytest.raises(ServiceError, match="version 2 is in force, and you edited version 1"):
        template_update(RequestTemplate.objects.get(), {}, expected=1)
    assert RequestTemplate.objects.get().spec == SECOND
    theirs.delete()
    with pytest.raises(ServiceError, match="was removed meanwhile"):
        template_update(mine, SECOND)


def test_a_failed_save_leaves_no_version_behind(house: RequestTemplate) -> None:
    TemplateVersion.objects.create(template=house, version=2, spec={})
    with pytest.raises(Exception, match=r"UNIQUE|unique"), transaction.atomic():
        template_update(house, SECOND)
    house.refresh_from_db()
    assert (house.version, house.spec) == (1, FIRST)


def test_a_template_in_use_stays(house: RequestTemplate) -> None:
    backend_add(NewBackend("ollama"))
    route_add("fast", ["ollama:llama3"], "house")
    with pytest.raises(ServiceError, match="used by fast"):
        template_delete(house)
    Route.objects.all().delete()
    template_delete(RequestTemplate.objects.get())
    assert not TemplateVersion.objects.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b" 2}', "Line 2, column 6"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[" * 100_000, "too deep|Line"),
    ],
)
def test_json_that_somebody_typed_is_read_strictly(text: str, said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        read_json(text)


# --- configuration -----------------------------------------------------------------------------------------------


def decided(model: str, **how: Any) -> Decision:
    return decide(model, Protocol.OPENAI, load_routing(), **how)


@pytest.fixture
def routed(house: RequestTemplate) -> RequestTemplate:
    backend_add(NewBackend("ollama"))
    backend_add(NewBackend("groq"))
    route_add("fast", ["ollama:llama3", "groq:llama-3"], "house")
    route_add("llama*", ["ollama"], "house")
    return house


def test_the_targets_of_a_route_carry_its_template(routed: RequestTemplate, settings: Any) -> None:
    found = decided("fast")
    assert [target.template.name for target in found.targets if target.template] == ["house", "house"]
    template = found.targets[0].template
    assert template is not None
    assert (template.version, template.template) == (1, parse_spec(FIRST))
    assert decided("ollama:llama3").targets[0].template is None
    settings.PATCHBAY_FORCE_MODEL = "fast"
    assert decided("anything").targets[0].template == template
    settings.PATCHBAY_FORCE_MODEL = ""
    settings.PATCHBAY_PASSTHROUGH = True
    assert decided("llama3").targets[0].template is None


def test_keeping_the_clients_tools_is_part_of_the_snapshot(routed: RequestTemplate, settings: Any) -> None:
    template_update(routed, {"replace_tools": True, "rename_tools": {"a": "b"}, "tools": [{"name": "c"}]})
    settings.PATCHBAY_PRESERVE_TOOLS = True
    template = decided("fast").targets[0].template
    assert template is not None
    assert template.template == parse_spec({"tools": [{"name": "c"}]})


def test_a_text_that_cannot_be_read_is_logged_and_told(
    routed: RequestTemplate, caplog: pytest.LogCaptureFixture
) -> None:
    RequestTemplate.objects.update(spec={"systm": 1})
    template = decided("fast").targets[0].template
    assert template is not None
    assert template.template is None
    assert "Requests go without template house: $.systm: There is no such field" in caplog.text
    assert "with template house, version 1, not used: $.systm" in "\n".join(
        preview_of({"model": "fast"}).lines
    )
    call_command("templates", "list", "--json", stdout=(out := StringIO()))
    assert json.loads(out.getvalue())[0]["problem"].startswith("$.systm")


def test_explain_says_which_template_applies(routed: RequestTemplate) -> None:
    assert "  with template house, version 1" in preview_of({"model": "fast"}).lines
    assert not any("template" in line for line in preview_of({"model": "ollama:x"}).lines)
    load_snapshot()


def test_a_hundred_routes_share_one_template(
    routed: RequestTemplate, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        route_add(f"alias-{number}", ["ollama:llama3"], "house")
    with django_assert_max_num_queries(9):
        routing = load_routing()
    assert len({id(route.template) for route in routing.routes}) == 1


# --- commands ----------------------------------------------------------------------------------------------------


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_templates_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "house.json"
    path.write_text(json.dumps(FIRST))
    assert "in force as version 1" in run("templates", "set", "house", "--file", str(path))
    path.write_text(json.dumps(SECOND))
    assert json.loads(run("templates", "set", "house", "--file", str(path), "--json"))["version"] == 2
    assert json.loads(run("templates", "show", "house")) == SECOND
    assert json.loads(run("templates", "show", "house", "--version", "1")) == FIRST
    assert [row["version"] for row in json.loads(run("templates", "history", "house", "--json"))] == [2, 1]
    assert "that is version 3 now" in run("templates", "restore", "house", "1")
    backend_add(NewBackend("ollama"))
    assert "fast goes to" in run("routes", "add", "fast", "ollama:llama3", "--template", "house")
    assert json.loads(run("routes", "list", "--json"))[0]["template"] == "house"
    assert "house" in run("routes", "list")
    assert json.loads(run("routes", "explain", "fast", "--json"))["template"] == {
        "name": "house",
        "version": 3,
        "problem": None,
    }
    assert "fast" in run("templates", "list")
    with pytest.raises(CommandError, match="used by fast"):
        run("templates", "remove", "house")
    run("routes", "remove", "fast")
    assert json.loads(run("templates", "remove", "house", "--json")) == {"removed": "house"}


def test_the_command_line_says_what_is_wrong(tmp_path: Path, house: RequestTemplate) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"system": {"append": 1}')
    for words, said in (
        (("templates", "set", "house", "--file", str(path)), "bad.json is not taken. Line 1"),
        (("templates", "set", "house", "--file", str(tmp_path / "none")), "cannot be read"),
        (("templates", "show", "other"), "There is no template 'other'. Templates: house"),
        (("templates", "show", "house", "--version", "9"), "no version 9"),
        (("templates", "restore", "house", "9"), "no version 9"),
        (("routes", "add", "x", "demo", "--template", "other", "--yes"), "no template 'other'|no backend"),
    ):
        with pytest.raises(CommandError, match=said):
            run(*words)
    path.write_text('{"system": {"append": 1}}')
    with pytest.raises(CommandError, match=r"\$.system.append: Write a text"):
        run("templates", "set", "house", "--file", str(path))
    assert get_template("house").spec == FIRST


# --- import and export -------------------------------------------------------------------------------------------


def taken(text: str) -> Outcome:
    return move_in(plan_of(Source(is_folder=False, texts={"patchbay.json": text}), {}), dry_run=False)


def test_templates_move_with_their_routes(routed: RequestTemplate) -> None:
    template_update(routed, SECOND)
    text = export_text()
    Route.objects.all().delete()
    RequestTemplate.objects.all().delete()
    assert not [row for row in taken(text).not_taken if "template" in str(row)]
    row = get_template("house")
    assert versions(row) == [(1, SECOND)]
    assert Route.objects.get(pattern="fast").template == row
    assert export_text() == text
    assert [change.line() for change in taken(text).changes if change.what == "template"] == [
        "= template house exists"
    ]
    template_set("house", FIRST)
    assert "its text differs" in " ".join(change.line() for change in taken(text).changes)


def test_a_template_that_cannot_be_used_is_not_taken(routed: RequestTemplate) -> None:
    text = export_text().replace("Answer in German.", "x").replace('"append"', '"apend"')
    Route.objects.all().delete()
    RequestTemplate.objects.all().delete()
    outcome = taken(text)
    assert any("$.system.apend: There is no such field" in row.why for row in outcome.not_taken)
    assert not RequestTemplate.objects.exists()


# --- preview -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_the_preview_shows_what_a_backend_would_get(kind: Kind) -> None:
    spec = {
        "system": {"append": "Answer in German."},
        "rename_tools": {"get_time": "clock"},
        "parameters": {"force": {"user": "ann"}},
        "headers": {"x-department": "kitchen"},
    }
    shown = preview(parse_spec(spec), kind, sample(kind))
    added = [line for mark, line in shown.lines if mark == "+"]
    assert "+x-department: kitchen" in added
    is_talk = kind in (Kind.MESSAGES, Kind.COUNT_TOKENS, Kind.CHAT, Kind.RESPONSES)
    assert any("German" in line for line in added) == is_talk
    assert shown.names == ((("clock", "get_time"),) if is_talk else ())
    assert ("$.user=template" in shown.mutations) == (kind is not Kind.COUNT_TOKENS)
    assert preview(parse_spec({}), kind, sample(kind)).mutations == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "The request is not taken."),
        ('{"messages": 5}', "The request is not taken."),
        (
            '{"messages": [], "tools": [{"name": "a", "input_schema": {}}, {"name": "b", "input_schema": {}}]}',
            "Such a request is refused with 400. The route's template renames the tool `a`",
        ),
    ],
)
def test_the_preview_says_what_would_be_refused(body: str, said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        preview(parse_spec(SECOND), Kind.MESSAGES, body)


def test_a_stored_text_has_one_spelling() -> None:
    assert checked_spec({"tools": [], "system": {"append": "x", "prepend": ""}}) == {
        "system": {"append": "x"}
    }


def test_the_examples_in_the_documentation_are_templates() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "templates.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        spec = json.loads(example)
        assert parse_spec(spec).as_json() == spec
