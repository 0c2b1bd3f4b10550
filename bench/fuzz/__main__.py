"""`make fuzz`: every target for a while, each in a process of its own. `python -m bench.fuzz [NAME …] [--seconds N]`.

With atheris (https://github.com/google/atheris) the inputs follow the paths that the code takes; without it hypothesis
makes them. An input that breaks a rule is printed with its traceback, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 20


def main() -> int:
    """0 if every rule held."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
    from bench.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description="Fuzz what reads strangers' bytes.")
    parser.add_argument("names", nargs="*", help=f"Which: {', '.join(TARGETS)}. Default: all.")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"For each target ({SECONDS}).")
    options = parser.parse_args()
    if unknown := set(options.names) - set(TARGETS):
        parser.error(f"There is no target {', '.join(sorted(unknown))}.")
    failed = [name for name in options.names or TARGETS if not _holds(name, options.seconds)]
    print(f"Broken: {', '.join(failed)}." if failed else "Every rule held.")
    return 1 if failed else 0


def _holds(name: str, seconds: int) -> bool:
    print(f"--- {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="patchbay-fuzz-") as home:
        told = {**os.environ, "PATCHBAY_HOME": home}
        command = [sys.executable, "-m", "bench.fuzz.one", name, str(seconds), str(Path(home) / "corpus")]
        return subprocess.run(command, env=told, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
