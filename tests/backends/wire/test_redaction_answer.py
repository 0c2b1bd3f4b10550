"""Whole answers get the values back, escaped for the place where they stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from backends.wire.conversation import Reply
from backends.wire.kinds import Kind
from backends.wire.redaction import Vault, redact_request, restore_body
from tests.backends.wire.pairs import PACKAGES, ask, every
from tests.backends.wire.redacting import KEY, RULES
from tests.backends.wire.redacting_answers import MAIL, QUOTED, VALUES, VAULT, written

some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@every
@some
@given(replies=written())
def test_a_whole_answer_has_the_bytes_that_it_would_have_had(
    protocol: str, replies: tuple[Reply, Reply]
) -> None:
    answer, truth = (PACKAGES[protocol].build_response(reply, ask(protocol)) for reply in replies)
    if protocol == "anthropic":  # a tool's input is no JSON text there, so it is spelled as the model did
        assert json.loads(restore_body(answer, VAULT)) == json.loads(truth)
    else:
        assert restore_body(answer, VAULT) == truth


def test_an_answer_without_placeholders_is_the_same_object() -> None:
    body = b'{"content": [{"type": "text", "text": "PB_EMAIL_zzzzzzzzzz"}]}'
    assert restore_body(body, VAULT) is body
    assert restore_body(body, Vault(KEY)) is body
    junk = f"<html>{MAIL}".encode()
    assert restore_body(junk, VAULT) is junk


def test_signatures_and_signed_reasoning_are_left_alone() -> None:
    told = {
        "content": [
            {"type": "thinking", "thinking": MAIL, "signature": MAIL},
            {"type": "text", "text": MAIL},
            {"type": "tool_use", "id": MAIL, "name": MAIL, "input": {MAIL: QUOTED}},
        ],
        "output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": MAIL}]}],
        "error": {"message": f"{MAIL} is wrong"},
    }
    found = json.loads(restore_body(json.dumps(told).encode(), VAULT))
    assert found["content"][0] == told["content"][0]
    assert found["content"][1]["text"] == VALUES[0]
    assert found["content"][2] == {
        "type": "tool_use",
        "id": MAIL,
        "name": MAIL,
        "input": {VALUES[0]: VALUES[1]},
    }
    assert found["output"] == told["output"]
    assert found["error"]["message"] == f"{VALUES[0]} is wrong"


@pytest.mark.parametrize(
    ("kind", "format_"),
    [
        (Kind.MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
        (Kind.CHAT, {"response_format": {"type": "json_object"}}),
        (Kind.RESPONSES, {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}}),
    ],
)
def test_a_text_that_was_asked_for_as_json_stays_json(kind: Kind, format_: dict[str, Any]) -> None:
    secret = 'password="correct\thorse-9"'
    field = "input" if kind is Kind.RESPONSES else "messages"
    key = "-----BEGIN " + "PRIVATE KEY-----\nMIIB\n-----END " + "PRIVATE KEY-----"
    vault = Vault(KEY)
    asked = {"model": "m", field: [{"role": "user", "content": f"{secret} {key}"}], **format_}
    redact_request(kind, json.dumps(asked).encode(), RULES, vault)
    placeholder = vault.placeholder("KEY", key.encode()).decode()
    answers = {
        Kind.MESSAGES: {"content": [{"type": "text", "text": json.dumps({"k": placeholder})}]},
        Kind.CHAT: {"choices": [{"message": {"content": json.dumps({"k": placeholder})}}]},
        Kind.RESPONSES: {
            "output": [{"content": [{"type": "output_text", "text": json.dumps({"k": placeholder})}]}]
        },
    }
    told = restore_body(json.dumps(answers[kind]).encode(), vault).decode()
    assert json.dumps(json.dumps({"k": key}))[1:-1] in told


def test_a_refusal_and_a_custom_tools_input_are_no_json_even_then() -> None:
    vault = Vault(KEY)
    placeholder = vault.placeholder("SECRET", VALUES[1].encode()).decode()
    vault.answers_json = True
    told = {
        "output": [
            {"content": [{"refusal": placeholder}]},
            {"type": "custom_tool_call", "input": placeholder},
        ]
    }
    refused, called = json.loads(restore_body(json.dumps(told).encode(), vault))["output"]
    assert refused["content"][0]["refusal"] == VALUES[1]
    assert called["input"] == VALUES[1]
