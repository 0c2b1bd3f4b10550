"""opencode: `~/.config/opencode/opencode.json`, or `opencode.jsonc` where there is one.

Sources: opencode.ai/docs/config (places, JSON with comments, later files win) and /docs/providers (a provider of one's
own: npm package, name, options.baseURL, options.apiKey, models; limits are the model's).
"""

from __future__ import annotations

from pathlib import Path

from proxyapp.connect import json_text
from proxyapp.connect.limits import context_window
from proxyapp.connect.parts import Edit, Place, Tool, Wish

PROVIDER = "patchbay"
OUTPUT_TOKENS = 32_000  # what opencode itself asks for at most


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The user's configuration, for all projects."""
    return [Edit(_path(place), lambda text: _rewrite(text, wish))]


def _path(place: Place) -> Path:
    folder = place.config / "opencode"
    commented = folder / "opencode.jsonc"
    return commented if commented.exists() else folder / "opencode.json"


def _rewrite(text: str, wish: Wish) -> str:
    if (
        json_text.look(text, ["$schema"]) is None
    ):  # else opencode adds it, and the file is no longer as we left it
        text = json_text.put(text, ["$schema"], "https://opencode.ai/config.json")
    provider = ["provider", PROVIDER]
    for path, value in (
        (["npm"], "@ai-sdk/openai-compatible"),
        (["name"], "Patchbay"),
        (["options", "baseURL"], wish.openai_url),
        (["options", "apiKey"], wish.token),
    ):
        text = json_text.put(text, [*provider, *path], value)
    for name in wish.models:
        if json_text.look(text, [*provider, "models", name]) is None:
            text = json_text.put(text, [*provider, "models", name], _model(name))
    return _allowed(json_text.put(text, ["model"], f"{PROVIDER}/{wish.model}"))


def _model(name: str) -> dict[str, object]:
    window = context_window(name)
    limit = {"limit": {"context": window, "output": min(window, OUTPUT_TOKENS)}} if window else {}
    return {"name": name, **limit}


def _allowed(text: str) -> str:
    """Where the user lists the only providers that count, ours is added."""
    only = json_text.look(text, ["enabled_providers"])
    if isinstance(only, list) and PROVIDER not in only:
        return json_text.append(text, ["enabled_providers"], [PROVIDER])
    return text


TOOL = Tool(name="opencode", title="opencode", dialect="openai", edits=edits)
