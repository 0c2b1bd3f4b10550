"""The flags of `runproxy`, as the settings they stand for.

`manage.py` puts them into the environment before the settings are read, so a flag is simply the strongest
source of a setting and nothing is changed while the process runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

_VALUES = [
    ("--host", "PATCHBAY_HOST", "ADDRESS", "bind address (default 127.0.0.1)"),
    ("--port", "PATCHBAY_PORT", "PORT", "port, 1 to 65535 (default 3456)"),
    ("--workers", "PATCHBAY_WORKERS", "N", "processes behind the one port (needs REDIS_URL)"),
    ("--model", "PATCHBAY_FORCE_MODEL", "NAME", "send every request to this model"),
]
_SWITCHES = [
    (("--passthrough", "--thin"), "PATCHBAY_PASSTHROUGH", "swap the credential and touch nothing else"),
    (
        ("--preserve-tools", "--keep-tools"),
        "PATCHBAY_PRESERVE_TOOLS",
        "templates leave the client's tools alone",
    ),
    (("--demo",), "PATCHBAY_DEMO", "add the built-in simulated backend with three accounts"),
]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    for flag, setting, metavar, text in _VALUES:
        parser.add_argument(flag, dest=setting, metavar=metavar, default=None, help=text)
    for flags, setting, text in _SWITCHES:
        parser.add_argument(*flags, dest=setting, action="store_const", const="on", default=None, help=text)
    parser.add_argument(
        "--verbose",
        dest="PATCHBAY_VERBOSE",
        action="store_const",
        const="on",
        default=None,
        help="one line per request",
    )


def flags_to_environment(arguments: Sequence[str]) -> None:
    """Read the known flags from a command line and set the environment. Errors are left to the command."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    add_flags(parser)
    try:
        known, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        return  # the command's own parser meets the same words and says what is wrong with them
    for setting, value in vars(known).items():
        if value is not None:
            os.environ[setting] = value
