"""Continue, in the editors and as `cn`: `~/.continue/config.yaml`.

Sources: docs.continue.dev/reference (config.yaml: name, version and schema are required, `schema: v1`; models with
provider, model, apiBase, apiKey, roles, capabilities), docs.continue.dev/cli/configuration.
"""

from __future__ import annotations

from proxyapp.connect import yaml_text
from proxyapp.connect.parts import UNKNOWN_FORMAT, ConnectError, Edit, Place, Tool, Wish

SCHEMA = "v1"
HEAD = f"name: Local Config\nversion: 1.0.0\nschema: {SCHEMA}\n"


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The user's configuration. The older config.json is left to Continue to convert."""
    folder = place.folder("CONTINUE_GLOBAL_DIR", ".continue")
    path = folder / "config.yaml"
    if (folder / "config.json").exists() and not path.exists():
        raise ConnectError(
            f"{folder / 'config.json'} is Continue's older format, and a new config.yaml would hide it. Convert it"
            " first: docs.continue.dev/reference/yaml-migration. Nothing was changed."
        )
    return [Edit(path, lambda text: _rewrite(text, wish))]


def _rewrite(text: str, wish: Wish) -> str:
    found = yaml_text.load(text)
    if found is None:
        text += HEAD
    elif isinstance(found, dict) and found.get("schema", SCHEMA) != SCHEMA:
        raise ConnectError(f"its schema is {found['schema']!r}, not {SCHEMA}. {UNKNOWN_FORMAT}")
    return yaml_text.merge_items(text, "models", "name", [_model(name, wish) for name in wish.models])


def _model(name: str, wish: Wish) -> dict[str, object]:
    return {
        "name": f"Patchbay {name}",
        "provider": "openai",
        "model": name,
        "apiBase": wish.openai_url,
        "apiKey": wish.token,
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use"],
    }


def notes(place: Place, wish: Wish) -> list[str]:
    """Continue keeps the choice of a model for itself."""
    return [f"Choose the model Patchbay {wish.model} in Continue, if another was chosen or stands before it."]


TOOL = Tool(name="continue", title="Continue", dialect="openai", edits=edits, notes=notes)
