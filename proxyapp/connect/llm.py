"""llm: `extra-openai-models.yaml`, `keys.json` and `default_model.txt` in its own folder.

Sources: llm.datasette.io/en/stable/other-models.html#openai-compatible-models (model_id, model_name, api_base,
api_key_name; without the last none is asked for), /setup.html (keys.json, LLM_USER_PATH, default models).
"""

from __future__ import annotations

from pathlib import Path

from proxyapp.connect import json_text, yaml_text
from proxyapp.connect.parts import Edit, Place, Tool, Wish

KEY_NAME = "patchbay"


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The models, the key if one is needed, and the default model."""
    folder = _folder(place)
    models = [_model(name, wish) for name in wish.models]
    found = [
        Edit(
            folder / "extra-openai-models.yaml",
            lambda text: yaml_text.merge_items(text, "", "model_id", models),
        ),
        Edit(folder / "default_model.txt", lambda text: _default(text, f"{KEY_NAME}/{wish.model}")),
    ]
    if wish.key:
        keys = folder / "keys.json"
        found.append(Edit(keys, lambda text: json_text.put(text, [KEY_NAME], wish.key), is_secret=True))
    return found


def _folder(place: Place) -> Path:
    name = "io.datasette.llm"
    if place.environ.get("LLM_USER_PATH"):
        return place.folder("LLM_USER_PATH")
    if place.platform == "darwin":
        return place.home / "Library" / "Application Support" / name
    return place.config / name


def _model(name: str, wish: Wish) -> dict[str, object]:
    model: dict[str, object] = {
        "model_id": f"{KEY_NAME}/{name}",
        "model_name": name,
        "api_base": wish.openai_url,
        "supports_tools": True,
        "supports_schema": True,
    }
    return model | ({"api_key_name": KEY_NAME} if wish.key else {})


def _default(text: str, model: str) -> str:
    return text if text.strip() == model else model


TOOL = Tool(name="llm", title="llm", dialect="openai", edits=edits)
