from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.addresses import BadBaseUrl, check_base_url
from backends.models import name_validator
from backends.move_in.endpoints import endpoint, host_name, valid_name
from backends.move_in.providers import PROVIDERS, found_keys
from backends.presets import PRESETS
from backends.wire.kinds import Protocol


@pytest.mark.parametrize(
    ("url", "name", "base_url"),
    [
        ("https://api.openai.com", "openai", "https://api.openai.com/v1"),
        ("https://openrouter.ai/api/v1/chat/completions", "openrouter", "https://openrouter.ai/api/v1"),
        ("https://api.deepseek.com/chat/completions", "deepseek", "https://api.deepseek.com/v1"),
        ("http://localhost:11434/v1/chat/completions", "ollama", "http://127.0.0.1:11434/v1"),
        ("https://api.anthropic.com/v1/messages", "anthropic", "https://api.anthropic.com"),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/",
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        ("https://llm.example.com:8443/v1/", "llm.example.com-8443", "https://llm.example.com:8443/v1"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1-8000", "http://127.0.0.1:8000/v1"),
        ("https://openrouter.ai/api/v2", "openrouter.ai", "https://openrouter.ai/api/v2"),
    ],
)
def test_the_url_of_another_tool_becomes_a_base_url(url: str, name: str, base_url: str) -> None:
    found = endpoint(url)
    assert (found.name, found.base_url) == (name, base_url)


def test_messages_at_the_end_means_anthropic() -> None:
    found = endpoint("https://api.z.ai/api/anthropic/v1/messages")
    assert (found.protocol, found.base_url) == (Protocol.ANTHROPIC, "https://api.z.ai/api/anthropic")


def test_a_shared_port_is_a_preset_only_when_the_source_says_so() -> None:
    assert endpoint("http://localhost:8000/v1").preset == ""
    assert endpoint("http://localhost:8000", hint="vllm").preset == "vllm"


def test_a_root_url_gets_its_version() -> None:
    assert endpoint("http://gpu-box:11434", add_version=True).base_url == "http://gpu-box:11434/v1"


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://llm.example.com/v1", "file:///x", "", "https://u:p@x.com"],
)
def test_an_address_that_is_refused_elsewhere_is_refused_here(url: str) -> None:
    with pytest.raises(BadBaseUrl):
        endpoint(url)


@given(st.text())
def test_every_name_is_made_valid(text: str) -> None:
    name_validator(valid_name(text))


@pytest.mark.parametrize(
    "url", [f"https://{'a.' * 60}example.com:8443/v1", "http://[fd00::1]:8000/v1", "https://x"]
)
def test_every_host_makes_a_valid_name(url: str) -> None:
    name_validator(host_name(check_base_url(url)))


def test_the_table_of_providers_is_consistent() -> None:
    names = [name for provider in PROVIDERS for name in (*provider.keys, *provider.bases)]
    assert len(names) == len(set(names))
    for provider in PROVIDERS:
        assert provider.name in PRESETS or provider.base_url
        assert str(check_base_url(provider.url)) == provider.url
    assert set(PRESETS) <= {provider.name for provider in PROVIDERS}


def test_keys_are_found_once_and_never_shown() -> None:
    environ = {
        "GEMINI_API_KEY": "canary-1",
        "GOOGLE_API_KEY": "canary-1",
        "GROQ_API_KEY": " ",
        "VLLM_API_KEY": "v",
    }
    [found] = found_keys(environ)
    assert (found.name, found.key) == ("GEMINI_API_KEY", "canary-1")
    assert "canary" not in repr(found)
