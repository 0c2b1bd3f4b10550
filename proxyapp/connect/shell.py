"""Plain exports for bash, zsh, fish and sh, for every tool that reads the SDKs' environment variables.

Sources: the official Anthropic SDKs read ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN, the official OpenAI SDKs
OPENAI_BASE_URL and OPENAI_API_KEY; LiteLLM and what is built on it reads OPENAI_API_BASE.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from proxyapp.connect.parts import PLACEHOLDER, ConnectError, Edit, Needs, Place, Tool, Wish

BEGIN, END = "# >>> patchbay >>>", "# <<< patchbay <<<"
_BLOCK = re.compile(rf"^{re.escape(BEGIN)}$.*?^{re.escape(END)}$\n?", re.M | re.S)


def edits(place: Place, wish: Wish) -> list[Edit]:
    """A marked block in the shell's start-up file; a key goes into a file of its own, which the block reads."""
    lines = "\n".join(exports(place, wish))
    startup = Edit(startup_file(place), lambda text: _with_block(text, f"{BEGIN}\n{lines}\n{END}\n"))
    if not wish.key:
        return [startup]
    return [startup, Edit(key_file(place), lambda _: f"{wish.key}\n", is_secret=True)]


def exports(place: Place, wish: Wish) -> list[str]:
    """The lines that set the variables."""
    values = {
        "ANTHROPIC_BASE_URL": wish.url,
        "ANTHROPIC_AUTH_TOKEN": None,
        "OPENAI_BASE_URL": wish.openai_url,
        "OPENAI_API_BASE": wish.openai_url,
        "OPENAI_API_KEY": None,
    }
    is_fish, path = shell_name(place) == "fish", str(key_file(place))
    if not wish.key:
        secret = PLACEHOLDER
    else:
        secret = f"(cat {_fish_quoted(path)})" if is_fish else f'"$(cat {shlex.quote(path)})"'
    form = "set -gx {} {}" if is_fish else "export {}={}"
    return [form.format(name, secret if value is None else value) for name, value in values.items()]


def shell_name(place: Place) -> str:
    """The login shell's name."""
    return Path(place.environ.get("SHELL") or "bash").name


def startup_file(place: Place) -> Path:
    """What the shell reads when it starts. Raises ConnectError for a shell that is not known."""
    name = shell_name(place)
    if name == "fish":
        return place.config / "fish" / "conf.d" / "patchbay.fish"
    if name == "zsh":
        return place.folder("ZDOTDIR") / ".zshrc"
    if name == "bash":
        return place.home / ".bashrc"
    if name in ("sh", "dash", "ksh"):
        return place.home / ".profile"
    raise ConnectError(
        f"Your shell is {name}, which is not known. For the lines of another: SHELL=bash (or zsh, fish, sh) in front of"
        " this command, with --print."
    )


def key_file(place: Place) -> Path:
    """Where the key is kept, away from files that people publish."""
    return place.patchbay_home / "secrets" / "client-shell"


def _with_block(text: str, block: str) -> str:
    if _BLOCK.search(text):
        return _BLOCK.sub(lambda _: block, text, count=1)
    return text + ("" if not text or text.endswith("\n") else "\n") + block


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def notes(place: Place, wish: Wish) -> list[str]:
    """When it counts."""
    return [f"New shells have the variables; for this one: source {shlex.quote(str(startup_file(place)))}"]


TOOL = Tool(
    name="shell",
    title="the shell",
    dialect="openai",
    edits=edits,
    notes=notes,
    needs_model=Needs.NEVER,
)
