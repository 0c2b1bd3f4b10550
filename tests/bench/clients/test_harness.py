"""What the client runs rely on: a sandbox that keeps secrets out and ends in time, and a wall that holds."""

from __future__ import annotations

import http.client
import os
import sys
import time
from pathlib import Path

import pytest

from backends.wire.kinds import Kind
from bench.clients import agents, install, libraries
from bench.clients.lab import Wall
from bench.clients.sandbox import Sandbox
from bench.clients.scenario import Finding, Problem, Run, Scenario

WALL = "http://127.0.0.1:1"


def test_nothing_of_the_users_environment_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-user")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    with Sandbox(WALL) as sandbox:
        printed = sandbox.run([sys.executable, "-c", "import os; print(os.environ)"], {"GIVEN": "yes"}).out
        assert "sk-of-the-user" not in printed
        assert "proxy.example" not in printed
        assert str(sandbox.home) in printed
        assert "'GIVEN': 'yes'" in printed
    assert not sandbox.root.exists()


def test_a_run_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with Sandbox(WALL) as sandbox:
        output = sandbox.run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], {}, seconds=1.0)
    assert output.code is None
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_the_wall_lets_nothing_through_and_remembers_who_was_asked_for() -> None:
    wall = Wall()
    try:
        host, port = wall.url.removeprefix("http://").split(":")
        for method, target in (("CONNECT", "api.example.com:443"), ("GET", "http://plain.example.com/x")):
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            connection.request(method, target)
            assert connection.getresponse().status == 403
            connection.close()
        assert wall.asked == ["api.example.com:443", "plain.example.com"]
    finally:
        wall.stop()


def test_a_run_that_fails_says_what_the_tool_said() -> None:
    with Sandbox(WALL) as sandbox:
        run = Run(Path(), "http://127.0.0.1:1", "model", sandbox)
        with pytest.raises(Problem, match=r"exit code 3: it was the cable"):
            run.do(["sh", "-c", "echo it was the cable >&2; exit 3"], {})


@pytest.mark.parametrize("pin", ["@scope/name@1.2.3", "name@1.2.3", "name==1.2.3"])
def test_the_version_of_a_pin(pin: str) -> None:
    assert install.version(pin) == "1.2.3"


def test_a_line_tells_everything_and_begins_with_the_verdict() -> None:
    scenario = Scenario("Tool", "1.2", Kind.CHAT, "messages", lambda _: (), Path, lambda _: [])
    good = Finding(scenario, checked=["file edited"], lanes={"translated"}, attempts={1}, requests=2)
    assert good.line() == (
        "ok     Tool 1.2 (chat → messages): file edited; 2 requests, attempts 1, lane translated; 0 s"
    )
    bad = Finding(scenario, problem="no file", held_back=["b.example", "a.example", "b.example"])
    assert bad.line().startswith("FAILED Tool 1.2 (chat → messages): no file; 0 requests")
    assert "held back: a.example, b.example" in bad.line()


def test_every_scenario_crosses_protocols_under_a_name_of_its_own() -> None:
    scenarios = [*agents.SCENARIOS, *libraries.SCENARIOS]
    assert len({scenario.model for scenario in scenarios}) == len(scenarios)
    assert all(scenario.kind.value != scenario.way for scenario in scenarios)
    words = [word for scenario in scenarios for word in scenario.words(Path(os.sep))]
    assert all("," not in word and "#" not in word for word in words)
