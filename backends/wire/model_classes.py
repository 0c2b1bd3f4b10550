"""Groups of models that share a limit.

Anthropic limits families (all of Opus, all of Sonnet) and names them in headers like `…-7d_opus-…`; every other
provider is taken to limit each model by itself.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 200  # as long as a model name may be
_MOST_TOKENS = 8
_BREAKS = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=1024)
def class_of(model: str) -> str:
    """The model's family, for Claude (`claude-opus-4-8` → `opus`); else its own name in lower case."""
    family = next((token for token in _claude_tokens(model) if token.isalpha()), None)
    return family or _name(model)


@lru_cache(maxsize=1024)
def classes_of(model: str) -> frozenset[str]:
    """All classes that govern this model: "" (every model), its own name, its family, and for Claude any run of
    words of its name (`opus-4`). Not for others: a limit on `mistral` says nothing about `mistral-large`.
    """
    tokens = _claude_tokens(model)
    runs = {"-".join(tokens[i:j]) for i in range(len(tokens)) for j in range(i + 1, len(tokens) + 1)}
    return frozenset({"", class_of(model), _name(model)} | runs)


def _name(model: str) -> str:
    return model.lower()[:_LONGEST]


def _claude_tokens(model: str) -> list[str]:
    """The words after `claude`: of `us.anthropic.claude-3-5-sonnet-v2:0` as well. None for other models."""
    tokens = _BREAKS.split(_name(model))
    return tokens[tokens.index("claude") + 1 :][:_MOST_TOKENS] if "claude" in tokens else []
