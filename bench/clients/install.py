"""The tools, installed once by package name and version into `.clients/`.

Rule: a changed pin makes the environment anew; a tool that cannot be installed is named, and the rest goes on.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.install import Unavailable, run

HERE = Path(__file__).resolve().parent
WORK = HERE.parent.parent / ".clients"

CLAUDE_CODE = "@anthropic-ai/claude-code@2.1.330"
CODEX = "@openai/codex@0.169.0"
AI_SDK = ("ai@7.0.173", "@ai-sdk/anthropic@4.0.105", "@ai-sdk/openai@4.0.118", "zod@4.6.7")
JAVASCRIPT_SDKS = ("@anthropic-ai/sdk@1.12.0", "openai@7.57.0", "zod@4.6.7")
AIDER = "aider-chat==0.86.2"
OPENCODE = "opencode-ai@1.18.33"
CONTINUE = "@continuedev/cli@1.5.47"
LLM = ("llm==0.36", "llm-anthropic==0.30")


def version(pin: str) -> str:
    """`name==1.2` or `@scope/name@1.2` → `1.2`."""
    return pin.replace("==", "@").rpartition("@")[2]


def python_environment(name: str, *pins: str) -> Path:
    """The folder of the commands of a virtual environment that holds `pins`. Raises Unavailable."""
    folder = WORK / name
    if not _is_complete(folder, pins):
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *pins])
        _mark(folder, pins)
    return folder / "bin"


def node_environment(name: str, *pins: str) -> Path:
    """The folder that holds the `node_modules` of `pins`. Raises Unavailable."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("Node.js with npm is not on this machine; install it and run again")
    folder = WORK / name
    if not _is_complete(folder, pins):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        quiet = ("--no-fund", "--no-audit", "--loglevel=error")
        run(["npm", "install", *quiet, "--prefix", str(folder), *pins])
        _mark(folder, pins)
    return folder


def script_beside(modules: Path, name: str) -> Path:
    """A script of `node/`, copied to where Node.js finds the modules of that folder."""
    return Path(shutil.copy(HERE / "node" / name, modules / name))


def _is_complete(folder: Path, pins: Sequence[str]) -> bool:
    stamp = folder / ".complete"
    return stamp.exists() and stamp.read_text() == "\n".join(pins)


def _mark(folder: Path, pins: Sequence[str]) -> None:
    (folder / ".complete").write_text("\n".join(pins))
