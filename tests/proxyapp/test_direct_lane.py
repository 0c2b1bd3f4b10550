"""The direct lane: bytes pass, the model's span is the only thing that changes, headers say what happened."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.proxyapp.conftest import Lab

ODD = (
    b'{ "messages" :[{"content":"p\\u00efng \xf0\x9f\x8e\x89", "role":"user"}],\n\t'
    b'"x_unknown":{"model":"inner","n":1.0e+2},"model": "%s" , "z":null}  '
)


def test_a_chat_request_passes_byte_for_byte(lab: Lab) -> None:
    body = ODD % b"gpt-4o"
    answer = lab.patchbay.post("/v1/chat/completions", body)
    assert answer.status == 200
    assert lab.upstream.wait_for(lambda entry: entry.completed).body == body
    assert "x-patchbay-mutations" not in answer.headers


def test_an_alias_changes_the_span_of_the_model_and_nothing_else(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/chat/completions", ODD % b"fast")
    assert lab.upstream.wait_for(lambda entry: entry.completed).body == ODD % b"gpt-4o-mini"
    assert answer.headers["x-patchbay-mutations"] == "$.model=alias"
    assert answer.headers["x-patchbay-model"] == "gpt-4o-mini"


def test_a_prefix_is_cut_from_the_body_only_in_its_first_segment(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/chat/completions", ODD % b"solo:llama3:8b")
    assert lab.upstream.wait_for(lambda entry: entry.completed).body == ODD % b"llama3:8b"
    assert answer.headers["x-patchbay-mutations"] == "$.model=prefix"
    assert answer.headers["x-patchbay-backend"] == "solo"


def test_a_family_name_goes_to_the_newest_of_the_catalog(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/messages", lab.messages("sonnet"))
    assert answer.headers["x-patchbay-model"].startswith("claude-sonnet-")
    assert answer.headers["x-patchbay-mutations"] == "$.model=family"


@pytest.mark.parametrize(
    ("path", "body", "upstream_path"),
    [
        (
            "/v1/messages",
            {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
            "/v1/messages",
        ),
        (
            "/messages",
            {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
            "/v1/messages",
        ),
        (
            "/v1/messages/count_tokens",
            {"model": "claude-x", "messages": [{"role": "user", "content": "x"}]},
            "/v1/messages/count_tokens",
        ),
        (
            "/v1/chat/completions",
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]},
            "/v1/chat/completions",
        ),
        (
            "/chat/completions",
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]},
            "/v1/chat/completions",
        ),
        ("/v1/responses", {"model": "gpt-4o", "input": "x"}, "/v1/responses"),
        ("/responses", {"model": "gpt-4o", "input": "x"}, "/v1/responses"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}, "/v1/embeddings"),
        ("/v1/completions", {"model": "gpt-4o", "prompt": "x"}, "/v1/completions"),
    ],
)
def test_every_operation_reaches_its_place_upstream(
    lab: Lab, path: str, body: object, upstream_path: str
) -> None:
    answer = lab.patchbay.post(path, body)
    entry = lab.upstream.wait_for(lambda entry: entry.completed)
    assert (answer.status, entry.path) == (200, upstream_path)
    assert answer.headers["x-patchbay-lane"] == "direct"


def test_the_query_string_goes_along_and_does_not_route(lab: Lab) -> None:
    lab.patchbay.post("/v1/messages?beta=true&x=%2F", lab.messages())
    assert lab.upstream.wait_for(lambda entry: entry.completed).target == "/v1/messages?beta=true&x=%2F"


def test_every_answer_names_what_happened(lab: Lab) -> None:
    headers = lab.patchbay.post("/v1/chat/completions", lab.chat()).headers
    assert headers["x-patchbay-request-id"].startswith("req_")
    assert headers["x-patchbay-backend"] == "openai"
    assert headers["x-patchbay-account"] in ("openai", "openai-2")
    assert (headers["x-patchbay-model"], headers["x-patchbay-attempts"]) == ("gpt-4o", "1")
    assert float(headers["x-patchbay-overhead-ms"]) >= 0
    assert headers["x-ratelimit-limit-requests"]


def test_the_account_s_key_goes_up_and_the_caller_s_does_not(lab: Lab) -> None:
    mine = {"authorization": "Bearer caller-secret", "x-api-key": "caller-secret", "cookie": "a=b"}
    lab.patchbay.post("/v1/chat/completions", lab.chat("solo:x"), mine)
    entry = lab.upstream.wait_for(lambda entry: entry.completed)
    sent = dict(entry.headers)
    assert sent[b"authorization"] == b"Bearer sk-real-key-of-solo-1"
    assert b"cookie" not in sent
    assert b"caller-secret" not in repr(entry.headers).encode()


def test_an_anthropic_key_goes_in_its_own_header_and_betas_pass(lab: Lab) -> None:
    betas = {"anthropic-version": "2026-10-21", "anthropic-beta": "x-2026-01-01,y"}
    lab.patchbay.post("/v1/messages", lab.messages(), betas)
    sent = dict(lab.upstream.wait_for(lambda entry: entry.completed).headers)
    assert sent[b"x-api-key"] == b"sk-real-key-of-anthropic-1"
    assert (sent[b"anthropic-version"], sent[b"anthropic-beta"]) == (b"2026-10-21", b"x-2026-01-01,y")
    assert sent[b"accept-encoding"] == b"identity"


def test_a_gzip_body_is_unpacked(lab: Lab) -> None:
    body = ODD % b"gpt-4o"
    answer = lab.patchbay.post("/v1/chat/completions", gzip.compress(body), {"content-encoding": "gzip"})
    assert (answer.status, lab.upstream.wait_for(lambda entry: entry.completed).body) == (200, body)


def test_what_a_backend_has_nothing_like_is_a_clear_refusal(lab: Lab) -> None:
    answer = lab.patchbay.post("/v1/embeddings", {"model": "claude-x", "input": "x"})
    assert answer.status == 400
    assert "anthropic" in answer.json()["error"]["message"]
    assert lab.upstream.journal.entries == []


def test_a_response_in_one_piece_passes_byte_for_byte(lab: Lab) -> None:
    first = lab.patchbay.post("/v1/chat/completions", lab.chat())
    assert first.headers["content-type"] == "application/json"
    assert json.loads(first.body)["choices"][0]["message"]["content"]
