"""The pictures of the documentation: `make screenshots` fills docs/images/, by tests/node/pages.mjs.

The home, its accounts and its traffic are invented (bench/demo_history.py); the server runs on a free port of this
machine and asks nobody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import isolation
from tests.patchbay import PROJECT, Patchbay
from tests.servers import SimulatorThread

FOLDER = PROJECT / "docs" / "images"
SCRIPTS = PROJECT / "tests" / "node"
SHOTS = {  # and how high each is
    "overview-1280-light": 850,
    "overview-1280-dark": 850,
    "overview-390-dark": 844,
    "live-1280-light": 720,
    "request-1280-light": 850,
    "session-1280-light": 720,
    "accounts-1280-dark": 680,
    "routes-1280-light": 900,
}
LARGEST = 150_000  # bytes of a picture
MODELS = ("claude-opus-4-8", "claude-opus-4-8", "gpt-5", "fast")


def main() -> int:
    """Take them all; 1 when one is missing or too large."""
    assert isolation.HOME  # nothing of the operator's environment is left
    home = Path(tempfile.mkdtemp(prefix="patchbay-screenshots-"))
    try:
        with SimulatorThread() as upstream:
            key = fill(home, upstream.url)
            with Patchbay(home=home) as patchbay:
                ask(patchbay, key)
                shoot(patchbay)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return report()


def fill(home: Path, upstream: str) -> str:
    """A month of traffic; returns a client key."""
    command = [sys.executable, "-m", "bench.demo_history", "--home", str(home), "--upstream", upstream]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


def ask(patchbay: Patchbay, key: str) -> None:
    """A few requests of this minute, so that the live page has something to show."""
    for number in range(12):
        question = {
            "model": MODELS[number % 4],
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 500,
        }
        path = "/v1/messages" if question["model"].startswith("claude") else "/v1/chat/completions"
        patchbay.post(
            path, question, {"x-patchbay-key": key, "user-agent": "claude-cli/2.1.44 (external, cli)"}
        )


def shoot(patchbay: Patchbay) -> None:
    """Open the pages in both sizes and colours, and keep the pictures in SHOTS."""
    from tests.analytics.pages.test_pages_in_chromium import CHROMIUM, NODE, places

    link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
    wanted = ",".join(f"{shot}@{height}" for shot, height in SHOTS.items())
    command = [str(NODE), "pages.mjs", "--screenshots", str(FOLDER), "--shots", wanted, link]
    chosen = [place for place in places(patchbay.home) if place.partition(":")[0] in pages()]
    subprocess.run(
        [*command, *chosen], cwd=SCRIPTS, env={**os.environ, "CHROMIUM": str(CHROMIUM)}, check=True
    )


def pages() -> set[str]:
    """The names of the pages that have a picture."""
    return {shot.partition("-")[0] for shot in SHOTS}


def report() -> int:
    """Say how large each is."""
    sizes = {shot: (FOLDER / f"{shot}.png").stat().st_size for shot in SHOTS}
    for shot, size in sizes.items():
        print(f"{size / 1000:6.0f} kB  docs/images/{shot}.png")
    return int(any(size > LARGEST for size in sizes.values()))


if __name__ == "__main__":
    sys.exit(main())
