"""aider: `~/.aider.conf.yml`.

Sources: aider.chat/docs/config/aider_conf.html (the file in the home directory, then the repository's, then the
current folder's; the last wins) and /docs/llms/openai-compat.html (`openai/` before the model's name).
"""

from __future__ import annotations

from proxyapp.connect import yaml_text
from proxyapp.connect.parts import Edit, Place, Tool, Wish


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The user's configuration, for all repositories."""
    pairs = {
        "openai-api-base": wish.openai_url,
        "openai-api-key": wish.token,
        "model": f"openai/{wish.model}",
    }
    return [Edit(place.home / ".aider.conf.yml", lambda text: yaml_text.put(text, pairs))]


def notes(place: Place, wish: Wish) -> list[str]:
    """What else decides where it goes."""
    return ["A .aider.conf.yml or .env of a repository overrides these settings there."]


TOOL = Tool(name="aider", title="aider", dialect="openai", edits=edits, notes=notes)
