"""Costs: worked out by hand from the providers' public price pages, and beside the package's own sum."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import calc_price
from genai_prices.data import providers
from genai_prices.types import Usage as PackageUsage
from hypothesis import given
from hypothesis import strategies as st

from analytics.pricing import MOST, PROVIDERS, cost_of, estimate_cost
from backends.presets import PRESETS
from backends.wire.usage import Usage
from tests.patchbay import PROJECT

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ON_THIS_MACHINE = {"ollama", "lmstudio", "vllm", "llamacpp", "litellm"}


def usage(
    fresh: int = 0,
    read: int = 0,
    w5m: int = 0,
    w1h: int = 0,
    out: int = 0,
    think: int = 0,
    raw: bytes = b"{}",
) -> Usage:
    return Usage(fresh, read, w5m, w1h, out, think, raw)


# Dollars for a million tokens stand behind each row; the sums are done on paper.
BY_HAND = [
    # 5 in, 0.50 read, 6.25 and 10 written, 25 out: 0.005 + 0.005 + 0.0125 + 0.01 + 0.0125
    ("anthropic", "claude-opus-4-8", usage(1000, 10_000, 2000, 1000, 500, 100), "0.045"),
    # the long-context name of the same model
    ("anthropic", "claude-opus-4-8[1m]", usage(1000), "0.005"),
    # 1, 0.10, 1.25, 5: 0.002 + 0.002 + 0.005 + 0.0015
    ("anthropic", "claude-haiku-4-5-20251001", usage(2000, 20_000, 4000, 0, 300), "0.0105"),
    # up to 200 000 tokens of input 3 and 15: 0.03 + 0.015
    ("anthropic", "claude-sonnet-4-5", usage(10_000, out=1000), "0.045"),
    # beyond it 6, 0.60 and 22.50, for everything, and the caches count as input: 0.6 + 0.09 + 0.0225
    ("anthropic", "claude-sonnet-4-5", usage(100_000, 150_000, out=1000), "0.7125"),
    # 2.50, 1.25 read, 10: 0.0025 + 0.005 + 0.002
    ("openai", "gpt-4o-2024-08-06", usage(1000, 4000, out=200), "0.0095"),
    # 0.25, 0.025, 2; reasoning is output: 0.0025 + 0.001 + 0.004
    ("openai", "gpt-5-mini", usage(10_000, 40_000, out=2000, think=1500), "0.0075"),
    # 0.02: embeddings have no output
    ("openai", "text-embedding-3-small", usage(100_000), "0.002"),
    # a write where the provider has no price for writes is plain input: 2.50
    ("openai", "gpt-4o", usage(w5m=1000), "0.0025"),
    # 1.25 and 10 up to 200 000, else 2.50 and 15; both forms of the name
    ("gemini", "gemini-2.5-pro", usage(100_000, out=1000), "0.135"),
    ("gemini", "models/gemini-2.5-pro", usage(300_000, out=1000), "0.765"),
    # 0.59 and 0.79: 0.0059 + 0.00079
    ("groq", "llama-3.3-70b-versatile", usage(10_000, out=1000), "0.00669"),
    # 3, 0.75, 15: 0.003 + 0.003 + 0.0015
    ("xai", "grok-4", usage(1000, 4000, out=100), "0.0075"),
    # one token is less than a ten-millionth of a dollar, and is not nothing
    ("openai", "text-embedding-3-small", usage(1), "0.00000002"),
]


@pytest.mark.parametrize(("provider", "model", "used", "dollars"), BY_HAND)
def test_costs_worked_out_by_hand(provider: str, model: str, used: Usage, dollars: str) -> None:
    assert cost_of(model, provider, used, NOON) == Decimal(dollars)


def test_the_price_is_that_of_the_day_and_of_the_hour() -> None:
    used = usage(1_000_000, out=1_000_000)
    before, after = datetime(2025, 6, 9, tzinfo=UTC), datetime(2025, 6, 10, tzinfo=UTC)
    assert (cost_of("o3", "openai", used, before), cost_of("o3", "openai", used, after)) == (50, 10)
    night = NOON.replace(hour=20)
    assert cost_of("deepseek-chat", "deepseek", used, NOON) == Decimal("1.37")
    assert cost_of("deepseek-chat", "deepseek", used, night) == Decimal("0.685")


def test_searches_and_the_fast_mode_are_billed() -> None:
    searched = usage(1000, raw=b'{"server_tool_use":{"web_search_requests":3}}')
    assert cost_of("claude-haiku-4-5", "anthropic", searched, NOON) == Decimal("0.031")
    fast = usage(1000, out=1000, raw=b'{"speed":"fast"}')
    assert cost_of("claude-opus-4-8", "anthropic", fast, NOON) == Decimal("0.06")
    standard = usage(1000, out=1000, raw=b'{"speed":"standard","service_tier":"standard"}')
    assert cost_of("claude-opus-4-8", "anthropic", standard, NOON) == Decimal("0.03")


@pytest.mark.parametrize(
    ("provider", "model", "used"),
    [
        ("", "gpt-4o", usage(1)),
        ("demo", "demo-gpt", usage(1)),
        ("ollama", "gpt-4o", usage(1)),
        ("litellm", "openai/gpt-4o", usage(1)),
        ("my-anthropic", "claude-opus-4-8", usage(1)),
        ("openai", "gpt-99", usage(1)),
        ("openai", "gpt-4o-mine", usage(1)),
        ("openai", "ft:gpt-4o:me::1", usage(1)),
        ("openai", "", usage(1)),
        ("openai", "gpt-4o" * 100_000, usage(1)),
        ("openai", "claude-opus-4-8", usage(1)),
        ("openai", "gpt-4o", usage()),
        ("openai", "whisper-1", usage(1)),
        ("openai", "text-embedding-3-small", usage(1, out=1)),
        ("openrouter", "deepseek/deepseek-r1:free", usage(1)),
        ("openrouter", "anthropic/claude-sonnet-4.5", usage(w1h=1)),
        ("groq", "llama-3.3-70b-versatile", usage(1, raw=b'{"server_tool_use":{"web_search_requests":1}}')),
        ("openai", "gpt-4o-audio-preview", usage(9, raw=b'{"prompt_tokens_details":{"audio_tokens":5}}')),
        (
            "openai",
            "gpt-4o-audio-preview",
            usage(out=9, raw=b'{"completion_tokens_details":{"audio_tokens":5}}'),
        ),
        ("anthropic", "claude-opus-4-8", usage(2**53)),
    ],
)
def test_what_has_no_known_price_is_unpriced_and_not_free(provider: str, model: str, used: Usage) -> None:
    assert cost_of(model, provider, used, NOON) is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{", b"\xff", b'{"speed":7}', b'{"server_tool_use":"x"}', b'{"server_tool_use":null}'],
)
def test_an_odd_usage_object_changes_no_price(raw: bytes) -> None:
    assert cost_of("gpt-4o", "openai", usage(1000, raw=raw), NOON) == Decimal("0.0025")


def test_an_estimate_before_the_request() -> None:
    assert estimate_cost("gpt-4o", "openai", 1000, 200) == Decimal("0.0045")
    assert estimate_cost("llama3", "ollama", 1000, 200) is None


def test_every_preset_has_a_price_list_or_is_on_this_machine() -> None:
    assert set(PRESETS) - set(PROVIDERS) == ON_THIS_MACHINE
    assert {name for name, preset in PRESETS.items() if not preset.needs_key} == ON_THIS_MACHINE
    assert set(PROVIDERS.values()) <= {provider.id for provider in providers}


SOLD = [
    (preset, model.id)
    for preset, id_ in PROVIDERS.items()
    for provider in providers
    if provider.id == id_
    for model in provider.models
    if preset != "openrouter" or model.id < "d"
]
counts = st.integers(0, 400_000)


@given(st.sampled_from(SOLD), counts, counts, counts, counts, st.sampled_from([0, 2, 11, 19]))
def test_the_sum_is_that_of_the_package(
    sold: tuple[str, str], fresh: int, read: int, written: int, out: int, hour: int
) -> None:
    preset, model = sold
    at = NOON.replace(hour=hour)
    ours = cost_of(model, preset, usage(fresh, read, written, out=out), at)
    if ours is None:
        return
    theirs = calc_price(
        PackageUsage(
            input_tokens=fresh + read + written,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=out,
        ),
        model,
        provider_id=PROVIDERS[preset],
        genai_request_timestamp=at,
    )
    assert 0 <= ours <= MOST
    assert abs(ours - theirs.total_price) <= Decimal("0.00000001")


def test_most_models_of_the_list_have_a_price() -> None:
    priced = [sold for sold in SOLD if cost_of(sold[1], sold[0], usage(1000, out=10), NOON) is not None]
    assert len(priced) > 0.75 * len(SOLD)


def python(code: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "router_site.settings"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_the_price_list_is_loaded_at_the_first_question_only() -> None:
    code = """
import sys, django; django.setup()
import analytics.recorder, analytics.admin
from analytics.pricing import estimate_cost
estimate_cost("llama3", "ollama", 1, 1)
print("genai_prices" in sys.modules)
estimate_cost("gpt-4o", "openai", 1, 1)
print("genai_prices" in sys.modules)
"""
    assert python(code).stdout.split() == ["False", "True"]


def test_a_price_list_that_cannot_be_loaded_leaves_costs_unpriced_and_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "genai_prices").mkdir()
    (tmp_path / "genai_prices" / "__init__.py").write_text("raise RuntimeError('broken')")
    code = """
from analytics.pricing import estimate_cost
print(estimate_cost("gpt-4o", "openai", 1, 1), estimate_cost("gpt-5", "openai", 1, 1))
"""
    done = python(code, tmp_path)
    assert done.stdout.split() == ["None", "None"]
    assert done.stderr.count("Install requirements.txt anew.") == 1
