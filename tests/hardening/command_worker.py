"""Runs management commands in one process: a JSON list of word lists comes in, a list of their outputs goes out.

A process for each would cost the tests more than all they show.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
django.setup()

from django.core.management import CommandError, call_command  # noqa: E402


def run(words: list[str]) -> str:
    """What one command printed, also when it fails."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            call_command(*words, stdout=out, stderr=out)
        except (CommandError, SystemExit) as exc:
            out.write(f"\n{exc}")
    return out.getvalue()


sys.stdout.write(json.dumps([run(words) for words in json.load(sys.stdin)]))
