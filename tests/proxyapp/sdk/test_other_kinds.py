"""Embeddings, legacy completions and the model list through a running Patchbay, with both SDKs."""

from __future__ import annotations

import base64
import math

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.proxyapp.sdk.clients import CLAUDE, GPT
from tests.servers import SimulatorThread

EMBEDDER = "text-embedding-3-small"
INSTRUCT = "gpt-3.5-turbo-instruct"


def test_float_and_base64_embeddings_are_the_same_vectors(gpt: OpenAI, upstream: SimulatorThread) -> None:
    packed = gpt.embeddings.create(model=EMBEDDER, input=["one", "two"])  # the SDK asks for base64 by itself
    plain = gpt.embeddings.create(model=EMBEDDER, input=["one", "two"], encoding_format="float")
    asked = [entry.json()["encoding_format"] for entry in upstream.journal.of(path="/v1/embeddings")]
    assert asked == ["base64", "float"]
    assert [len(item.embedding) for item in plain.data] == [1536, 1536]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.index == other.index
        assert all(
            math.isclose(a, b, abs_tol=1e-6) for a, b in zip(one.embedding, other.embedding, strict=True)
        )


def test_base64_embeddings_stay_text_when_asked_for_by_name(gpt: OpenAI) -> None:
    answer = gpt.embeddings.create(model=EMBEDDER, input="one", encoding_format="base64", dimensions=8)
    written: object = answer.data[0].embedding  # the SDK's type says list[float], whatever was asked for
    assert isinstance(written, str)
    assert len(base64.b64decode(written)) == 8 * 4
    assert answer.usage.prompt_tokens > 0


async def test_the_async_client_embeds(async_gpt: AsyncOpenAI) -> None:
    answer = await async_gpt.embeddings.create(model=EMBEDDER, input="one", dimensions=8)
    assert len(answer.data[0].embedding) == 8


def test_legacy_completions_add_up_in_a_stream(gpt: OpenAI) -> None:
    plain = gpt.completions.create(model=INSTRUCT, prompt="ping", max_tokens=200)
    with gpt.completions.create(model=INSTRUCT, prompt="ping", max_tokens=200, stream=True) as stream:
        said = "".join(chunk.choices[0].text for chunk in stream)
    assert said == plain.choices[0].text != ""
    assert plain.choices[0].finish_reason == "stop"


def test_both_sdks_list_the_models_of_every_backend_once(claude: Anthropic, gpt: OpenAI) -> None:
    in_openai = [model.id for model in gpt.models.list()]
    in_anthropic = [model.id for model in claude.models.list()]
    assert {CLAUDE, GPT, EMBEDDER} <= set(in_openai)
    assert len(in_openai) == len(set(in_openai))
    assert in_anthropic == in_openai


@pytest.mark.parametrize("limit", [1, 1000])
def test_the_anthropic_pager_comes_to_an_end(claude: Anthropic, limit: int) -> None:
    pages = list(claude.models.list(limit=limit).iter_pages())
    listed = [model.id for page in pages for model in page.data]
    assert not pages[-1].has_next_page()
    assert len(listed) == len(set(listed))
    assert CLAUDE in listed


def test_one_model_is_described_to_both_sdks(claude: Anthropic, gpt: OpenAI) -> None:
    described, known = claude.models.retrieve(CLAUDE), gpt.models.retrieve(CLAUDE)
    assert (described.id, described.type) == (CLAUDE, "model")
    assert described.display_name
    assert described.created_at.year == 2026
    assert (known.id, known.object) == (CLAUDE, "model")
    assert known.created == int(described.created_at.timestamp())
    assert known.owned_by


def test_an_unlisted_model_is_not_found_in_each_sdks_own_way(claude: Anthropic, gpt: OpenAI) -> None:
    with pytest.raises(anthropic.NotFoundError) as one:
        claude.models.retrieve("claude-opus-4-9")
    assert one.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    with pytest.raises(openai.NotFoundError) as other:
        gpt.models.retrieve("gpt-4p")
    assert other.value.code == "model_not_found"


async def test_the_async_clients_list_models(async_claude: AsyncAnthropic, async_gpt: AsyncOpenAI) -> None:
    in_anthropic = [model.id async for model in async_claude.models.list(limit=1000)]
    in_openai = [model.id async for model in async_gpt.models.list()]
    assert in_anthropic == in_openai
    assert GPT in in_openai
