"""Redaction rules: stored only when they can be used, switched, tried, and what a broken one does."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.export import export_text
from accounts.move_in import Mark, move_in
from backends.addresses import check_base_url
from backends.checks import redaction_works
from backends.models import Backend, ConfigVersion, RedactionRule
from backends.move_in.own import parse_own
from backends.presets import is_own_server
from backends.redaction import load_redaction, rules_in_force
from backends.redaction_services import (
    LONGEST_SAMPLE,
    MOST_RULES,
    list_rules,
    rule_add,
    rule_remove,
    rule_switch,
    try_rules,
)
from backends.services import NewBackend, ServiceError, backend_add, backend_redacts
from backends.snapshot import load_routing
from backends.wire.kinds import Kind
from backends.wire.redaction import BUILTIN
from proxyapp.doctor.configuration import redaction_findings
from tests.backends.wire.redacting import CANARIES

pytestmark = pytest.mark.django_db
MAIL = CANARIES[0]


# --- rules --------------------------------------------------------------------------------------------------------


def test_the_built_in_rules_count_unless_they_are_turned_off() -> None:
    on = [rule for rule in BUILTIN if rule.is_enabled]
    assert list(rules_in_force()) == on
    version = ConfigVersion.current()
    assert not rule_switch("email-address", is_on=False).is_enabled
    assert ConfigVersion.current() > version
    assert [rule.name for rule in rules_in_force()] == [r.name for r in on if r.name != "email-address"]
    assert rule_switch("ipv4-address", is_on=True).is_enabled
    assert "ipv4-address" in [rule.name for rule in rules_in_force()]
    assert rule_switch("email-address", is_on=True).is_enabled
    assert RedactionRule.objects.count() == 2


def test_own_rules_come_first_and_give_the_type() -> None:
    rule_add("staff", "STAFF", r"[a-z]+@example\.com")
    assert rules_in_force()[0].name == "staff"
    assert try_rules(MAIL).counts == {"STAFF": 1}
    rule_switch("staff", is_on=False)
    assert try_rules(MAIL).counts == {"EMAIL": 1}
    rule_remove("staff")
    assert [rule.name for rule in list_rules() if not rule.is_built_in] == []


@pytest.mark.parametrize(
    ("name", "label", "pattern", "told"),
    [
        ("x", "X1", "(a", "character 1: missing ). Close the group"),
        ("x", "X1", "(?=a)b", "Look-around cannot be matched in linear time"),
        ("x", "X1", r"(a)\1", "Back-references cannot be matched in linear time"),
        ("x", "X1", "(a{1000}){1000}", "Repeat at most 1000 times"),
        ("x", "X1", "a*", "also matches nothing"),
        ("x", "X1", "", "needs a pattern"),
        ("x", "lower", "a", "2 to 16 capital letters"),
        ("x", "X1", "a" * 1500, "at most 1000 characters"),
        ("email-address", "EMAIL", "a", "built-in rule. Choose another name"),
        ("a b", "X1", "a", "letters, digits"),
        ("", "X1", "a", "no name"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_in_one_clear_line(
    name: str, label: str, pattern: str, told: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        rule_add(name, label, pattern)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not RedactionRule.objects.exists()


def test_names_are_taken_once_and_rules_are_not_without_number() -> None:
    rule_add("x", "X1", "a")
    with pytest.raises(ServiceError, match="exists"):
        rule_add("x", "X1", "b")
    RedactionRule.objects.bulk_create(
        RedactionRule(name=f"r{number}", label="X1", pattern="a") for number in range(MOST_RULES - 1)
    )
    with pytest.raises(ServiceError, match="Join some of them"):
        rule_add("more", "X1", "a")


def test_what_is_not_there_cannot_be_changed() -> None:
    for change in (lambda: rule_switch("nobody", is_on=True), lambda: rule_remove("nobody")):
        with pytest.raises(ServiceError, match="There is no redaction rule 'nobody'"):
            change()
    with pytest.raises(ServiceError, match="redaction disable jwt"):
        rule_remove("jwt")


# --- broken ones, as a restored database may hold them -----------------------------------------------------------


@pytest.mark.parametrize(("name", "pattern"), [("broken", "("), ("gone", "")])
def test_a_broken_rule_is_a_problem_until_it_is_turned_off(name: str, pattern: str) -> None:
    backend_add(NewBackend("openai", redacts=True))
    assert (load_routing().redaction.problem, redaction_works(databases=["default"])) == ("", [])
    RedactionRule.objects.create(name=name, label="X1", pattern=pattern)
    assert f"the redaction rule {name} cannot be used" in load_redaction().problem
    routing = load_routing()
    assert routing.redaction.problem
    assert not routing.redaction.rules
    [message] = redaction_works(databases=["default"])
    assert message.id == "patchbay.W003"
    assert "openai get no requests" in message.msg
    assert [finding.level.value for finding in redaction_findings()] == ["warn"]
    assert [rule.name for rule in list_rules() if rule.problem] == [name]
    with pytest.raises(ServiceError, match="cannot be used"):
        try_rules("text")
    with pytest.raises(ServiceError):
        rule_switch(name, is_on=True)
    rule_switch(name, is_on=False)
    assert load_routing().redaction.problem == ""
    assert [finding.level.value for finding in redaction_findings()] == ["ok"]


def test_no_rule_is_compiled_while_nobody_redacts() -> None:
    backend_add(NewBackend("openai"))
    RedactionRule.objects.create(name="broken", label="X1", pattern="(")
    assert load_routing().redaction.problem == ""
    assert not load_routing().redaction.rules
    assert redaction_works(databases=["default"]) == []
    assert redaction_findings() == []


def test_the_rules_are_compiled_once_as_long_as_they_stay() -> None:
    backend_add(NewBackend("openai", redacts=True))
    first = load_routing().redaction.rules
    assert first
    assert load_routing().redaction.rules is first
    rule_add("x", "X1", "a")
    assert load_routing().redaction.rules is not first


# --- who redacts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "url", "is_own"),
    [
        ("ollama", "http://127.0.0.1:11434/v1", True),
        ("vllm", "http://gpu-box:8000/v1", True),
        ("llamacpp", "https://llm.home.arpa/v1", True),
        ("lmstudio", "http://192.168.1.9:1234/v1", True),
        ("ollama", "http://[::1]:11434/v1", True),
        ("ollama", "https://ollama.com/v1", False),
        ("vllm", "https://203.0.113.7/v1", False),
        ("litellm", "http://127.0.0.1:4000/v1", False),
        ("", "http://127.0.0.1:8000/v1", False),
        ("openai", "https://api.openai.com/v1", False),
    ],
)
def test_only_a_model_server_in_ones_own_network_stays_raw(preset: str, url: str, is_own: bool) -> None:
    assert is_own_server(preset, check_base_url(url)) is is_own
    row = Backend(name="x", preset=preset, base_url=url, redacts=True)
    assert row.is_own_server is is_own
    row.save()
    assert load_routing().backends["x"].redacts is not is_own


def test_it_is_not_offered_what_it_would_not_get() -> None:
    with pytest.raises(ServiceError, match="gets its requests as they are"):
        backend_add(NewBackend("ollama", redacts=True))
    backend_add(NewBackend("vllm"))
    with pytest.raises(ServiceError, match="gets its requests as they are"):
        backend_redacts("vllm", True)
    backend_add(NewBackend("openai"))
    assert backend_redacts("OpenAI", True).redacts
    assert not backend_redacts("openai", False).redacts


def test_an_address_that_cannot_be_read_is_nobodys_own() -> None:
    assert not Backend(name="x", preset="ollama", base_url="ftp://x").is_own_server


def test_passthrough_is_told_of(settings: Any) -> None:
    backend_add(NewBackend("openai", redacts=True))
    settings.PATCHBAY_PASSTHROUGH = True
    [message] = redaction_works(databases=["default"])
    assert message.id == "patchbay.W004"
    assert not load_routing().redaction.rules


# --- trying -------------------------------------------------------------------------------------------------------


def test_a_trial_shows_what_would_leave_and_never_the_values() -> None:
    found = try_rules(f"to {MAIL}, {MAIL} and PB_EMAIL_aaaaaaaaaa")
    assert found.counts == {"EMAIL": 2}
    assert MAIL not in repr(found)
    assert [is_placeholder for _, is_placeholder in found.pieces] == [False, True, False, True, False]
    assert "".join(text for text, _ in found.pieces) == found.text
    assert found.findings[0].preview == "to [ca…, 18 characters], "


def test_a_request_is_tried_as_it_would_be_sent() -> None:
    body = {"model": MAIL, "messages": [{"role": "user", "content": MAIL}]}
    found = try_rules(json.dumps(body), Kind.CHAT)
    sent = json.loads(found.text)
    assert sent["model"] == MAIL
    assert sent["messages"][0]["content"] == found.findings[0].placeholder
    assert found.findings[0].path == "$.messages[0].content"


def test_a_trial_has_limits() -> None:
    with pytest.raises(ServiceError, match="not valid JSON"):
        try_rules("{", Kind.CHAT)
    with pytest.raises(ServiceError, match="Try a part of it"):
        try_rules("x" * (LONGEST_SAMPLE + 1))
    assert try_rules("nothing here").findings == ()
    assert try_rules("\ud800 half").text == "\ud800 half"


# --- the command --------------------------------------------------------------------------------------------------


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_adds_lists_switches_and_removes() -> None:
    added = json.loads(
        run("redaction", "add", "ticket", "--label", "TICKET", "--pattern", "ACME-[0-9]+", "--json")
    )
    assert (added["name"], added["enabled"], added["builtIn"]) == ("ticket", True, False)
    listed = {rule["name"]: rule for rule in json.loads(run("redaction", "list", "--json"))}
    assert listed["ticket"]["pattern"] == "ACME-[0-9]+"
    assert listed["ipv4-address"]["enabled"] is False
    assert listed["jwt"]["source"].startswith("RFC 7519")
    assert "ticket" in run("redaction", "list").splitlines()[1]
    assert run("redaction", "disable", "ticket") == "Rule ticket is off.\n"
    assert json.loads(run("redaction", "enable", "ticket", "--json"))["enabled"] is True
    assert json.loads(run("redaction", "remove", "ticket", "--json")) == {"removed": "ticket"}
    with pytest.raises(CommandError, match="Look-around"):
        run("redaction", "add", "x", "--label", "X1", "--pattern", "(?<!a)b")


def test_the_command_tries_a_file(tmp_path: Path) -> None:
    sample = tmp_path / "sample.txt"
    sample.write_text(f"mail {MAIL}")
    told = run("redaction", "try", "--file", str(sample))
    assert told.startswith("mail PB_EMAIL_")
    found = json.loads(run("redaction", "try", "--file", str(sample), "--json"))
    assert found["counts"] == {"EMAIL": 1}
    assert MAIL not in json.dumps(found)
    with pytest.raises(CommandError, match="cannot be read"):
        run("redaction", "try", "--file", str(tmp_path / "absent"))


def test_backends_are_switched_on_the_command_line() -> None:
    run("backend", "add", "openai", "--key", "sk-canary-0123456789", "--redact")
    assert json.loads(run("backend", "list", "--json"))[0]["redacts"] is True
    assert json.loads(run("backend", "set", "openai", "--redact", "no", "--json"))["redacts"] is False
    assert "are redacted from now on" in run("backend", "set", "openai", "--redact", "yes")


# --- import -------------------------------------------------------------------------------------------------------


def test_rules_move_with_the_configuration_and_are_checked() -> None:
    rule_add("ticket", "TICKET", "ACME-[0-9]+", is_enabled=False)
    rule_switch("ipv4-address", is_on=True)
    text = export_text()
    RedactionRule.objects.all().delete()
    done = move_in(parse_own(text), dry_run=False)
    assert not done.not_taken
    assert export_text() == text
    again = move_in(parse_own(text), dry_run=False)
    assert {change.mark for change in again.changes} == {Mark.EXISTS}
    given = json.loads(text)
    given["redactionRules"] = [
        {"name": "bad", "label": "X1", "pattern": "("},
        {"name": "unknown-built-in", "label": "X1"},
        {"name": "jwt", "label": "X1", "pattern": "a"},
    ]
    refused = move_in(parse_own(json.dumps(given)), dry_run=False)
    assert [thing.why.split(".")[0] for thing in refused.not_taken] == [
        "The pattern has a fault at character 1: missing )",
        "There is no redaction rule 'unknown-built-in'",
        "jwt is a built-in rule",
    ]
