"""What a scenario is, how it is run, and what is looked at after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backends.wire.kinds import Kind
from bench.clients.lab import Lab
from bench.clients.sandbox import RUN_SECONDS, Output, Sandbox
from bench.install import Unavailable

_PATHS = {"chat": Kind.CHAT.path, "messages": Kind.MESSAGES.path}


class Problem(Exception):
    """Something is not as it should be. The text says what was seen, in one line."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a tool's own part of the scenario gets."""

    place: Path  # what `install` gave
    url: str
    model: str
    sandbox: Sandbox
    lab: Lab | None = None

    def do(self, command: Sequence[str], settings: Mapping[str, str], seconds: float = RUN_SECONDS) -> Output:
        """Run the tool. Raises Problem unless it ends well."""
        output = self.sandbox.run(command, settings, seconds)
        if output.code is None:
            raise Problem(f"not done after {seconds:.0f} s: {output.tail()}")
        if output.code != 0:
            raise Problem(f"exit code {output.code}: {output.tail()}")
        return output

    def connect(self, tool: str) -> str:
        """Point the tool at Patchbay by `manage.py connect`. Returns the name of the client key that it got."""
        assert self.lab is not None
        answer = self.lab.connect(self.sandbox, tool, "--model", self.model, "--yes")
        if answer.get("failed") or not answer["tested"] or not answer["keyMade"]:
            raise Problem(f"connect {tool} answered {answer}")
        return str(answer["keyMade"])

    def disconnect(self, tool: str, found: Mapping[str, str]) -> str:
        """`--undo`, after which every file is as it was found. Returns what was checked."""
        assert self.lab is not None
        answer = self.lab.connect(self.sandbox, tool, "--undo")
        before = {str(self.sandbox.home / path): text for path, text in found.items()}
        paths = map(Path, answer.get("restored", ()))
        wrong = [path for path in paths if _text_of(path) != before.get(str(path))]
        if answer.get("failed") or wrong:
            raise Problem(f"connect {tool} --undo answered {answer}; not as before: {wrong}")
        return "connected and undone"

    def write(self, name: str, text: str) -> Path:
        """A file in the work folder."""
        path = self.sandbox.work / name
        path.write_text(text)
        return path


def _text_of(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One tool against one backend. `drive` returns what it has checked, or raises Problem."""

    name: str
    version: str
    kind: Kind  # the operation that the tool asks for
    way: str  # the operation at the backend: "chat" or "messages"
    words: Callable[[Path], tuple[str, ...]]  # the simulator's script, given the work folder
    install: Callable[[], Path]
    drive: Callable[[Run], list[str]]
    alias: str = ""  # the model's name, if the tool takes only names it knows
    tool: str = ""  # what `connect` calls it, if it is connected that way
    found: Mapping[str, str] = field(default_factory=dict)  # files in its home before that

    @property
    def model(self) -> str:
        """The model name that the tool is told."""
        return self.alias or "-".join([*self.name.lower().split(), self.kind.value, "to", self.way])


@dataclass(slots=True)
class Finding:
    """The outcome of one scenario."""

    scenario: Scenario
    problem: str = ""
    checked: list[str] = field(default_factory=list)
    lanes: set[str] = field(default_factory=set)
    attempts: set[int] = field(default_factory=set)
    requests: int = 0
    held_back: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """The one line of the report."""
        way = f"{self.scenario.kind.value} → {self.scenario.way}"
        start = (
            f"{'FAILED' if self.problem else 'ok':7}{self.scenario.name} {self.scenario.version} ({way}): "
        )
        facts = f"{self.requests} requests, attempts {_joined(self.attempts)}, lane {_joined(self.lanes)}"
        held = f"; held back: {', '.join(sorted(set(self.held_back)))}" if self.held_back else ""
        said = self.problem or ", ".join(self.checked)
        return f"{start}{said}; {facts}{held}; {self.seconds:.0f} s"


def _joined(values: set[str] | set[int]) -> str:
    return "/".join(map(str, sorted(values))) or "none"


def look(scenario: Scenario, lab: Lab) -> Finding:
    """Run one scenario and judge it."""
    finding, began = Finding(scenario), time.monotonic()
    lab.upstream.reset()
    held_before = len(lab.wall.asked)
    try:
        place = scenario.install()
        with Sandbox(lab.wall.url) as sandbox:
            model = lab.alias(scenario.model, scenario.way, *scenario.words(sandbox.work))
            began = time.monotonic()
            run = Run(place, lab.patchbay.url, model, sandbox, lab)
            sandbox.furnish(scenario.found)
            key = run.connect(scenario.tool) if scenario.tool else ""
            finding.checked = scenario.drive(run)
            finding.seconds = time.monotonic() - began
            if scenario.tool:
                finding.checked.append(run.disconnect(scenario.tool, scenario.found))
        _read_history(finding, lab, key)
        _check_way(finding, lab)
    except Unavailable as exc:
        finding.problem = f"it cannot be installed: {exc}"
    except (Problem, AssertionError) as exc:
        finding.problem = str(exc)
    finding.held_back = lab.wall.asked[held_before:]
    return finding


def _read_history(finding: Finding, lab: Lab, key: str) -> None:
    """What Patchbay recorded, less counts of tokens, which are answered from an estimate where the backend has none.

    Anthropic's SDKs try server-side threads once and are told that there are none.
    """
    asked = lab.rows(finding.scenario.model)
    if strange := {row["key"] for row in asked} - {key or None}:
        raise Problem(f"in the history: keys {strange} instead of {key!r}")
    declined = [row for row in asked if "keeps no threads" in (row["error"] or "")]
    served = [row for row in asked if row not in declined and row["kind"] != "count_tokens"]
    finding.requests = len(served)
    finding.lanes = {row["lane"] or "no lane" for row in served}
    finding.attempts = {row["attempts"] for row in served}
    if declined:
        finding.checked.append(f"{len(declined)} threads declined and done without")
    if bad := [row["error"] or row["outcome"] for row in served if row["outcome"] != "ok"]:
        raise Problem(f"in the history: {bad}")


def _check_way(finding: Finding, lab: Lab) -> None:
    """Everything was translated, at the first attempt, and reached the backend in its own protocol."""
    wanted = "/v1" + _PATHS[finding.scenario.way]
    paths = {entry.path for entry in lab.entries()}
    if finding.lanes != {"translated"} or paths != {wanted}:
        raise Problem(f"lanes {_joined(finding.lanes)}, upstream paths {_joined(paths)} instead of {wanted}")
    if finding.attempts != {1}:
        raise Problem(f"attempts {_joined(finding.attempts)} instead of one each")
