"""The pages in a real browser: they render under their content policy and fit a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patchbay import Patchbay

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it from Debian packages"
    ),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--hide-scrollbars",
    "--virtual-time-budget=4000",
]


@pytest.fixture(scope="module")
def patchbay() -> Iterator[Patchbay]:
    with Patchbay(flags=("--demo",)) as running:
        yield running


def browse(url: str, profile: Path, *flags: str) -> tuple[str, str]:
    """The page's DOM after it has loaded, and what the browser logged."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=True)
    return done.stdout, done.stderr


def complaints(log: str) -> list[str]:
    """What the page itself caused: refused by its policy, or failing scripts."""
    return [
        line
        for line in log.splitlines()
        if "CONSOLE" in line and re.search(r"Refused|violates|Uncaught", line)
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_front_page_renders_without_complaints(patchbay: Patchbay, tmp_path: Path, width: int) -> None:
    dom, log = browse(f"{patchbay.url}/", tmp_path, f"--window-size={width},900")
    assert f"ANTHROPIC_BASE_URL={patchbay.url}" in dom
    assert complaints(log) == []


def test_the_login_link_leads_to_the_admin(patchbay: Patchbay, tmp_path: Path) -> None:
    link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
    dom, log = browse(link, tmp_path, "--window-size=1280,900")
    assert "Configuration and history" in dom
    assert complaints(log) == []
    again, _ = browse(link, tmp_path / "other")
    assert "Configuration and history" not in again
