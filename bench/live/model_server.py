"""llama.cpp's OpenAI-compatible server with a tiny random model, on loopback.

Rule: everything it needs lies under `.live/` and is made once; a run after that starts in seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).resolve().parent
WORK = HERE.parent.parent / ".live"
VENV = WORK / "venv"
PYTHON = VENV / "bin" / "python"
MODEL = "patchbay-tiny"
START_SECONDS = 60.0
BUILD_FLAGS = (
    "-DLLAVA_BUILD=OFF -DGGML_OPENMP=OFF"  # no image models, no OpenMP: less to build, nothing missed
)


class LiveError(Exception):
    """The run cannot go on. The text says why and what to do, in one line."""


def install() -> None:
    """Make the environment, unless an earlier run made the same one."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp = WORK / "installed.txt"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted:
        print(f"model server: using {VENV}")
        return
    if shutil.which("c++") is None and shutil.which("g++") is None and shutil.which("clang++") is None:
        raise LiveError(
            "llama.cpp is compiled here and needs a C++ compiler: install g++ or clang, run again."
        )
    print(f"model server: compiling llama.cpp into {VENV}; once, about five to ten minutes …", flush=True)
    WORK.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", str(VENV)])
    _run([str(PYTHON), "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")])
    stamp.write_text(wanted)


def write_model() -> Path:
    """The model file, written anew when the script that makes it is younger."""
    script, target = HERE / "tiny_model.py", WORK / f"{MODEL}.gguf"
    if not target.exists() or target.stat().st_mtime < script.stat().st_mtime:
        _run([str(PYTHON), str(script), str(target)])
    print(f"model: {target.name}, {target.stat().st_size // 1024} KiB of random weights")
    return target


def _run(command: list[str]) -> None:
    """Run to the end. Raises LiveError with the last line of what it said."""
    environment = {**os.environ, "CMAKE_ARGS": BUILD_FLAGS, "HF_HUB_OFFLINE": "1"}
    log = WORK / "install.log"
    with log.open("ab") as output:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode != 0:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        said = lines[-1][:300] if lines else "nothing"
        raise LiveError(f"{Path(command[0]).name} exited {done.returncode}; see {log}. It said last: {said}")


class ModelServer:
    """`with ModelServer(model, port) as server: …` runs it."""

    def __init__(self, model: Path, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._command = [
            *(str(PYTHON), "-m", "llama_cpp.server", "--model", str(model), "--model_alias", MODEL),
            *("--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512", "--n_threads", "1"),
        ]
        self._log = WORK / "server.log"

    def __enter__(self) -> ModelServer:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.base_url}/models", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        raise LiveError(f"The model server did not start; {self._log} says why. Remove {WORK} and run again.")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
