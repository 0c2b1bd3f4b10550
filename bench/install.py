"""Getting other programs onto this machine by package name, with pip, npm and apt-get. All of it stays in `.work`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WORK = Path(__file__).resolve().parent / ".work"
INSTALL_SECONDS = 600


class Unavailable(Exception):
    """A subject cannot be installed or started here. The text says why, in one line."""


def run(command: Sequence[str], folder: Path | None = None, timeout: float = INSTALL_SECONDS) -> str:
    """The output of a command. Raises Unavailable when it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(
            f"{Path(command[0]).name} did not run or took too long: {type(exc).__name__}"
        ) from exc
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = lines[-1][:200] if lines else "no message"
        raise Unavailable(f"{Path(command[0]).name} exited {done.returncode}: {last}")
    return done.stdout + done.stderr


def python_package(folder: Path, package: str, pinned: str) -> Path:
    """The folder of the commands of a virtual environment that holds `package`, `pinned` or else the newest."""
    binaries = folder / "bin"
    if _installed(folder) == pinned:
        return binaries
    run([sys.executable, "-m", "venv", "--clear", str(folder)])
    pip = [str(binaries / "python"), "-m", "pip", "install", "--quiet"]
    try:
        run([*pip, f"{package}=={pinned}"])
    except Unavailable:
        run([*pip, package])
    _mark(folder, pinned)
    return binaries


def python_folder(folder: Path, package: str, version: str) -> Path:
    """A folder of modules for PYTHONPATH that holds `package`, for what must run beside our own modules."""
    if _installed(folder) != version:
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--target", str(folder), f"{package}=={version}"])
        _mark(folder, version)
    return folder


def node_package(folder: Path, package: str, version: str) -> Path:
    """The folder of an npm package."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("Node.js with npm is not on this machine; install it and run again")
    installed = folder / "node_modules" / package
    if _installed(folder) != version:
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(folder)]
        try:
            run([*install, f"{package}@{version}"])
        except Unavailable:
            run([*install, package])
        _mark(folder, version)
    return installed


def _installed(folder: Path) -> str:
    """The version that was asked for when this folder was filled, "" if it never was to the end."""
    file = folder / ".complete"
    return file.read_text() if file.exists() else ""


def _mark(folder: Path, version: str) -> None:
    (folder / ".complete").write_text(version)


def debian_program(folder: Path, package: str, program: str) -> Path:
    """A program of the system, or unpacked from its Debian package without being set up as a service."""
    if found := shutil.which(program):
        return Path(found)
    unpacked = folder / "usr" / "sbin" / program
    if unpacked.exists():
        return unpacked
    if shutil.which("apt-get") is None:
        raise Unavailable(
            f"{program} is not on this machine and there is no apt-get; install it and run again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        run(["apt-get", "update", "--quiet"])
    run(["apt-get", "download", "--quiet", package], folder)
    for file in folder.glob("*.deb"):
        run(["dpkg-deb", "--extract", str(file), str(folder)])
    return unpacked
