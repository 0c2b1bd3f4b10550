"""A fresh machine without any key: the built-in simulated model answers both SDKs at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.patchbay import Patchbay
from tests.proxyapp.sdk.clients import ASK, anthropic_client, openai_client


@pytest.fixture(scope="module")
def fresh() -> Iterator[Patchbay]:
    """A Patchbay on an empty home."""
    with Patchbay(is_blank=True) as running:
        yield running


@pytest.mark.parametrize("model", ["demo", "demo-claude", "demo-gpt"])
def test_the_demo_model_answers_in_every_protocol(fresh: Patchbay, model: str) -> None:
    with anthropic_client(fresh) as claude, openai_client(fresh) as gpt:
        with claude.messages.stream(model=model, max_tokens=256, messages=ASK) as stream:
            said = "".join(stream.text_stream)
        completion = gpt.chat.completions.create(model=model, messages=ASK)
        response = gpt.responses.create(model=model, input="ping")
    for text in (said, completion.choices[0].message.content or "", response.output_text):
        assert "simulated" in text
        assert text.endswith("You said: ping")


def test_the_demo_models_are_listed(fresh: Patchbay) -> None:
    with openai_client(fresh) as gpt:
        assert {model.id for model in gpt.models.list()} == {"demo", "demo-claude", "demo-gpt"}
