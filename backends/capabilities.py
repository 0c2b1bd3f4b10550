"""What a model can, as far as it is known: tools, images, documents, a schema for the answer, its context. Pure.

Rules: what the operator says of a backend wins, then what the backend's own list told, then the tables here. What
stands nowhere is unknown, and what is unknown is taken to be possible: a target is passed over for what it is known
not to do, and never because nobody wrote down that it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from backends.conditions import Facts
from backends.globs import glob_matches

MOST_CONTEXT = 100_000_000
MOST_MODELS = 200
_WORDS = {"tools": "tools", "images": "images", "schema": "JSON schemas", "documents": "documents"}
# A prompt's length is an estimate, and too long a prompt costs only an error that the next target makes good.
_CLEARLY = 1.25


class BadCapability(ValueError):
    """What an operator said of a backend's models cannot be understood."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """None: not known. `context`: how many tokens the model reads and writes, together."""

    tools: bool | None = None
    images: bool | None = None
    schema: bool | None = None
    documents: bool | None = None
    context: int | None = None

    def lacks(self, facts: Facts) -> str:
        """Why a model that can so much cannot serve this request; "" if it can, or if that is not known."""
        for word, name in _WORDS.items():
            if getattr(self, word) is False and facts.has(word):
                return f"it takes no {name}"
        if self.context is not None and facts.exceeds(round(self.context * _CLEARLY)):
            return f"its context of {self.context:,} tokens is too small for about {facts.tokens:,}"
        return ""

    def over(self, weaker: Capabilities) -> Capabilities:
        """These, and from `weaker` what these leave open."""
        return Capabilities(
            *(
                getattr(weaker, each.name) if getattr(self, each.name) is None else getattr(self, each.name)
                for each in fields(self)
            )
        )

    def as_dict(self) -> dict[str, object]:
        """Only what is known."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in known.items() if value is not None}


UNKNOWN = Capabilities()


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the operator says: of all models of a backend, and of those that a glob names."""

    everywhere: Capabilities = UNKNOWN
    by_glob: tuple[tuple[str, Capabilities], ...] = ()

    def of(self, model: str) -> Capabilities:
        """For a model (lower case). The first glob that matches wins over what is said of all."""
        for glob, said in self.by_glob:
            if glob_matches(glob, model):
                return said.over(self.everywhere)
        return self.everywhere


NO_OVERRIDES = Overrides()


def parse_overrides(value: object) -> Overrides:
    """`{"images": false, "context": 32000, "models": {"llava*": {"images": true}}}`. Raises BadCapability."""
    if not isinstance(value, Mapping):
        raise BadCapability('Give an object, such as {"images": false, "context": 32000}.')
    by_glob = value.get("models", {})
    if not isinstance(by_glob, Mapping) or len(by_glob) > MOST_MODELS:
        raise BadCapability(
            f'models: give at most {MOST_MODELS} globs, each as {{"llava*": {{"images": true}}}}.'
        )
    everywhere = _capabilities({name: given for name, given in value.items() if name != "models"})
    globs = tuple((str(glob).strip().lower(), _capabilities(said)) for glob, said in by_glob.items())
    if any(not glob for glob, _ in globs):
        raise BadCapability("models: a glob may not be empty. For every model, write * or leave models out.")
    return Overrides(everywhere, globs)


def _capabilities(value: object) -> Capabilities:
    if not isinstance(value, Mapping):
        raise BadCapability('Give an object, such as {"images": false}.')
    said: dict[str, Any] = {}
    for name, given in value.items():
        if name in _WORDS and isinstance(given, bool):
            said[str(name)] = given
        elif name == "context" and type(given) is int and 0 < given <= MOST_CONTEXT:
            said["context"] = given
        else:
            known = f"{', '.join(_WORDS)} (true or false), context (tokens) and models"
            raise BadCapability(f"{str(name)[:40]}: not understood. What may be said: {known}.")
    return Capabilities(**said)


# --- what is known ---------------------------------------------------------------------------------------------

_NO_MEDIA = Capabilities(images=False, documents=False)
_SEES = Capabilities(tools=True, images=True, schema=True)
_READS = Capabilities(tools=True, images=True, schema=True, documents=True)

# By model, whoever serves it: the last part of its name (`openai/gpt-4o` is gpt-4o). The first that matches counts.
# From the model pages of platform.openai.com, docs.claude.com, ai.google.dev, docs.x.ai, api-docs.deepseek.com, and
# from the model cards of the open models.
MODELS: tuple[tuple[str, Capabilities], ...] = (
    ("*embed*", Capabilities(tools=False, images=False, schema=False, documents=False)),
    ("claude-*[1m]", Capabilities(tools=True, images=True, documents=True, context=1_000_000)),
    ("claude-3*", Capabilities(tools=True, images=True, context=200_000)),
    ("claude-*", Capabilities(tools=True, images=True, documents=True)),
    ("gpt-3.5*", Capabilities(images=False, documents=False, schema=False, context=16_385)),
    ("gpt-4", Capabilities(images=False, documents=False, schema=False, context=8_192)),
    ("gpt-4-0*", Capabilities(images=False, documents=False, schema=False, context=8_192)),
    ("gpt-4-turbo*", Capabilities(tools=True, images=True, schema=False, context=128_000)),
    ("gpt-4o-audio*", Capabilities(tools=True, images=False, context=128_000)),
    ("gpt-4o*", Capabilities(tools=True, images=True, context=128_000)),
    ("chatgpt-4o*", Capabilities(tools=False, images=True, context=128_000)),
    ("gpt-4.1*", _READS.over(Capabilities(context=1_047_576))),
    ("gpt-oss*", _NO_MEDIA.over(Capabilities(tools=True, context=131_072))),
    ("gpt-5*", _READS),
    ("o1-mini*", Capabilities(tools=False, images=False, schema=False, context=128_000)),
    ("o1-preview*", Capabilities(tools=False, images=False, schema=False, context=128_000)),
    ("o3-mini*", Capabilities(tools=True, images=False, schema=True, context=200_000)),
    ("o1*", _READS.over(Capabilities(context=200_000))),
    ("o3*", _READS.over(Capabilities(context=200_000))),
    ("o4*", _READS.over(Capabilities(context=200_000))),
    ("gemini-1.5-pro*", _READS.over(Capabilities(context=2_097_152))),
    ("gemini-*", _READS.over(Capabilities(context=1_048_576))),
    ("grok-3*", Capabilities(tools=True, images=False, documents=False, context=131_072)),
    ("grok-2-vision*", Capabilities(images=True, context=32_768)),
    ("grok-4*", _SEES),
    ("deepseek-ocr*", Capabilities(images=True)),
    ("deepseek-vl*", Capabilities(images=True)),
    ("deepseek*", _NO_MEDIA),
    ("*llava*", Capabilities(images=True)),
    ("*-vl*", Capabilities(images=True)),
    ("*vl-*", Capabilities(images=True)),
    ("*vision*", Capabilities(images=True)),
    ("pixtral*", Capabilities(images=True)),
    ("llama-3.2-11b*", Capabilities(images=True)),
    ("llama-3.2-90b*", Capabilities(images=True)),
    ("llama-4*", Capabilities(tools=True, images=True)),
    ("llama4*", Capabilities(tools=True, images=True)),
    ("llama-3*", _NO_MEDIA),
    ("llama3*", _NO_MEDIA),
    ("qwen3-coder*", _NO_MEDIA),
    ("qwen3:*", _NO_MEDIA),
    ("qwen2.5-coder*", _NO_MEDIA),
    ("qwen2.5:*", _NO_MEDIA),
    ("codestral*", _NO_MEDIA),
    ("mixtral*", _NO_MEDIA),
    ("mistral-7b*", _NO_MEDIA),
    ("mistral:*", _NO_MEDIA),
)

# By preset, whatever the model: what the service itself cannot take.
# api-docs.deepseek.com/guides/json_mode; inference-docs.cerebras.ai/capabilities.
PRESETS: dict[str, Capabilities] = {
    "deepseek": Capabilities(images=False, documents=False, schema=False),
    "cerebras": Capabilities(images=False, documents=False),
}


def known_capabilities(
    preset: str, model: str, *, context: int | None = None, overrides: Overrides = NO_OVERRIDES
) -> Capabilities:
    """What is known of a model. `context`: what the backend's own list says of it, if it does."""
    name = model.strip().lower()
    bare = name.rsplit("/", 1)[-1]
    table = next((found for glob, found in MODELS if glob_matches(glob, bare)), UNKNOWN)
    listed = Capabilities(context=context)
    return overrides.of(name).over(listed).over(PRESETS.get(preset, UNKNOWN)).over(table)
