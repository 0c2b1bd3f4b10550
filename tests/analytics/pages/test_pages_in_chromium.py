"""Every page in a real browser with real data: 1280 and 390 pixels, light and dark. One browser looks at them all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.on_postgres import home_settings
from tests.patchbay import PROJECT, Patchbay

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
SCRIPTS = PROJECT / "tests" / "node"
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.node,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it from Debian packages"
    ),
    pytest.mark.skipif(
        NODE is None or not (SCRIPTS / "node_modules" / "playwright-core").is_dir(),
        reason="Node.js or playwright-core is not installed; run `make node-deps`",
    ),
]
PAGES = {
    "overview": "/dashboard/",
    "live": "/dashboard/live/",
    "requests": "/dashboard/requests/",
    "request": "/dashboard/requests/{request}/",
    "sessions": "/dashboard/sessions/",
    "session": "/dashboard/sessions/{session}/",
    "accounts": "/dashboard/accounts/",
    "routes": "/dashboard/routes/?model=claude-opus-4-8&protocol=&key=laptop",
    "playground": "/dashboard/playground/",
    "front page": "/",
    "admin": "/admin/",
}
BEHAVIOURS = (
    "the choice of colours is remembered",
    "fresh figures come without a new chart",
    "what was scrolled stays where it is",
    "the skip link leads to the content",
)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the browser found, line by line."""
    with Patchbay(home=furnished(tmp_path_factory.mktemp("pages"))) as patchbay:
        link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
        done = subprocess.run(
            [str(NODE), "pages.mjs", link, *places(patchbay.home)],
            cwd=SCRIPTS,
            env={**os.environ, "CHROMIUM": str(CHROMIUM)},
            capture_output=True,
            text=True,
            timeout=150,
        )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def furnished(home: Path) -> Path:
    """A home with a day of plausible traffic."""
    subprocess.run(
        [sys.executable, "-m", "bench.demo_history", "--days", "1", "--home", str(home)],
        cwd=PROJECT,
        env={**os.environ, **home_settings(home)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return home


def places(home: Path) -> list[str]:
    """The pages, with the largest session and one of its requests in their places."""
    rows = Patchbay(home=home).sql
    session = rows("history", "SELECT id FROM analytics_sessionrow ORDER BY requests DESC LIMIT 1")[0][0]
    found = rows("history", "SELECT id FROM analytics_requestrecord WHERE session = ? LIMIT 1", session)
    request = found[0][0]
    return [f"{name}:{path.format(request=request, session=session)}" for name, path in PAGES.items()]


def test_each_page_was_looked_at_in_both_sizes_and_colours(said: list[dict[str, Any]]) -> None:
    seen = [(line["name"], line["width"], line["scheme"]) for line in said if "name" in line]
    assert seen == [
        (name, width, scheme) for name in PAGES for width in (1280, 390) for scheme in ("light", "dark")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_without_fault(name: str, said: list[dict[str, Any]]) -> None:
    """No error in the console, nothing refused by the policy, no wider than the window, no serious axe finding."""
    lines = [line for line in said if line.get("name") == name]
    faults = [f"{line['width']} {line['scheme']}: {text}" for line in lines for text in line["problems"]]
    assert faults == []


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_what_the_scripts_of_the_pages_do(behaviour: str, said: list[dict[str, Any]]) -> None:
    assert {"behaviour": behaviour, "passed": True} in said
