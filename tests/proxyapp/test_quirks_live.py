"""What a backend refuses by name is left out once, remembered, shown and forgotten on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.proxyapp.routes_lab import RoutesLab, error, eventually, routes_lab

NO_TEMPERATURE = error("Unsupported parameter: 'temperature' is not supported with this model.")
NO_CONTEXT = error("context_management: Extra inputs are not permitted")
NO_BETA = error("Unexpected value(s) `effort-2025-11-24` for the `anthropic-beta` header.")
BETAS = "context-management-2025-06-27,effort-2025-11-24"
CLAUDE: dict[str, Any] = {
    "context_management": {"edits": []},
    "output_config": {"effort": "high"},
    "headers": {"anthropic-beta": BETAS},
}


@pytest.fixture(scope="module")
def servers() -> Iterator[RoutesLab]:
    with routes_lab() as running:
        yield running


@pytest.fixture
def lab(servers: RoutesLab) -> RoutesLab:
    for upstream in servers.upstreams.values():
        upstream.reset()
    return servers


def quirks(lab: RoutesLab) -> set[tuple[str, str, str]]:
    rows = json.loads(lab.patchbay.manage("routes", "quirks", "--json").stdout)
    return {(row["backend"], row["model"], row["name"]) for row in rows}


def test_a_refused_parameter_is_left_out_remembered_and_can_be_forgotten(lab: RoutesLab) -> None:
    lab.upstreams["chatty"].script([NO_TEMPERATURE])
    first = lab.ask("chatty:gpt-4o", temperature=0.2, top_p=0.5)
    assert (first.status, first.headers["x-patchbay-attempts"]) == (200, "2")
    assert first.headers["x-patchbay-mutations"] == "$.model=prefix, $.temperature=quirk"
    sent = [json.loads(e.body) for e in lab.upstreams["chatty"].journal.entries if e.method == "POST"]
    assert ["temperature" in body for body in sent] == [True, False]
    assert sent[1]["top_p"] == 0.5

    again = lab.ask("chatty:gpt-4o", temperature=0.2)
    assert again.headers["x-patchbay-attempts"] == "1"
    assert "temperature" not in lab.last_sent("chatty")
    other = lab.ask("chatty:llama3:8b", temperature=0.2)
    assert other.headers["x-patchbay-mutations"] == "$.model=prefix"
    without = lab.ask("chatty:gpt-4o")
    assert without.headers["x-patchbay-mutations"] == "$.model=prefix"

    learnt = "SELECT name FROM backends_learnedquirk WHERE model = ?"
    eventually(lambda: ("temperature",) in lab.patchbay.sql("config", learnt, "gpt-4o"))
    assert ("chatty", "gpt-4o", "temperature") in quirks(lab)
    assert (
        "left out, since it refused them: temperature"
        in lab.patchbay.manage("routes", "explain", "chatty:gpt-4o").stdout
    )
    assert "1 forgotten" in lab.patchbay.manage("routes", "quirks", "--reset", "chatty:gpt-4o").stdout
    eventually(
        lambda: "quirk" not in lab.ask("chatty:gpt-4o", temperature=0.2).headers["x-patchbay-mutations"]
    )
    assert lab.last_sent("chatty")["temperature"] == 0.2


def test_a_field_and_its_beta_value_go_together(lab: RoutesLab) -> None:
    lab.upstreams["claudish"].script([NO_CONTEXT])
    answer = lab.ask("claudish:claude-opus-4-8", "messages", **CLAUDE)
    told = answer.headers["x-patchbay-mutations"]
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    assert "$.context_management=quirk, header:anthropic-beta=quirk" in told
    assert "context_management" not in lab.last_sent("claudish")
    assert lab.last_betas("claudish") == "effort-2025-11-24"


def test_a_beta_value_and_its_field_go_together(lab: RoutesLab) -> None:
    lab.upstreams["claudish"].script([NO_BETA])
    answer = lab.ask("claudish:claude-haiku-4-5", "messages", **CLAUDE)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "2")
    assert lab.last_sent("claudish")["output_config"] == {}
    assert lab.last_betas("claudish") == "context-management-2025-06-27"


def test_several_refusals_one_after_the_other_are_learnt_within_the_attempts(lab: RoutesLab) -> None:
    lab.upstreams["spare"].script([error("Unknown parameter: 'foo'."), error("Unknown parameter: 'bar'.")])
    answer = lab.ask("spare:gpt-4.1", foo=1, bar=2)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (200, "3")
    assert {"foo", "bar"}.isdisjoint(lab.last_sent("spare"))
    assert lab.ask("spare:gpt-4.1", foo=1, bar=2).headers["x-patchbay-attempts"] == "1"


def test_what_is_refused_again_is_passed_on_and_not_learnt(lab: RoutesLab) -> None:
    lab.upstreams["spare"].script([error("Unknown parameter: 'baz'.")] * 3)
    answer = lab.ask("spare:tiny", baz=1)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (400, "2")
    assert answer.json()["error"]["message"] == "Unknown parameter: 'baz'."
    lab.upstreams["spare"].reset()
    assert lab.ask("spare:tiny", baz=1).headers["x-patchbay-mutations"] == "$.model=prefix"
    assert lab.last_sent("spare")["baz"] == 1


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "temperature: Input should be less than or equal to 1",
        "messages: Extra inputs are not permitted",
    ],
)
def test_other_client_errors_are_passed_on_at_once(lab: RoutesLab, message: str) -> None:
    lab.upstreams["spare"].script([error(message)])
    answer = lab.ask("spare:tiny", temperature=0.2)
    assert (answer.status, answer.headers["x-patchbay-attempts"]) == (400, "1")
    assert answer.json()["error"]["message"] == message


def test_a_translated_request_learns_what_its_own_form_holds(lab: RoutesLab) -> None:
    lab.upstreams["chatty"].script([error("stream_options: Extra inputs are not permitted")])
    answer = lab.ask("chatty:llama3:8b", "messages", stream=True)
    assert (answer.status, answer.headers["x-patchbay-lane"]) == (200, "translated")
    assert "$.stream_options=quirk" in answer.headers["x-patchbay-mutations"]
    assert "stream_options" not in lab.last_sent("chatty")
    assert answer.body.count(b"message_stop") == 2


def test_under_passthrough_nothing_is_left_out_and_nothing_learnt() -> None:
    with routes_lab(PATCHBAY_PASSTHROUGH="on") as lab:
        lab.upstreams["chatty"].script([NO_TEMPERATURE])
        answer = lab.ask("chatty:gpt-4o", temperature=0.2)
        assert (answer.status, answer.headers["x-patchbay-attempts"]) == (400, "1")
        assert lab.ask("chatty:gpt-4o", temperature=0.2).status == 200
        assert lab.last_sent("chatty")["temperature"] == 0.2
        assert quirks(lab) == set()
