"""The admin's pages are found when somebody asks for them, and not before."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.patchbay import PROJECT

LOOK = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "router_site.settings"
import django
django.setup()
from django.contrib import admin
from django.contrib.admin.checks import check_admin_app
from django.urls import reverse
counts = [len(admin.site._registry)]
{use}
counts.append(len(admin.site._registry))
print(json.dumps(counts))
"""


def pages(use: str) -> list[int]:
    """How many pages the admin has in a new process, before and after `use`."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(use=use)], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_they_are_there_for_the_first_link_and_for_the_check() -> None:
    before, linked = pages('reverse("admin:accounts_account_changelist")')
    assert (before, linked > 8) == (0, True)
    assert pages("assert check_admin_app(None) == []") == [0, linked]
