"""Model lists in every shape that providers send, and what is kept of them."""

from __future__ import annotations

import json

import pytest

from backends.catalog import CatalogError, parse_models, store_models
from backends.config import CatalogEntry
from backends.models import ConfigVersion
from backends.services import NewBackend, backend_add
from backends.snapshot import load_routing


def parsed(*rows: dict[str, object]) -> list[CatalogEntry]:
    return parse_models(json.dumps({"object": "list", "data": rows}).encode())


@pytest.mark.parametrize(
    ("row", "context"),
    [
        ({"context_length": 131_072}, 131_072),  # OpenRouter
        ({"context_window": 8192}, 8192),  # Groq
        ({"max_model_len": 4096}, 4096),  # vLLM
        ({"max_input_tokens": 200_000, "max_tokens": 64_000}, 200_000),  # Anthropic
        ({"max_context_length": 32_768}, 32_768),  # Mistral
        ({"meta": {"n_ctx": 16_384, "n_ctx_train": 262_144}}, 16_384),  # llama.cpp
        ({"meta": {"n_ctx_train": 262_144}}, None),
        ({"context_length": "large"}, None),
        ({"context_length": True}, None),
        ({"context_length": -1}, None),
        ({"context_length": 10**15}, None),
        ({}, None),
    ],
)
def test_the_context_is_read_where_the_list_tells_it(row: dict[str, object], context: int | None) -> None:
    [entry] = parsed({"id": "m", **row})
    assert entry.context == context


def test_variants_of_a_name_stay_as_they_are() -> None:
    names = ["claude-opus-4-8[1m]", "openai/gpt-oss-120b:free", "llama3:8b", "models/gemini-2.5-pro"]
    assert [entry.model for entry in parsed(*({"id": name} for name in names))] == [
        *names[:3],
        "gemini-2.5-pro",
    ]


def test_what_is_no_list_is_refused_with_the_cure() -> None:
    for body in (b"<html>", b'{"models": 3}', b'"x"'):
        with pytest.raises(CatalogError, match="base URL"):
            parse_models(body)


@pytest.mark.django_db
def test_the_context_survives_in_the_database_and_becomes_a_capability() -> None:
    backend_add(NewBackend("vllm"))
    before = ConfigVersion.current()
    store_models("vllm", [CatalogEntry("Qwen/Qwen3-32B", context=40_960), CatalogEntry("other")])
    assert ConfigVersion.current() > before
    backend = load_routing().backends["vllm"]
    assert [(entry.model, entry.context) for entry in backend.offered()] == [
        ("Qwen/Qwen3-32B", 40_960),
        ("other", None),
    ]
    assert backend.capabilities("qwen/qwen3-32b").context == 40_960
    assert backend.capabilities("other").context is None
