"""Zed: `~/.config/zed/settings.json`.

Source: zed.dev/docs/ai/use-api-access (`language_models.openai_compatible`: api_url and available_models with their
context window; keys live in the system's keychain or in an environment variable named after the provider, never in
the settings file) and zed.dev/docs/ai/agent-settings (`agent.default_model`).
"""

from __future__ import annotations

from proxyapp.connect import json_text
from proxyapp.connect.limits import context_window
from proxyapp.connect.parts import PLACEHOLDER, Edit, Place, Tool, Wish

# Not "Patchbay": Zed makes the variable PATCHBAY_API_KEY of that, which means something else to Patchbay itself.
PROVIDER = "Local Patchbay"
VARIABLE = "LOCAL_PATCHBAY_API_KEY"
UNKNOWN_WINDOW = 128_000


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The user's settings."""
    return [Edit(place.config / "zed" / "settings.json", lambda text: _rewrite(text, wish))]


def _rewrite(text: str, wish: Wish) -> str:
    provider = ["language_models", "openai_compatible", PROVIDER]
    text = json_text.put(text, [*provider, "api_url"], wish.openai_url)
    listed = json_text.look(text, [*provider, "available_models"])
    known = [one.get("name") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    new = [_model(name) for name in wish.models if name not in known]
    text = json_text.append(text, [*provider, "available_models"], new)
    for name, value in (("provider", PROVIDER), ("model", wish.model)):
        text = json_text.put(text, ["agent", "default_model", name], value)
    return text


def _model(name: str) -> dict[str, object]:
    return {"name": name, "display_name": name, "max_tokens": context_window(name) or UNKNOWN_WINDOW}


def notes(place: Place, wish: Wish) -> list[str]:
    """Zed wants a key of every provider and keeps it in the keychain, where only Zed can put it."""
    if wish.key:
        what = "Make a key with `python manage.py keys add zed`, and paste it"
    else:
        what = f"Zed wants a key of every provider: paste any text, such as {PLACEHOLDER},"
    guessed = [name for name in wish.models if not context_window(name)]
    size = f" The context window of {', '.join(guessed)} is a guess: set max_tokens." if guessed else ""
    return [f"{what} in Zed's settings, AI, LLM Providers, {PROVIDER} (or export it as {VARIABLE}).{size}"]


TOOL = Tool(name="zed", title="Zed", dialect="openai", edits=edits, notes=notes, keeps_key=False)
