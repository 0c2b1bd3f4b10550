"""Providers by the names that their keys have in an environment, and by the names that LiteLLM has for them: data.

Sources: each provider's own quickstart for its variable and base URL; https://docs.litellm.ai/docs/providers for the
prefixes and for the variables that LiteLLM reads when a model has no `api_key`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from backends.presets import PRESETS


@dataclass(frozen=True, slots=True)
class Provider:
    """`keys` and `bases`: variables for the key and for another base URL, the usual one first.

    `base_url` is given for a provider without a preset. `litellm`: model prefixes there.
    """

    name: str
    keys: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    litellm: tuple[str, ...] = ()
    base_url: str = ""

    @property
    def url(self) -> str:
        """Where it is, unless a variable says otherwise."""
        return self.base_url or PRESETS[self.name].base_url

    @property
    def needs_key(self) -> bool:
        """Whether it is somewhere else and does not answer without a key."""
        return self.name not in PRESETS or PRESETS[self.name].needs_key


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "anthropic", ("ANTHROPIC_API_KEY",), ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"), ("anthropic",)
    ),
    Provider(
        "openai",
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        ("openai", "text-completion-openai", "custom_openai", "openai_like"),
    ),
    Provider("groq", ("GROQ_API_KEY",), ("GROQ_BASE_URL", "GROQ_API_BASE"), ("groq",)),
    Provider(
        "openrouter",
        ("OPENROUTER_API_KEY", "OR_API_KEY"),
        ("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
        ("openrouter",),
    ),
    Provider(
        "gemini",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
        ("GEMINI_BASE_URL", "GEMINI_API_BASE"),
        ("gemini",),
    ),
    Provider("mistral", ("MISTRAL_API_KEY",), ("MISTRAL_BASE_URL", "MISTRAL_API_BASE"), ("mistral",)),
    Provider("deepseek", ("DEEPSEEK_API_KEY",), ("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE"), ("deepseek",)),
    Provider(
        "together",
        ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
        ("TOGETHER_BASE_URL", "TOGETHER_AI_API_BASE"),
        ("together_ai",),
    ),
    Provider(
        "fireworks",
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        ("FIREWORKS_BASE_URL", "FIREWORKS_API_BASE", "FIREWORKS_AI_API_BASE"),
        ("fireworks_ai",),
    ),
    Provider("xai", ("XAI_API_KEY",), ("XAI_BASE_URL", "XAI_API_BASE"), ("xai",)),
    Provider("cerebras", ("CEREBRAS_API_KEY",), ("CEREBRAS_BASE_URL", "CEREBRAS_API_BASE"), ("cerebras",)),
    Provider("ollama", (), ("OLLAMA_API_BASE", "OLLAMA_BASE_URL"), ("ollama", "ollama_chat")),
    Provider("lmstudio", ("LM_STUDIO_API_KEY", "LM_API_TOKEN"), ("LM_STUDIO_API_BASE",), ("lm_studio",)),
    Provider("vllm", ("HOSTED_VLLM_API_KEY", "VLLM_API_KEY"), ("HOSTED_VLLM_API_BASE",), ("hosted_vllm",)),
    Provider("llamacpp", ("LLAMA_API_KEY",)),
    Provider(
        "litellm",
        ("LITELLM_PROXY_API_KEY", "LITELLM_API_KEY", "LITELLM_MASTER_KEY"),
        ("LITELLM_PROXY_API_BASE", "LITELLM_BASE_URL"),
        ("litellm_proxy",),
    ),
    Provider(
        "perplexity",
        ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
        ("PERPLEXITY_API_BASE",),
        ("perplexity",),
        "https://api.perplexity.ai",
    ),
    Provider(
        "deepinfra",
        ("DEEPINFRA_API_KEY",),
        ("DEEPINFRA_API_BASE",),
        ("deepinfra",),
        "https://api.deepinfra.com/v1/openai",
    ),
    Provider(
        "nvidia",
        ("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
        ("NVIDIA_NIM_API_BASE",),
        ("nvidia_nim",),
        "https://integrate.api.nvidia.com/v1",
    ),
    Provider(
        "sambanova",
        ("SAMBANOVA_API_KEY",),
        ("SAMBANOVA_API_BASE",),
        ("sambanova",),
        "https://api.sambanova.ai/v1",
    ),
    Provider(
        "moonshot",
        ("MOONSHOT_API_KEY",),
        ("MOONSHOT_BASE_URL", "MOONSHOT_API_BASE"),
        ("moonshot",),
        "https://api.moonshot.ai/v1",
    ),
    Provider("zai", ("ZAI_API_KEY",), ("ZAI_API_BASE",), ("zai",), "https://api.z.ai/api/paas/v4"),
)
BY_NAME = {provider.name: provider for provider in PROVIDERS}
BY_KEY = {name: provider for provider in PROVIDERS for name in provider.keys}
BY_BASE = {name: provider for provider in PROVIDERS for name in provider.bases}
BY_LITELLM = {prefix: provider for provider in PROVIDERS for prefix in provider.litellm}


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A provider's key in an environment, and where it is to be used. `base_name` is "" for the provider's own URL."""

    provider: Provider
    name: str
    base_url: str
    base_name: str = ""
    key: str = field(default="", repr=False)


def found_keys(environ: Mapping[str, str]) -> Iterator[FoundKey]:
    """Every key of a known provider, each text once. A local server's key counts only beside its base URL."""
    for provider in PROVIDERS:
        base_name = next((name for name in provider.bases if environ.get(name, "").strip()), "")
        if not base_name and not provider.needs_key:
            continue
        base_url = environ[base_name].strip() if base_name else provider.url
        names = {
            environ[name].strip(): name for name in reversed(provider.keys) if environ.get(name, "").strip()
        }
        for key, name in reversed(names.items()):
            yield FoundKey(provider, name, base_url, base_name, key)
        if base_name and not names and not provider.needs_key:
            yield FoundKey(provider, base_name, base_url, base_name)
