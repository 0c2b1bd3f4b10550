"""Starting the scenario scripts of tests/node, and reading what they print."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.patchbay import PROJECT, Patchbay

FOLDER = PROJECT / "tests" / "node"
SCRIPT_SECONDS = 40.0


def missing() -> str:
    """Why the scripts cannot run here; "" if they can."""
    if shutil.which("node") is None:
        return "Node.js is not installed; .ci/run installs it where it may"
    if not (FOLDER / "node_modules" / "openai").is_dir():
        return "the JavaScript SDKs are not installed; run `make node-deps`"
    return ""


def environment(patchbay: Patchbay) -> dict[str, str]:
    """For a script: where Patchbay is, and no key or proxy of whoever runs the tests."""
    unwanted = ("_API_KEY", "_AUTH_TOKEN", "_BASE_URL", "_PROXY", "_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.endswith(unwanted)}
    return {**kept, "PATCHBAY_TEST_URL": patchbay.url}


def run(script: str, patchbay: Patchbay, *words: str) -> dict[str, Any]:
    """What one script said, by name. Fails the test if the script failed."""
    done = subprocess.run(
        ["node", script, *words],
        cwd=FOLDER,
        env=environment(patchbay),
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
    )
    assert done.returncode == 0, f"{script} exited {done.returncode}:\n{done.stderr}"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["value"] for line in lines}


class Conversation:
    """A running script that waits for a line from the test before each next step."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self, name: str) -> Any:
        """The value that the script says next; it must have this name."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the script ended before it said {name!r}"
        said = json.loads(line)
        assert said["name"] == name
        return said["value"]

    def go_on(self) -> None:
        """Let the script take its next step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> int:
        """Wait for the script's own end; its exit code."""
        return self._process.wait(SCRIPT_SECONDS)


@contextmanager
def conversation(script: str, patchbay: Patchbay, log: Path) -> Iterator[Conversation]:
    """A running script. It is killed at the end of the block if it still runs; `log` gets its errors."""
    with (
        log.open("w") as errors,
        subprocess.Popen(
            ["node", script],
            cwd=FOLDER,
            env=environment(patchbay),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Conversation(process)
        finally:
            process.kill()
