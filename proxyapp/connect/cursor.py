"""Cursor: nothing can be written for it, so it is only told about.

Sources: docs.cursor.com/settings/api-keys (a key and base URL of one's own are typed into its settings; requests are
built by Cursor's servers, which must be able to reach the URL; tab completion and its own models are not redirected).
"""

from __future__ import annotations

from proxyapp.connect.parts import Needs, Place, Tool, Wish


def notes(place: Place, wish: Wish) -> list[str]:
    """What works and what does not."""
    return [
        f"Cursor's requests come from Cursor's servers, not from this machine: {wish.url} cannot be reached from"
        " there. Tab completion and Cursor's own models, and its command line, cannot be redirected at all.",
        "What works: put Patchbay behind a public https address of your own (docs/operations.md, reverse proxy), name"
        " it in PATCHBAY_ALLOWED_HOSTS, and make a key: python manage.py keys add cursor",
        "Then in Cursor: Settings, Models, OpenAI API Key: that key; Override OpenAI Base URL: https://YOUR.NAME/v1;"
        " and add the model names that Patchbay lists. The override counts for every OpenAI model in Cursor.",
        "In Cursor's terminal Claude Code, Codex and opencode work as everywhere: connect those instead.",
    ]


TOOL = Tool(
    name="cursor", title="Cursor", dialect="openai", notes=notes, needs_model=Needs.NEVER, is_guide=True
)
