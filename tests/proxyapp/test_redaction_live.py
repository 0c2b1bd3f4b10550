"""Redaction over TCP: what the provider receives, and what the client gets back."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from backends.wire.kinds import Kind, carrier
from tests.backends.wire.redacting import CANARIES, decoded
from tests.patchbay import Answer
from tests.proxyapp.redaction_lab import (
    CLOUDS,
    PATHS,
    PLACEHOLDER,
    RedactionLab,
    arguments_of,
    calling,
    redaction_lab,
    request_body,
    saying,
    text_of,
    tool_of,
)
from tests.proxyapp.routes_lab import error, eventually

MAIL = CANARIES[0]
ALL = " | ".join(CANARIES)
SPOKEN = {"claude": ["messages"], "gpt": ["chat"], "resp": ["chat", "responses"]}
LANES = [(kind, cloud) for kind in PATHS for cloud in CLOUDS]
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def servers() -> Iterator[RedactionLab]:
    with redaction_lab() as running:
        yield running


@pytest.fixture
def lab(servers: RedactionLab) -> Iterator[RedactionLab]:
    for upstream in (servers.cloud, servers.house):
        upstream.reset()
    yield servers
    if any(entry.script not in {"", "ok"} for entry in servers.cloud.journal.entries):
        servers.patchbay.resume_all()


def assert_nothing_left(bodies: list[bytes]) -> None:
    assert bodies
    for body in bodies:
        said = decoded(body)
        assert not [canary for canary in CANARIES if canary in said]
        assert PLACEHOLDER.search(said)


# --- every lane ---------------------------------------------------------------------------------------------------


@EITHER
@pytest.mark.parametrize(("kind", "cloud"), LANES)
def test_no_canary_leaves_and_the_answer_has_them_all(
    lab: RedactionLab, kind: str, cloud: str, stream: bool
) -> None:
    answer = lab.ask(kind, f"{cloud}:m", ALL, stream=stream)
    assert answer.headers["x-patchbay-lane"] == ("direct" if kind in SPOKEN[cloud] else "translated")
    assert_nothing_left(lab.sent())
    assert text_of(kind, answer, stream=stream).endswith(f"You said: {ALL}")
    assert "=EMAIL" in answer.headers["x-patchbay-mutations"]


@EITHER
@pytest.mark.parametrize(("kind", "cloud"), LANES)
def test_tool_arguments_are_restored_wherever_the_network_cuts_them(
    lab: RedactionLab, kind: str, cloud: str, stream: bool
) -> None:
    awkward = "pass" + 'word="hunter2\\u00e9"x9'
    placeholder = lab.placeholder(MAIL)
    given = {"to": placeholder, "cc": [f"<{placeholder}>", "PB_EMAIL", "PB_"], placeholder: awkward}
    answer = lab.ask(
        kind, f"{cloud}:m", MAIL, script=f"{calling(given)},drip=7:0ms", stream=stream, tools=[tool_of(kind)]
    )
    assert arguments_of(kind, answer, stream=stream) == {
        "to": MAIL,
        "cc": [f"<{MAIL}>", "PB_EMAIL", "PB_"],
        MAIL: awkward,
    }


def test_a_stream_has_the_bytes_that_it_would_have_had(lab: RedactionLab) -> None:
    """The same words from a backend that redacts and from one that does not: only ids and times differ."""
    script = f"{saying(f'Write to {lab.placeholder(MAIL)} soon.')},usage=none"
    hidden = lab.ask("chat", "gpt:m", MAIL, script=script, stream=True)
    plain = lab.ask(
        "chat", "open:m", MAIL, script=f"{saying(f'Write to {MAIL} soon.')},usage=none", stream=True
    )
    assert MAIL.encode() in hidden.body
    assert _without_ids(hidden.body) == _without_ids(plain.body)


def _without_ids(stream: bytes) -> list[Any]:
    events = []
    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            events.append(event | {"id": "", "created": 0})
        else:
            events.append(line)
    return events


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "gpt:m", "input": [ALL, "plain"]}),
        ("/v1/completions", {"model": "gpt:m", "prompt": ALL, "suffix": ALL}),
        ("/v1/messages/count_tokens", {"model": "claude:m", "messages": [{"role": "user", "content": ALL}]}),
    ],
)
def test_no_canary_leaves_in_other_operations(lab: RedactionLab, path: str, body: dict[str, Any]) -> None:
    assert lab.patchbay.post(path, body).status == 200
    assert_nothing_left(lab.sent())


@pytest.mark.parametrize("cloud", CLOUDS)
def test_no_canary_leaves_in_a_conversation_with_tools(lab: RedactionLab, cloud: str) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "send", "input": {"to": MAIL, "text": ALL}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": ALL}]}
    body = request_body("messages", f"{cloud}:m", ALL, system=ALL, tools=[tool_of("messages")])
    body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert lab.patchbay.post(PATHS["messages"], body).status == 200
    assert_nothing_left(lab.sent())


def test_a_large_body_is_redacted_too(lab: RedactionLab) -> None:
    text = "nothing to see here. " * 20_000 + ALL
    answer = lab.ask("messages", "claude:m", text)
    assert answer.status == 200
    assert_nothing_left(lab.sent())


@pytest.mark.parametrize("kind", PATHS)
def test_the_next_turn_begins_with_the_bytes_of_this_one(lab: RedactionLab, kind: str) -> None:
    """Prompt caches compare beginnings: what a turn sent once, the next one sends again."""
    cloud = next(name for name, spoken in CLOUDS.items() if spoken == kind)
    first = request_body(kind, f"{cloud}:m", f"I am {MAIL}. {ALL}")
    turns = "input" if kind == "responses" else "messages"
    second = {**first, turns: [*first[turns], {"role": "assistant", "content": f"Hello {MAIL}."}]}
    second[turns].append({"role": "user", "content": f"And {CANARIES[1]}?"})
    for body in (first, second):
        ordered = {"model": body["model"], "max_tokens": 2000, turns: body[turns]}
        assert lab.patchbay.post(PATHS[kind], ordered).status == 200
    one, two = lab.sent()
    end_of_the_turn = one.rindex(b"}", 0, one.rindex(b"]")) + 1
    assert two[:end_of_the_turn] == one[:end_of_the_turn]
    assert_nothing_left([one, two])


# --- who gets it raw ----------------------------------------------------------------------------------------------


def test_a_model_server_in_the_house_and_a_backend_without_the_flag_get_it_raw(lab: RedactionLab) -> None:
    for model, upstream in (("ollama:m", lab.house), ("open:m", lab.cloud)):
        answer = lab.ask("chat", model, ALL)
        assert answer.status == 200
        assert json.loads(lab.sent(upstream)[-1])["messages"][0]["content"] == ALL
        assert "EMAIL" not in answer.headers.get("x-patchbay-mutations", "")


def test_a_fallback_in_the_house_gets_raw_what_the_cloud_got_redacted(lab: RedactionLab) -> None:
    lab.desk.do({"do": "route", "pattern": "chain", "targets": ["claude:m", "ollama:m"]})
    lab.desk.settle()
    lab.cloud.script(["status=500"] * 2)
    answer = lab.ask("messages", "chain", ALL)
    assert answer.headers["x-patchbay-backend"] == "ollama"
    assert_nothing_left(lab.sent())
    assert ALL in decoded(lab.sent(lab.house)[-1])
    assert text_of("messages", answer, stream=False).endswith(ALL)


# --- errors -------------------------------------------------------------------------------------------------------


@EITHER
@pytest.mark.parametrize("kind", PATHS)
def test_an_error_speaks_of_the_value_to_the_client_and_of_the_placeholder_in_the_history(
    lab: RedactionLab, kind: str, stream: bool
) -> None:
    complaint = f"I will not write to {lab.placeholder(MAIL)}."
    answers = [lab.ask(kind, f"{cloud}:m", MAIL, script=error(complaint), stream=stream) for cloud in CLOUDS]
    for answer in answers:
        assert answer.status == 400
        assert f"I will not write to {MAIL}." in decoded(answer.body)
    assert_history_holds(lab, answers, complaint)


@pytest.mark.parametrize("script", ["error-first=api_error", "error@3:api_error"])
@pytest.mark.parametrize("kind", PATHS)
def test_so_does_an_error_in_a_stream(lab: RedactionLab, kind: str, script: str) -> None:
    complaint = f"I will not write to {lab.placeholder(MAIL)}."
    words = error(complaint).partition(",")[2]
    answers = []
    for cloud in CLOUDS:
        lab.cloud.reset()
        lab.cloud.script([f"events=9,{script},{words}"] * 3)  # for every attempt
        answers.append(lab.ask(kind, f"{cloud}:m", MAIL, stream=True))
        assert f"I will not write to {MAIL}.".encode() in answers[-1].body
    assert_history_holds(lab, answers, complaint)


def assert_history_holds(lab: RedactionLab, answers: list[Answer], complaint: str) -> None:
    names = [answer.headers["x-patchbay-request-id"] for answer in answers]

    def rows() -> list[Any]:
        return [
            row for found in lab.desk.do(*({"do": "rows", "id": name} for name in names)) for row in found
        ]

    eventually(lambda: len(rows()) == len(names))
    assert all(complaint in row["error"] for row in rows())
    assert MAIL not in json.dumps(rows())


# --- streams that end early ---------------------------------------------------------------------------------------


OPENING = {Kind.MESSAGES: 3, Kind.CHAT: 1, Kind.RESPONSES: 4}  # events before the first word


@pytest.mark.parametrize("kind", PATHS)
def test_a_stream_that_is_cut_gives_back_what_it_held_before_its_error(lab: RedactionLab, kind: str) -> None:
    words = saying("It begins with PB_EM and then some more")
    for cloud in CLOUDS:
        upstream = carrier(Kind(kind), frozenset(map(Kind, SPOKEN[cloud])))
        assert upstream
        lab.cloud.reset()
        lab.cloud.script([f"{words},cut@{OPENING[upstream] + 4}"] * 3)
        answer = lab.ask(kind, f"{cloud}:m", MAIL, stream=True)
        assert answer.status == 200
        assert answer.body.index(b"PB_EM") < answer.body.index(b"stopped early")
        assert b"and then" not in answer.body


def test_so_does_one_that_a_shutdown_ends_and_under_passthrough_everything_goes_raw() -> None:
    """One server with two lives, since each costs a second."""
    with redaction_lab(PATCHBAY_DRAIN_SECONDS="0") as lab:
        lab.cloud.script([f"{saying('It begins with PB_EM and then')},stall@5"])
        client = http.client.HTTPConnection("127.0.0.1", lab.patchbay.port, timeout=30)
        body = json.dumps(request_body("chat", "gpt:m", MAIL, stream=True))
        client.request("POST", PATHS["chat"], body, {"content-type": "application/json"})
        response, told = client.getresponse(), b""
        while b'"content":" "' not in told:  # the space before the word that is held
            told += response.read1()
        assert b"PB_EM" not in told
        lab.patchbay.stop()
        told = response.read()
        client.close()
        assert told.index(b"PB_EM") < told.index(b"shutting down")
        lab.patchbay.flags = ("--passthrough",)
        lab.patchbay.start()
        lab.cloud.reset()
        assert lab.ask("chat", "gpt:m", ALL).status == 200
        assert ALL in decoded(lab.sent()[-1])
        assert "nothing is redacted under --passthrough" in lab.patchbay.log


# --- rules --------------------------------------------------------------------------------------------------------


def test_a_rule_counts_within_a_second_of_its_change(lab: RedactionLab) -> None:
    def sent() -> str:
        lab.ask("chat", "gpt:m", "the tickets ACME-123456")
        return decoded(lab.sent()[-1])

    assert "ACME-123456" in sent()
    for order, is_hidden in (
        ({"do": "rule", "name": "ticket", "label": "TICKET", "pattern": "ACME-[0-9]+"}, True),
        ({"do": "rule_switch", "name": "ticket", "on": False}, False),
        ({"do": "rule_switch", "name": "ticket", "on": True}, True),
        ({"do": "rule_remove", "name": "ticket"}, False),
    ):
        lab.desk.do(order)
        changed = time.monotonic()
        while ("PB_TICKET_" in sent()) is not is_hidden:
            assert time.monotonic() - changed < 5  # one second, and what a busy machine may add


def test_built_in_rules_can_be_turned_off_and_others_on(lab: RedactionLab) -> None:
    text = f"{MAIL} from 203.0.113.7"
    lab.desk.do(
        {"do": "rule_switch", "name": "email-address", "on": False},
        {"do": "rule_switch", "name": "ipv4-address", "on": True},
    )
    lab.desk.settle()
    lab.ask("chat", "gpt:m", text)
    lab.desk.do(
        {"do": "rule_switch", "name": "email-address", "on": True},
        {"do": "rule_switch", "name": "ipv4-address", "on": False},
    )
    lab.desk.settle()
    lab.ask("chat", "gpt:m", text)
    first, second = map(decoded, lab.sent())
    assert (MAIL in first, "203.0.113.7" in first) == (True, False)
    assert (MAIL in second, "203.0.113.7" in second) == (False, True)


@pytest.mark.parametrize("pattern", ["(", ""], ids=["no-pattern", "unknown-built-in"])
def test_while_a_rule_cannot_be_used_nothing_goes_to_the_cloud(lab: RedactionLab, pattern: str) -> None:
    lab.desk.do({"do": "broken_rule", "name": "broken", "pattern": pattern})
    lab.desk.settle()
    try:
        answers = [lab.ask(kind, f"{cloud}:m", ALL) for kind, cloud in LANES]
        assert {answer.status for answer in answers} == {503}
        told = answers[0].json()["error"]["message"]
        assert "the redaction rule broken cannot be used" in told
        assert "redaction list" in told
        assert not lab.sent()
        assert lab.ask("chat", "ollama:m", ALL).status == 200  # it needs no rules
        assert lab.ask("chat", "open:m", ALL).status == 200
        assert "claude, gpt, resp get no requests: the redaction rule broken" in lab.patchbay.log
    finally:
        lab.desk.do({"do": "rule_remove", "name": "broken"})
        lab.desk.settle()
    assert lab.ask("chat", "gpt:m", ALL).status == 200


def test_the_list_of_what_was_replaced_is_bounded_and_fits_a_header(lab: RedactionLab) -> None:
    turns = [{"role": "user", "content": [{"type": "text", "text": f"a{n}@example.com"}]} for n in range(30)]
    strange = {"type": "unheard of", "a,b\r\nx: y é " + "k" * 300: MAIL}
    turns[0]["content"].insert(0, strange)  # type: ignore[attr-defined]
    answer = lab.patchbay.post(PATHS["chat"], {"model": "gpt:m", "messages": turns})
    listed = answer.headers["x-patchbay-mutations"].split(", ")
    places = [mutation for mutation in listed if mutation.endswith("=EMAIL")]
    assert len(places) == 20
    assert places[1] == "$.messages[0].content[1].text=EMAIL"
    assert "redacted=11-more-places" in listed
    assert max(map(len, listed)) < 140
    assert "x" not in answer.headers
