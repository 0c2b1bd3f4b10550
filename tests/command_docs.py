"""Writes docs/commands.md from the commands' own `--help`: `python -m tests.command_docs`. A test compares the two."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
ORDER = [
    *("runproxy", "login", "logout", "refresh", "status", "accounts", "backend", "routes"),
    *("templates", "redaction", "keys"),
    *("discover", "connect", "import", "export", "backup", "restore", "secret"),
    *("doctor", "createadmin", "ask", "history", "usage", "why", "prune", "recost"),
]
HEAD = """\
# Commands

`python manage.py COMMAND`, with the virtual environment active (`. .venv/bin/activate`). Exit codes: 0 done, 1 failed,
2 wrong use; a failure is one line on standard error. Every listing takes `--json`. Secrets are asked for at a terminal
or read from standard input (`--key-stdin`); `--key` exists for scripts that cannot do either. `backends` is the same
command as `backend`.

Changes apply to a running server within a second.
"""


def render() -> str:
    """The whole page."""
    from django.core.management import get_commands, load_command_class

    os.environ["COLUMNS"] = "100"
    parts = [HEAD]
    for name in ORDER:
        command = load_command_class(get_commands()[name], name)
        parser = command.create_parser("manage.py", name)
        parts.append(f"\n## `{name}`\n\n{command.help}\n")
        subcommands = dict(_subcommands(parser))
        for title, sub in (subcommands or {name: parser}).items():
            heading = f"\n### `{name} {title}`\n" if subcommands else ""
            parts.append(f"{heading}\n```text\n{sub.format_help().rstrip()}\n```\n")
    return "".join(parts)


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
    django.setup()
    PAGE.write_text(render())


if __name__ == "__main__":
    import tests.isolation  # noqa: F401  (a home of its own)

    main()
