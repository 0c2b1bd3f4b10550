"""`python -m bench`: measure, then write RESULTS.md and results/latest.json."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import machine
from bench.alone import alone
from bench.driver import LoadGenerator, start_mock
from bench.install import WORK
from bench.measure import DIRECT, Bench, Report, say
from bench.peers import ClaudeCodeRouter, LiteLLM, Portkey
from bench.process import Cores
from bench.report import OURS, render
from bench.scenarios import SCENARIOS
from bench.subjects import Nginx, Patchbay, PatchbayGranian, PatchbayUvicorn, Subject
from bench.targets import checks

HERE = Path(__file__).resolve().parent
SUBJECTS: tuple[type[Subject], ...] = (
    Nginx,
    Patchbay,
    PatchbayUvicorn,
    PatchbayGranian,
    Portkey,
    ClaudeCodeRouter,
    LiteLLM,
)
QUICK_ROUNDS, ROUNDS = 3, 7
QUICK = [Nginx.name, Patchbay.name]


def main() -> int:
    """Exit code 0, or 1 when Patchbay missed one of its targets or could not run; 2 for wrong use."""
    options = _options().parse_args()
    if sys.platform != "linux":
        sys.exit("The bench reads CPU time and memory from the Linux kernel, so it needs Linux.")
    wanted = options.only or (QUICK if options.quick else [subject.name for subject in SUBJECTS])
    subjects = [subject() for subject in SUBJECTS if subject.name in wanted]
    scenarios = [s.shorter() for s in SCENARIOS] if options.quick else list(SCENARIOS)
    if options.loads:
        scenarios = [s for s in scenarios if s.name in options.loads]
    (WORK / "logs").mkdir(parents=True, exist_ok=True)
    facts, cores, began = machine.describe(), Cores.choose(), time.perf_counter()
    mock, port = start_mock(cores, WORK / "logs")
    generator = LoadGenerator(cores, mock)
    bench = Bench(cores, generator, mock, port, scenarios, QUICK_ROUNDS if options.quick else ROUNDS)
    try:
        reports = _measure(bench, subjects)
        wants_alone = not options.loads and any(subject.name == OURS for subject in subjects)
        only_ours = alone(bench, quick=options.quick) if wants_alone else {}
    finally:
        generator.stop()
        mock.stop()
    run = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": _command(options),
        "duration": f"{time.perf_counter() - began:.0f} s",
    }
    _write(
        options.out,
        {
            "run": run,
            "machine": facts,
            "subjects": [asdict(report) for report in reports],
            "alone": only_ours,
        },
    )
    return _verdict(reports, only_ours)


def _measure(bench: Bench, subjects: Sequence[Subject]) -> list[Report]:
    say(DIRECT)
    reports = {DIRECT: bench.direct()}
    for subject in subjects:
        say(subject.title)
        reports[subject.name] = bench.subject(subject)
    say("added latency, all together")
    bench.latency(subjects, reports)
    return list(reports.values())


def _write(folder: Path, data: dict[str, object]) -> None:
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "results" / "latest.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (folder / "RESULTS.md").write_text(render(data))
    say(f"written: {folder / 'RESULTS.md'}")


def _verdict(reports: Sequence[Report], only_ours: dict[str, object]) -> int:
    """Print Patchbay's targets."""
    ours = next((report for report in reports if report.name == OURS), None)
    if ours is None:
        return 0
    found = checks([asdict(report) for report in reports], only_ours)
    for check in found:
        word = {True: "pass", False: "FAIL", None: "  - "}[check.passed]
        print(f"{word}  {check.title}: {check.measured} (target {check.limit})")
    return int(bool(ours.failure) or any(check.passed is False for check in found))


def _command(options: argparse.Namespace) -> str:
    """What was asked for, without the folder of the results: it may name a person."""
    words = ["python -m bench", "--quick" if options.quick else ""]
    words += [
        f"--only {','.join(options.only)}" if options.only else "",
        f"--loads {','.join(options.loads)}" if options.loads else "",
    ]
    return " ".join(word for word in words if word)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads a comma-separated choice of known names; argparse turns the error into exit code 2."""

    def read(text: str) -> list[str]:
        wanted = text.split(",")
        if unknown := sorted(set(wanted) - set(known)):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}. Choose from {', '.join(known)}")
        return wanted

    return read


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Patchbay beside other gateways."
    )
    subjects = [subject.name for subject in SUBJECTS]
    parser.add_argument("--only", type=_names(subjects), metavar="NAME,…", help="only these subjects")
    loads = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--loads", type=_names(loads), metavar="NAME,…", help="only these loads")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a fifth of the requests, three latency rounds, no peers unless --only names them",
    )
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER", help="where the results go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
