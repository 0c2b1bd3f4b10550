#!/usr/bin/env python
"""Patchbay's command line: `python manage.py help` lists the commands."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    os.umask(0o077)  # every file this process makes is the operator's alone
    gc.set_threshold(50_000, 20, 20)  # imports leave no garbage, and looking for it takes a tenth of a start
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as exc:
        raise SystemExit(f"Django is not installed ({exc}). Run `make run`, or activate .venv.") from exc
    from django.core.exceptions import ImproperlyConfigured

    from router_site.flags import flags_to_environment

    if sys.argv[1:2] == ["runproxy"]:
        flags_to_environment(sys.argv[2:])
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        print(f"manage.py: {exc}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
