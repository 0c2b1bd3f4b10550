"""The headers that users read through `with_raw_response`."""

from __future__ import annotations

from anthropic import Anthropic
from openai import OpenAI

from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, scripted
from tests.servers import SimulatorThread

TOLD = ("request-id", "backend", "account", "model", "lane", "attempts", "overhead-ms")


def test_an_anthropic_answer_says_what_happened(claude: Anthropic, upstream: SimulatorThread) -> None:
    raw = claude.messages.with_raw_response.create(model=CLAUDE, max_tokens=64, messages=ASK)
    headers = raw.headers
    assert all(headers[f"x-patchbay-{name}"] for name in TOLD)
    assert (headers["x-patchbay-backend"], headers["x-patchbay-model"]) == ("anthropic", CLAUDE)
    assert (headers["x-patchbay-lane"], headers["x-patchbay-attempts"]) == ("direct", "1")
    assert "x-patchbay-mutations" not in headers
    assert headers["anthropic-ratelimit-requests-limit"] == "1000"
    assert headers["request-id"] == upstream.journal.of(path="/v1/messages")[0].request_id
    assert raw.parse().type == "message"


def test_an_openai_answer_says_what_happened(gpt: OpenAI) -> None:
    raw = gpt.chat.completions.with_raw_response.create(model=f"openai:{GPT}", messages=ASK)
    headers = raw.headers
    assert all(headers[f"x-patchbay-{name}"] for name in TOLD)
    assert headers["x-patchbay-mutations"] == "$.model=prefix"
    assert headers["x-patchbay-model"] == GPT
    assert headers["x-ratelimit-remaining-requests"] == "999"
    assert raw.parse().model == GPT


def test_a_stream_says_it_before_its_first_event(claude: Anthropic, gpt: OpenAI) -> None:
    with claude.messages.with_streaming_response.create(
        model=scripted(CLAUDE, "rl=unified", "u5h=0.4"), max_tokens=64, messages=ASK, stream=True
    ) as messages:
        assert messages.headers["x-patchbay-backend"] == "anthropic"
        assert messages.headers["anthropic-ratelimit-unified-5h-utilization"] == "0.4"
        assert messages.headers["content-type"].startswith("text/event-stream")
    with gpt.responses.with_streaming_response.create(model=GPT, input="ping", stream=True) as responses:
        assert responses.headers["x-patchbay-model"] == GPT
        assert responses.headers["x-ratelimit-limit-tokens"] == "400000"


def test_what_names_the_operators_organisation_stays_here(claude: Anthropic, gpt: OpenAI) -> None:
    one = claude.messages.with_raw_response.create(model=CLAUDE, max_tokens=64, messages=ASK)
    other = gpt.chat.completions.with_raw_response.create(model=GPT, messages=ASK)
    assert "anthropic-organization-id" not in one.headers
    assert "openai-organization" not in other.headers


def test_the_sdks_own_request_headers_go_up(
    claude: Anthropic, gpt: OpenAI, upstream: SimulatorThread
) -> None:
    claude.messages.create(
        model=CLAUDE, max_tokens=64, messages=ASK, extra_headers={"anthropic-beta": "one-2026-01-01,two"}
    )
    gpt.chat.completions.create(model=GPT, messages=ASK, extra_headers={"openai-project": "proj_1"})
    (messages,) = upstream.journal.of(path="/v1/messages")
    (chat,) = upstream.journal.of(path="/v1/chat/completions")
    assert messages.header("anthropic-version") == claude.default_headers["anthropic-version"]
    assert messages.header("anthropic-beta") == "one-2026-01-01,two"
    assert (messages.header("user-agent") or "").startswith("Anthropic/Python")
    assert messages.header("x-stainless-lang") == "python"
    assert chat.header("openai-project") == "proj_1"
    assert (chat.header("user-agent") or "").startswith("OpenAI/Python")
