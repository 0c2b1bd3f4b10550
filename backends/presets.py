"""Known providers: URL, protocol and what they speak, as data. A preset only fills in a form;
the saved row stands for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.addresses import BaseUrl
from backends.wire.kinds import Protocol


@dataclass(frozen=True, slots=True)
class Preset:
    """Where a known provider is and how it is spoken to. `runs_models`: it computes the answers where it is itself."""

    base_url: str
    protocol: Protocol = Protocol.OPENAI
    responses: bool = False
    needs_key: bool = True
    runs_models: bool = False


PRESETS: dict[str, Preset] = {
    "anthropic": Preset("https://api.anthropic.com", Protocol.ANTHROPIC),
    "openai": Preset("https://api.openai.com/v1", responses=True),
    "groq": Preset("https://api.groq.com/openai/v1", responses=True),
    "openrouter": Preset("https://openrouter.ai/api/v1", responses=True),
    "mistral": Preset("https://api.mistral.ai/v1"),
    "deepseek": Preset("https://api.deepseek.com/v1"),
    "together": Preset("https://api.together.xyz/v1"),
    "fireworks": Preset("https://api.fireworks.ai/inference/v1", responses=True),
    "xai": Preset("https://api.x.ai/v1", responses=True),
    "cerebras": Preset("https://api.cerebras.ai/v1"),
    "gemini": Preset("https://generativelanguage.googleapis.com/v1beta/openai"),
    "ollama": Preset("http://127.0.0.1:11434/v1", responses=True, needs_key=False, runs_models=True),
    "lmstudio": Preset("http://127.0.0.1:1234/v1", responses=True, needs_key=False, runs_models=True),
    "vllm": Preset("http://127.0.0.1:8000/v1", responses=True, needs_key=False, runs_models=True),
    "llamacpp": Preset("http://127.0.0.1:8080/v1", needs_key=False, runs_models=True),
    "litellm": Preset("http://127.0.0.1:4000/v1", responses=True, needs_key=False),
}
ALIASES = {"claude": "anthropic", "google": "gemini", "lm-studio": "lmstudio", "llama.cpp": "llamacpp"}


def find_preset(name: str) -> tuple[str, Preset] | None:
    """The preset that a backend name stands for, without regard to case, or None."""
    key = ALIASES.get(name.lower(), name.lower())
    return (key, PRESETS[key]) if key in PRESETS else None


def is_own_server(preset: str, base: BaseUrl) -> bool:
    """Whether this is a model server in one's own network: what it is sent goes nowhere else. A gateway is none."""
    return preset in PRESETS and PRESETS[preset].runs_models and base.is_private
