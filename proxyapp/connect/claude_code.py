"""Claude Code: `~/.claude/settings.json`.

Sources: code.claude.com/docs/en/settings (the `env` block overrides the shell's), /llm-gateway and /env-vars
(ANTHROPIC_BASE_URL without a version, ANTHROPIC_AUTH_TOKEN as bearer, ANTHROPIC_CUSTOM_HEADERS one a line,
ANTHROPIC_DEFAULT_*_MODEL for the three families, model discovery for gateways since 2.1.129).
"""

from __future__ import annotations

from proxyapp.connect import json_text
from proxyapp.connect.parts import KEY_HEADER, Edit, Needs, Place, Tool, Wish

FAMILIES = ("OPUS", "SONNET", "HAIKU")


def edits(place: Place, wish: Wish) -> list[Edit]:
    """The settings of the user, for all projects."""
    path = place.folder("CLAUDE_CONFIG_DIR", ".claude") / "settings.json"
    return [Edit(path, lambda text: _rewrite(text, wish))]


def _rewrite(text: str, wish: Wish) -> str:
    for name, value in _variables(text, wish).items():
        text = json_text.put(text, ["env", name], value)
    return json_text.put(text, ["model"], wish.model) if wish.model else text


def _variables(text: str, wish: Wish) -> dict[str, str]:
    variables = {"ANTHROPIC_BASE_URL": wish.url, "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"}
    if not wish.callers_login:
        variables["ANTHROPIC_AUTH_TOKEN"] = wish.token
    elif wish.key:
        variables["ANTHROPIC_CUSTOM_HEADERS"] = _headers(text, wish.key)
    if wish.model and not wish.serves_own:
        variables |= {f"ANTHROPIC_DEFAULT_{family}_MODEL": wish.model for family in FAMILIES}
    if wish.model and json_text.look(text, ["env", "ANTHROPIC_MODEL"]) is not None:
        variables["ANTHROPIC_MODEL"] = wish.model
    return variables


def _headers(text: str, key: str) -> str:
    """The user's own extra headers, and ours."""
    old = json_text.look(text, ["env", "ANTHROPIC_CUSTOM_HEADERS"])
    lines = old.splitlines() if isinstance(old, str) else []
    others = [line for line in lines if not line.lower().startswith(f"{KEY_HEADER}:")]
    return "\n".join([*others, f"{KEY_HEADER}: {key}"])


def notes(place: Place, wish: Wish) -> list[str]:
    """What else decides where it goes."""
    found = []
    if wish.callers_login:
        found.append(
            "Your own login stays in use: the account behind this model passes on the caller's credential."
        )
    if place.environ.get("ANTHROPIC_API_KEY") and not wish.callers_login:
        found.append(
            "ANTHROPIC_API_KEY is set in this shell; unset it, or Claude Code warns of two credentials."
        )
    for name in ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"):
        if place.environ.get(name):
            found.append(f"{name} is set in this shell; as long as it is, Claude Code goes there instead.")
    return found


TOOL = Tool(
    name="claude-code",
    title="Claude Code",
    dialect="anthropic",
    edits=edits,
    notes=notes,
    needs_model=Needs.UNLESS_SERVED,
    own_model="claude-sonnet-4-5",
)
