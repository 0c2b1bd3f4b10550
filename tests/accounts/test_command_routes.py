from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backends.services import quirks_learn
from backends.wire.quirks import Quirk, QuirkKind

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("routes", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture
def _backends() -> None:
    for words in (("add", "ollama"), ("add", "anthropic", "--key", "sk-ant-0123456789")):
        call_command("backend", *words, stdout=StringIO())


@pytest.mark.usefixtures("_backends")
def test_add_list_remove() -> None:
    assert run_json("add", "Fast", "ollama:llama3", "anthropic")["targets"] == ["ollama:llama3", "anthropic"]
    [row] = run_json("list")
    assert (row["pattern"], row["targets"], row["alias"], row["enabled"]) == (
        "fast",
        ["ollama:llama3", "anthropic"],
        True,
        True,
    )
    assert run_json("remove", " FAST ") == {"removed": "fast"}
    assert run_json("list") == []


@pytest.mark.usefixtures("_backends")
def test_explain_shows_every_target_with_lane_and_accounts() -> None:
    run("add", "fast", "ollama:llama3", "anthropic:claude-opus-4")
    call_command("accounts", "pause", "anthropic", stdout=StringIO())
    found = run_json("explain", "fast", "--protocol", "openai")
    first, second = found["targets"]
    assert (found["rule"], found["reason"]) == ("alias", "alias fast")
    assert (first["backend"], first["model"], first["changedBy"]) == ("ollama", "llama3", "alias")
    assert first["lanes"] == [{"kind": "chat", "lane": "direct"}, {"kind": "responses", "lane": "direct"}]
    chat = second["lanes"][0]
    assert (chat["kind"], chat["lane"]) == ("chat", "translated")
    assert "seed" in chat["lost"]
    assert "audio" in chat["refused"]
    [account] = second["accounts"]
    assert (account["alias"], account["ready"], account["reason"]) == ("anthropic", False, "paused")


@pytest.mark.usefixtures("_backends")
def test_explain_without_a_protocol_takes_the_one_that_fits() -> None:
    assert run_json("explain", "claude-x")["protocol"] == "anthropic"
    assert run_json("explain", "ollama:llama3")["protocol"] == "openai"
    assert "messages: direct" in run("explain", "claude-x")


@pytest.mark.usefixtures("_backends")
def test_explain_without_a_route_fails_with_near_names() -> None:
    run("add", "fast", "ollama:llama3")
    with pytest.raises(CommandError, match="Did you mean fast") as failure:
        run("explain", "fasd")
    assert failure.value.returncode == 1


def test_explain_knows_the_simulated_backend_while_there_is_no_other() -> None:
    found = run_json("explain", "demo")
    assert found["targets"][0]["backend"] == "demo"
    [account] = found["targets"][0]["accounts"]
    assert (account["alias"], account["ready"], account["reason"]) == ("demo", True, None)


@pytest.mark.parametrize("words", [("add", "x", "nobody"), ("remove", "x")])
def test_unknown_names_are_failures(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="There is no") as failure:
        run(*words)
    assert failure.value.returncode == 1


# --- checks, order, quirks ------------------------------------------------------------------------------------


def run_both(*words: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("routes", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.usefixtures("_backends")
def test_a_target_takes_options_and_shows_them_as_they_were_given() -> None:
    targets = [
        "ollama:a?weight=3",
        "ollama:b?weight=1&needs=images",
        "anthropic?keys=ci&hours=22:00-06:00",
        "ollama",
    ]
    added = run_json("add", "mix", *targets)
    assert added["targets"] == targets
    assert any("client key ci" in warning for warning in added["warnings"])
    assert "mix goes to ollama:a?weight=3 → " in run("add", "mix2", *targets).replace("mix2", "mix")


@pytest.mark.usefixtures("_backends")
def test_warnings_are_shown_before_the_route_is_saved_and_a_script_means_what_it_says() -> None:
    run("add", "slow", "ollama:x")
    out, err = run_both("add", "fast", "ollama:slow")
    assert "warning: slow is an alias here" in err
    assert out == "fast goes to ollama:slow.\n"


@pytest.mark.usefixtures("_backends")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nobody:x", "There is no backend 'nobody'"),
        ("ollama?needs=smell", "is not one of tools, images"),
        ("ollama?min_tokens=9&max_tokens=1", "could never hold"),
        ("ollama?wait=1", "is no option"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(target: str, words: str) -> None:
    with pytest.raises(CommandError, match=words) as failure:
        run("add", "fast", target)
    assert failure.value.returncode == 1
    assert run_json("list") == []


@pytest.mark.usefixtures("_backends")
def test_the_list_is_in_the_order_in_which_routes_are_tried() -> None:
    for pattern in ("*", "a*", "zebra", "abc-*", "ant"):
        run("add", pattern, "ollama")
    rows = run_json("list")
    assert [row["pattern"] for row in rows] == ["ant", "zebra", "abc-*", "a*", "*"]
    assert [row["kind"] for row in rows] == ["alias", "alias", "pattern", "pattern", "default"]
    assert [(row["order"], row["literal"]) for row in rows[2:]] == [(3, 4), (4, 1), (5, 0)]
    lines = run("list").splitlines()
    assert lines[0].split() == ["ORDER", "PATTERN", "KIND", "TARGETS", "TEMPLATE", "ENABLED"]
    assert "pattern, 4 literal" in lines[3]


@pytest.mark.usefixtures("_backends")
def test_explain_takes_the_facts_of_a_request() -> None:
    call_command("keys", "add", "ci", "--models", "gpt-*", stdout=StringIO(), stderr=StringIO())
    run(
        "add",
        "fast",
        "ollama:a?needs=tools,images",
        "ollama:b?min_tokens=1000",
        "ollama:c?keys=ci",
        "anthropic:d",
    )
    run("add", "night", "ollama:a?hours=22:00-06:00&days=fri", "anthropic:d")
    cases = {
        (): "d",
        ("--tools", "--images"): "a",
        ("--tokens", "5000"): "b",
        ("--key", "ci"): "c",
    }
    for flags, model in cases.items():
        assert run_json("explain", "fast", *flags)["targets"][0]["model"] == model
    for at, model in (("fri 23:00", "a"), ("sat 05:00", "a"), ("sat 23:00", "d"), ("fri 12:00", "d")):
        assert run_json("explain", "night", "--at", at)["targets"][0]["model"] == model
    passed = run_json("explain", "fast", "--tools")["passedOver"]
    assert passed[0] == {"backend": "ollama", "model": "a", "why": "only for requests with images"}
    assert "passed over: ollama:a (only for requests with images)" in run("explain", "fast", "--tools")
    assert "refused with 403: client key ci may use only gpt-*" in run("explain", "fast", "--key", "ci")


@pytest.mark.usefixtures("_backends")
@pytest.mark.parametrize(
    "flags", [("--key", "nobody"), ("--at", "noon"), ("--at", "25:00"), ("--at", "xyz 12:00")]
)
def test_facts_that_cannot_be_are_failures(flags: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("explain", "ollama:x", *flags)


@pytest.mark.usefixtures("_backends")
def test_a_share_follows_from_the_session() -> None:
    run("add", "mix", "ollama:a?weight=1", "ollama:b?weight=1")
    found = {run_json("explain", "mix", "--session", f"s{n}")["targets"][0]["model"] for n in range(12)}
    assert found == {"a", "b"}
    assert "weight 1 of 2" in run("explain", "mix", "--session", "s1")


@pytest.mark.usefixtures("_backends")
def test_quirks_are_listed_and_reset() -> None:
    quirk = Quirk(QuirkKind.PARAMETER, "temperature")
    quirks_learn("ollama", "a", [quirk], "Unknown parameter: 'temperature'")
    quirks_learn("anthropic", "b", [Quirk(QuirkKind.BETA, "effort-2025-11-24")], "no")
    assert [row["name"] for row in run_json("quirks")] == ["effort-2025-11-24", "temperature"]
    assert "BECAUSE IT SAID" in run("quirks")
    [target] = run_json("explain", "ollama:a")["targets"]
    assert target["quirks"] == [{"kind": "parameter", "name": "temperature"}]
    assert [row["name"] for row in run_json("quirks", "--reset", "ollama:a")] == ["temperature"]
    assert run("quirks", "--reset").startswith("1 forgotten.")
    assert run_json("quirks") == []
    with pytest.raises(CommandError, match="There is no backend"):
        run("quirks", "--reset", "nobody")
