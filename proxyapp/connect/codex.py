"""Codex: `~/.codex/config.toml`.

Sources: developers.openai.com/codex/config-reference and config-sample; github.com/openai/codex,
`codex-rs/model-provider-info` (the fields of a provider; only the wire API `responses` is left; `http_headers` are
sent with each request; `requires_openai_auth` makes it send its own login).
"""

from __future__ import annotations

from proxyapp.connect import toml_text
from proxyapp.connect.parts import KEY_HEADER, Edit, Needs, Place, Tool, Wish

PROVIDER = "patchbay"


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The user's configuration. A project's own cannot name a provider."""
    path = place.folder("CODEX_HOME", ".codex") / "config.toml"
    return [Edit(path, lambda text: _rewrite(text, wish))]


def _rewrite(text: str, wish: Wish) -> str:
    top = {"model": wish.model} if wish.model else {}
    provider: dict[str, object] = {
        "name": "Patchbay",
        "base_url": wish.openai_url,
        "wire_api": "responses",
        "supports_websockets": False,
        "requires_openai_auth": wish.callers_login,
    }
    if wish.key:
        provider["http_headers"] = {KEY_HEADER: wish.key}
    return toml_text.put(text, {**top, "model_provider": PROVIDER}, ("model_providers", PROVIDER), provider)


def notes(place: Place, wish: Wish) -> list[str]:
    """What else decides where it goes."""
    if wish.callers_login:
        return [
            "Your own login stays in use: the account behind this model passes on the caller's credential."
        ]
    return []


TOOL = Tool(
    name="codex",
    title="Codex",
    dialect="responses",
    edits=edits,
    notes=notes,
    needs_model=Needs.UNLESS_SERVED,
    own_model="gpt-5",
)
