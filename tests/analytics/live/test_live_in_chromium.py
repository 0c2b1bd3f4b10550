"""The live page, the list of requests and the playground in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from tests.patchbay import PROJECT, Patchbay

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
FOLDER = PROJECT / "tests" / "node"
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.node,
    pytest.mark.skipif(
        CHROMIUM is None or NODE is None or not (FOLDER / "node_modules" / "playwright-core").is_dir(),
        reason="Chromium, Node or its packages are absent; `make node-deps` and .ci/run install them",
    ),
]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What tests/node/live.mjs saw."""
    with Patchbay({"PATCHBAY_LOG_BODIES": "on"}, flags=("--demo",)) as patchbay:
        link = next(word for word in patchbay.log.split() if "/admin/login-link/" in word)
        where = {"PATCHBAY_URL": patchbay.url, "PATCHBAY_LINK": link, "CHROMIUM": str(CHROMIUM)}
        done = subprocess.run(
            [str(NODE), "live.mjs"],
            cwd=FOLDER,
            env={**os.environ, **where},
            capture_output=True,
            text=True,
            timeout=55,
        )
        assert done.returncode == 0, f"{done.stderr}\n{done.stdout}\n{patchbay.log}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_nothing_complains(told: dict[str, Any]) -> None:
    assert told["complaints"] == []


def test_the_live_page_shows_a_request_within_a_second_of_its_end(told: dict[str, Any]) -> None:
    assert told["shownAfterMs"] < 1000
    assert told["firstModel"] == "<b>not bold</b>"


def test_a_running_stream_is_stopped_from_the_page(told: dict[str, Any]) -> None:
    assert told["asksAgain"] == "Stop it?"
    assert told["stopped"] is True
    assert told["error"] == "stopped by the operator"


def test_the_live_page_opens_filters_and_pauses(told: dict[str, Any]) -> None:
    assert told["dialog"] == "<b>not bold</b>"
    assert told["address"] == "?model=not+bold"
    assert told["paused"] == "paused"


def test_other_pages_renew_themselves_when_something_has_happened(told: dict[str, Any]) -> None:
    assert told["renewedAfterMs"] < 10_000, "far from the half minute that passes without word of the server"


def test_pages_that_hear_nothing_look_every_half_minute(told: dict[str, Any]) -> None:
    assert (told["looksBefore"], told["looksAfter"]) == (0, 1)


def test_the_playground_shows_answers_side_by_side(told: dict[str, Any]) -> None:
    plain, bold = told["answers"]
    assert "Say hello" in plain
    assert bold == "<b>bold</b>"
    assert "demo / demo-2" in told["facts"][1]


def test_the_list_of_requests_follows_its_filter(told: dict[str, Any]) -> None:
    assert (told["cancelled"], told["search"]) == (2, "?outcome=cancelled")
