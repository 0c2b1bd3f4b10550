"""The translated lane through a running server: said in headers, recorded, kept awake, and part of failover."""

from __future__ import annotations

import json
import socket

import pytest

from tests.proxyapp.conftest import Lab
from tests.proxyapp.test_streams import raw_post
from tests.records import recorded

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"


def body_for(lab: Lab, path: str, model: str, **fields: object) -> dict[str, object]:
    if path == MESSAGES:
        return lab.messages(model, **fields)
    if path == RESPONSES:
        return {"model": model, "input": "ping", **fields}
    return lab.chat(model, **fields)


@pytest.mark.parametrize(
    ("path", "model", "upstream_path"),
    [
        (MESSAGES, "gpt-4o", CHAT),
        (CHAT, "claude-opus-4-8", MESSAGES),
        (RESPONSES, "claude-opus-4-8", MESSAGES),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_every_client_reaches_the_other_protocol(
    lab: Lab, path: str, model: str, upstream_path: str, stream: bool
) -> None:
    answer = lab.patchbay.post(path, body_for(lab, path, model, stream=stream))
    entry = lab.upstream.wait_for(lambda entry: entry.completed)
    assert (answer.status, entry.path) == (200, upstream_path)
    assert answer.headers["x-patchbay-lane"] == "translated"
    assert b"You said: ping" in answer.body or stream
    told = recorded(lab.patchbay, answer, "lane", "usage_source", "outcome")
    assert told == ("translated", "reported", "ok")


def test_what_cannot_be_carried_is_named(lab: Lab) -> None:
    answer = lab.patchbay.post(CHAT, lab.chat("claude-opus-4-8", seed=7, logit_bias={"1": 2}))
    assert answer.status == 200
    lost = answer.headers["x-patchbay-lost"].split(", ")
    assert {"$.seed", "$.logit_bias"} <= set(lost)


def test_what_would_change_the_result_is_refused_by_name(lab: Lab) -> None:
    answer = lab.patchbay.post(CHAT, lab.chat("claude-opus-4-8", n=2))
    assert (answer.status, answer.json()["error"]["param"]) == (400, "n")
    assert lab.upstream.journal.entries == []


def test_the_caller_s_headers_of_the_other_protocol_stay_here(lab: Lab) -> None:
    lab.patchbay.post(
        MESSAGES, lab.messages("gpt-4o"), {"anthropic-beta": "x", "anthropic-version": "2023-06-01"}
    )
    sent = dict(lab.upstream.wait_for(lambda entry: entry.completed).headers)
    assert b"anthropic-beta" not in sent
    assert sent[b"authorization"].startswith(b"Bearer sk-real-key-of-openai")


@pytest.mark.parametrize(("status", "told"), [(429, 429), (529, 503), (500, 500), (400, 400), (404, 404)])
def test_errors_keep_their_meaning_in_the_client_s_shape(lab: Lab, status: int, told: int) -> None:
    lab.upstream.script([f"status={status},ra=30"] * 3)
    answer = lab.patchbay.post(CHAT, lab.chat("claude-opus-4-8"))
    assert answer.status == told
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers.get("retry-after") == "30" or status != 429


@pytest.mark.parametrize(
    ("path", "model"), [(MESSAGES, "gpt-4o"), (CHAT, "claude-x"), (RESPONSES, "claude-x")]
)
def test_a_cut_stream_ends_with_the_client_s_own_error_event(lab: Lab, path: str, model: str) -> None:
    lab.upstream.script(["cut@5"] * 3)
    answer = lab.patchbay.post(path, body_for(lab, path, model, stream=True))
    assert answer.status == 200
    assert b'"error"' in answer.body
    assert not any(mark in answer.body for mark in (b"[DONE]", b"message_stop", b"response.completed"))
    assert recorded(lab.patchbay, answer, "outcome") == ("truncated",)


def test_a_route_falls_back_across_protocols(lab: Lab) -> None:
    if "mixed" not in lab.patchbay.manage("routes", "list").stdout:
        lab.patchbay.manage("routes", "add", "mixed", "anthropic:claude-opus-4-8", "solo:llama")
    lab.upstream.script(["status=429,ra=60", "ok"])
    answer = lab.patchbay.post(MESSAGES, lab.messages("mixed"))
    assert (answer.status, answer.json()["type"]) == (200, "message")
    assert answer.headers["x-patchbay-fallback"] == "mixed -> solo:llama"
    assert answer.headers["x-patchbay-lane"] == "translated"


def test_garbage_from_upstream_is_a_502_in_the_client_s_shape(lab: Lab) -> None:
    lab.upstream.script(["wrong-type"] * 3)
    answer = lab.patchbay.post(MESSAGES, lab.messages("solo:m"))
    assert (answer.status, answer.json()["type"]) == (502, "error")


def test_a_count_is_estimated_and_marked(lab: Lab) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 3500}]}
    answer = lab.patchbay.post("/v1/messages/count_tokens", body)
    assert answer.headers["x-patchbay-estimated"] == "input_tokens"
    assert 700 < answer.json()["input_tokens"] < 1500


def test_events_are_translated_one_by_one(lab: Lab) -> None:
    lab.upstream.script(["events=3,stall@3"])
    with raw_post(lab, MESSAGES, lab.messages("solo:m", stream=True)) as client:
        assert isinstance(client, socket.socket)
        got = b""
        while got.count(b"text_delta") < 2:
            got += client.recv(65536)
    assert b"message_stop" not in got


def test_an_earlier_response_is_continued(lab: Lab) -> None:
    first = lab.patchbay.post(RESPONSES, body_for(lab, RESPONSES, "claude-x"))
    again = {"model": "claude-x", "input": "and now?", "previous_response_id": first.json()["id"]}
    assert lab.patchbay.post(RESPONSES, again).status == 200
    sent = json.loads(lab.upstream.journal.entries[-1].body)
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    gone = lab.patchbay.post(RESPONSES, {**again, "previous_response_id": "resp_nix"})
    assert (gone.status, gone.json()["error"]["code"]) == (400, "previous_response_not_found")
