"""One subject through everything: cold starts, loads, memory; and all of them together through the latency rounds."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.driver import LoadGenerator, ask_once, expected, free_port
from bench.install import WORK, Unavailable
from bench.jobs import Ask, Load, Rounds, Target
from bench.process import Cores, Launch, Process
from bench.scenarios import LATENCY, MODELS, Scenario
from bench.stats import median_of_medians, percentile, spread
from bench.subjects import Ready, Subject

START_SECONDS = 90.0
SETTLE_SECONDS = 0.6  # after a load, before its CPU time is read: work that was put off is counted too
STARTS, STARTS_SECONDS = 3, 12.0  # so many cold starts, fewer when they take long
DIRECT = "direct"


@dataclass(slots=True)
class Report:
    """What was measured of one subject. `failure` says why something is missing."""

    name: str
    title: str
    version: str = ""
    failure: str = ""
    note: str = ""
    loads: dict[str, dict[str, object]] = field(default_factory=dict)
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    cold_start: float | None = None  # seconds to the first answer, on an existing home
    cold_start_empty: float | None = None
    rss_start: float | None = None  # MB
    rss_end: float | None = None  # after the loads of ordinary size
    rss_large: float | None = None  # after the large requests, which come last


@dataclass(slots=True)
class Bench:
    """What all measurements share."""

    cores: Cores
    generator: LoadGenerator
    mock: Process
    upstream: int
    scenarios: Sequence[Scenario]
    rounds: int

    # --- one subject --------------------------------------------------------------------------------------

    def direct(self) -> Report:
        """The upstream itself."""
        report = Report(DIRECT, "straight to the mock upstream")
        for scenario in self.scenarios:
            self._load(report, scenario, Target(DIRECT, self.upstream), None, None)
        return report

    def subject(self, subject: Subject) -> Report:
        """Install, start, load. Never raises for a subject that fails: the report says so."""
        report = Report(subject.name, subject.title, note=subject.note)
        home = new_home(subject)
        process = None
        try:
            report.version = subject.install()
            if subject.first_ask is not None:
                report.cold_start_empty = self._empty_start(subject, subject.first_ask)
            port = free_port()
            ready = subject.configure(home, self.upstream, port, MODELS)
            process, report.cold_start = self._starts(subject, ready, port)
            report.rss_start = process.resident_mb()
            for scenario in self.scenarios:
                if scenario.ask.speaks not in subject.speaks:
                    continue
                say(f"  {scenario.name}")
                self._load(report, scenario, Target(subject.name, port, ready.headers), process, subject)
                if scenario.is_large:
                    report.rss_large = process.resident_mb()
                else:
                    report.rss_end = process.resident_mb()
        except Unavailable as exc:
            report.failure = str(exc)
            say(f"  {subject.title}: {exc}")
        finally:
            if process is not None:
                process.stop()
            shutil.rmtree(home, ignore_errors=True)
        return report

    def _load(
        self,
        report: Report,
        scenario: Scenario,
        target: Target,
        process: Process | None,
        subject: Subject | None,
    ) -> None:
        ask = expected(self.upstream, scenario.ask)
        ask = subject.named(ask) if subject is not None else ask
        job = Load(target, ask, scenario.clients, scenario.requests, scenario.seconds, scenario.warm_up)
        before: list[float] = []
        run = self.generator.load(job, lambda: before.append(process.cpu_seconds() if process else 0.0))
        time.sleep(SETTLE_SECONDS)
        if process is not None and process.has_ended:
            raise Unavailable(f"it ended during {scenario.name}: {process.last_words()}")
        used = process.cpu_seconds() - before[0] if process else None
        report.loads[scenario.name] = _summary(run.result.latencies, run.result.first) | {
            "wall_s": run.result.wall,
            "errors": run.result.errors,
            "requests_per_s": len(run.result.latencies) / run.result.wall,
            "events_per_s": run.result.events / run.result.wall,
            "cpu_s": used,
            "cpu_per_1000_requests": _per_thousand(used, len(run.result.latencies)),
            "cpu_per_1000_events": _per_thousand(used, run.result.events),
            "helpers_busy": run.helpers_busy,
            "rss_mb": process.resident_mb() if process else None,
        }

    # --- starting -----------------------------------------------------------------------------------------

    def _empty_start(self, subject: Subject, ask: Ask) -> float:
        home, port = new_home(subject), free_port()
        try:
            process, seconds = self._start(subject, subject.empty(home, port), port, ask, {})
            process.stop()
        finally:
            shutil.rmtree(home, ignore_errors=True)
        return seconds

    def _starts(self, subject: Subject, ready: Ready, port: int) -> tuple[Process, float]:
        """A running process, and the median of its cold starts; the first start of all is not counted."""
        process, first = self._start(subject, ready.launch, port, subject.probe, ready.headers)
        times: list[float] = []
        while len(times) < STARTS and sum(times, first) < STARTS_SECONDS:
            process.stop()
            process, seconds = self._start(subject, ready.launch, port, subject.probe, ready.headers)
            times.append(seconds)
        return process, statistics.median(times or [first])

    def _start(
        self, subject: Subject, launch: Launch, port: int, ask: Ask, headers: dict[str, str]
    ) -> tuple[Process, float]:
        log = WORK / "logs" / f"{subject.name}.log"
        return started(launch, self.cores.subject, log, port, ask, headers)

    # --- all subjects together ----------------------------------------------------------------------------

    def latency(self, subjects: Sequence[Subject], reports: dict[str, Report]) -> None:
        """The interleaved rounds. Subjects that failed before take no part."""
        running: list[Process] = []
        homes: list[Path] = []
        targets = [Target(DIRECT, self.upstream)]
        try:
            for subject in subjects:
                report = reports[subject.name]
                if report.failure or "chat" not in subject.speaks:
                    continue
                home, port = new_home(subject), free_port()
                homes.append(home)
                try:
                    ready = subject.configure(home, self.upstream, port, MODELS)
                    process, _ = self._start(subject, ready.launch, port, subject.probe, ready.headers)
                except Unavailable as exc:
                    report.failure = f"second start, for the added latency: {exc}"
                    continue
                running.append(process)
                targets.append(Target(subject.name, port, ready.headers))
            for name, ask in LATENCY.items():
                self._rounds(name, Rounds(targets, expected(self.upstream, ask), self.rounds), reports)
        finally:
            for process in running:
                process.stop()
            for home in homes:
                shutil.rmtree(home, ignore_errors=True)

    def _rounds(self, name: str, job: Rounds, reports: dict[str, Report]) -> None:
        result = self.generator.rounds(job)
        floor = _figures(result.latencies[DIRECT], result.first[DIRECT])
        for target in job.targets:
            figures = _figures(result.latencies[target.name], result.first[target.name])
            added = {f"added_{key}": value - floor[key] for key, value in figures.items()}
            errors = sum(n for text, n in result.errors.items() if text.startswith(f"{target.name}: "))
            reports[target.name].latency[name] = figures | added | {"errors": errors}


def started(
    launch: Launch, core: int | None, log: Path, port: int, ask: Ask, headers: dict[str, str]
) -> tuple[Process, float]:
    """Start a process and ask until it answers; seconds to that answer. Raises Unavailable."""
    began = time.perf_counter()
    try:
        process = Process(launch, core=core, log=log)
    except OSError as exc:
        raise Unavailable(f"it cannot be started: {exc.strerror}") from exc
    problem = "it never listened"
    while time.perf_counter() - began < START_SECONDS and not process.has_ended:
        try:
            ask_once(port, ask, headers)
            return process, time.perf_counter() - began
        except OSError as exc:
            problem = str(exc)
            time.sleep(0.01)
    words = process.last_words()
    process.stop()
    raise Unavailable(f"it did not answer within {START_SECONDS:.0f} s ({problem}): {words}")


def _figures(latencies: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> dict[str, float]:
    """p50 is the median of the rounds' medians, p99 that of all answers. Empty without an answer."""
    if not any(latencies):
        return {}
    everything = sorted(value for values in latencies for value in values)
    return {
        "p50": median_of_medians(latencies),
        "p99": percentile(everything, 0.99),
        "first_p50": median_of_medians(first),
        "first_p99": percentile(sorted(value for values in first for value in values), 0.99),
    }


def _summary(latencies: Sequence[float], first: Sequence[float]) -> dict[str, object]:
    return {"latency_ms": asdict(spread(latencies)), "first_content_ms": asdict(spread(first))}


def _per_thousand(seconds: float | None, count: int) -> float | None:
    return seconds / count * 1000 if seconds is not None and count else None


def new_home(subject: Subject) -> Path:
    """An empty folder."""
    return Path(tempfile.mkdtemp(prefix=f"bench-{subject.name}-"))


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)
