"""A home, a work folder and an environment for one run of a tool, and the run itself.

Rule: nothing of the user's environment but the search path goes in, so no settings, keys or proxies of theirs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

RUN_SECONDS = 120.0
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Output:
    """How a run ended. `code` is None when it took too long and was killed."""

    code: int | None
    out: str
    err: str

    def tail(self) -> str:
        """The last of what it said, in one line, for a report of a failure."""
        said = " | ".join(line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip())
        return said[-600:] or "it said nothing"


@dataclass
class Sandbox:
    """`with Sandbox(wall_url) as sandbox: …`. Removed at the end, with whatever the tool wrote."""

    wall_url: str
    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="patchbay-client-")))

    def __enter__(self) -> Sandbox:
        for folder in (self.home, self.work, self.root / "tmp"):
            folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def home(self) -> Path:
        """The tool's home directory."""
        return self.root / "home"

    @property
    def work(self) -> Path:
        """The folder that it is started in."""
        return self.root / "work"

    def furnish(self, found: Mapping[str, str]) -> None:
        """Put files into the home: path → text."""
        for name, text in found.items():
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def environment(self) -> dict[str, str]:
        """Plain, with every way out but loopback leading against the wall."""
        home, loopback = str(self.home), "127.0.0.1,localhost,::1"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), self.wall_url)
        proxies |= {name.lower(): url for name, url in proxies.items()}
        return {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "XDG_CONFIG_HOME": f"{home}/.config",
            "XDG_CACHE_HOME": f"{home}/.cache",
            "XDG_DATA_HOME": f"{home}/.local/share",
            "TMPDIR": str(self.root / "tmp"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "DO_NOT_TRACK": "1",
            **proxies,
            "NO_PROXY": loopback,
            "no_proxy": loopback,
        }

    def run(
        self, command: Sequence[str], settings: Mapping[str, str], seconds: float = RUN_SECONDS
    ) -> Output:
        """Run to the end, or kill it with all its children after `seconds`."""
        with (self.root / "out").open("wb") as out, (self.root / "err").open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=self.work,
                env={**self.environment(), **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end_group(process)
        return Output(code, *((self.root / name).read_text(errors="replace") for name in ("out", "err")))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """The process, if it still runs, and whatever it left running."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
