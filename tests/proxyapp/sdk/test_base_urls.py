"""The base URLs that people set, and the paths that SDKs make of them."""

from __future__ import annotations

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import ASK, CLAUDE, GPT, openai_client
from tests.servers import SimulatorThread


def test_the_openai_sdk_works_without_a_version_in_its_base_url(
    patchbay: Patchbay, upstream: SimulatorThread
) -> None:
    with openai_client(patchbay).with_options(base_url=patchbay.url) as client:
        assert client.chat.completions.create(model=GPT, messages=ASK).choices
        assert client.responses.create(model=GPT, input="ping").output_text
        assert GPT in [model.id for model in client.models.list()]
    assert {entry.path for entry in upstream.journal if entry.method == "POST"} == {
        "/v1/chat/completions",
        "/v1/responses",
    }


def test_the_anthropic_sdks_beta_calls_keep_their_query_and_headers(
    claude: Anthropic, upstream: SimulatorThread
) -> None:
    message = claude.beta.messages.create(
        model=CLAUDE,
        max_tokens=64,
        messages=ASK,
        betas=["some-feature-2026-01-01"],
        extra_query={"beta": "true"},
    )
    (entry,) = upstream.journal.of(path="/v1/messages")
    assert message.stop_reason == "end_turn"
    assert entry.query == "beta=true"
    assert entry.header("anthropic-beta") == "some-feature-2026-01-01"


def test_what_patchbay_does_not_serve_is_not_found_and_never_forwarded(
    claude: Anthropic, gpt: OpenAI, upstream: SimulatorThread
) -> None:
    with pytest.raises(anthropic.NotFoundError) as one:
        claude.messages.batches.list()
    with pytest.raises(openai.NotFoundError):
        gpt.files.list()
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve("resp_1")
    assert one.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert not upstream.journal.entries
