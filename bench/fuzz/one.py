"""One target in this process, by atheris or by hypothesis: `python -m bench.fuzz.one NAME SECONDS CORPUS`."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "router_site.settings")
LONGEST_INPUT = 4096  # bytes


def main() -> None:
    """Run until the time is up or a rule is broken, which ends the process with a code that is not 0."""
    name, seconds, corpus = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if importlib.util.find_spec("atheris") is None:
        _by_hypothesis(name, seconds)
    else:
        _by_atheris(name, seconds, corpus)


def _by_atheris(name: str, seconds: int, corpus: Path) -> None:
    import atheris

    listed = contextlib.redirect_stderr(io.StringIO())  # a line for each module
    with listed, atheris.instrument_imports(include=["backends", "router_site"]):
        from bench.fuzz.targets import TARGETS, seeds
    corpus.mkdir(parents=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / str(number)).write_bytes(seed)
    limits = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        "-verbosity=0",
        "-print_final_stats=1",
    ]

    def check(data: bytes) -> None:
        try:
            TARGETS[name](data)
        except Exception:
            print(f"{name} breaks with {data!r}", flush=True)
            raise

    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={corpus}-", str(corpus)], check)
    atheris.Fuzz()


def _by_hypothesis(name: str, seconds: int) -> None:
    from hypothesis import HealthCheck, given, settings

    from bench.fuzz.inputs import inputs
    from bench.fuzz.targets import TARGETS

    run = given(inputs(name))(TARGETS[name])
    many = settings(max_examples=1000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    deadline, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        many(run)()
        rounds += 1
    print(f"{rounds} times 1,000 inputs by hypothesis; atheris is not installed")


if __name__ == "__main__":
    main()
