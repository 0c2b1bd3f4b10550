"""The coding agents: each changes a file because the model told it to."""

from __future__ import annotations

import json
from pathlib import Path

from backends.wire.kinds import Kind
from bench.clients import install
from bench.clients.lab import call_word, spelt
from bench.clients.scenario import Problem, Run, Scenario

CONTENT = 'Written by a model of another protocol: üñ "quoted" \\ and a\ttab.\n'
FILE = "note.txt"
TOLD = "The tool answered:"


def _written(run: Run, name: str = FILE) -> str:
    """Checks the file that the agent was to write."""
    path = run.sandbox.work / name
    if not path.exists():
        raise Problem(f"{name} was not written")
    if path.read_text() != CONTENT:
        raise Problem(f"{name} holds {path.read_text()!r} instead of {CONTENT!r}")
    return f"{name} written byte for byte"


def _says(text: str, *wanted: str) -> str:
    for part in wanted:
        if part not in text:
            raise Problem(f"it does not say {part!r} but {text[-300:]!r}")
    return f"it says {' '.join(text[text.index(wanted[0]) :].split())[:56]!r}"


def _claude_words(work: Path) -> tuple[str, ...]:
    given = json.dumps({"file_path": str(work / FILE), "content": CONTENT}, ensure_ascii=False)
    return ("think", call_word("Write", given))


def _claude(run: Run) -> list[str]:
    settings = {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    program = str(run.place / "node_modules" / ".bin" / "claude")
    options = ("--permission-mode", "acceptEdits", "--output-format", "json")
    said = json.loads(run.do([program, "-p", f"Write {FILE}.", *options], settings).out)
    again = json.loads(run.do([program, "-p", "--continue", "Once more.", *options], settings).out)
    if said["is_error"] or said["num_turns"] < 2:
        raise Problem(f"it ended with {said}")
    usage = said["usage"]
    if not usage["input_tokens"] or not usage["output_tokens"]:
        raise Problem(f"it counted no tokens: {usage}")
    return [
        _written(run),
        f"{said['num_turns']} turns",
        _says(said["result"], TOLD),
        f"continued: {_says(again['result'], TOLD)}",
        f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out",
    ]


def _codex_words(_work: Path) -> tuple[str, ...]:
    script = f"cat > {FILE} <<'END'\n{CONTENT}END\necho the shell ran"
    return (
        "think",
        call_word("exec_command", json.dumps({"cmd": script}, ensure_ascii=False)),
        call_word("shell_command", json.dumps({"command": script}, ensure_ascii=False)),
        call_word("shell", json.dumps({"command": ["bash", "-c", script]}, ensure_ascii=False)),
    )


_CODEX_FOUND = """\
# found in the home
check_for_update_on_startup = false

[analytics]
enabled = false  # not here

[features]
plugins = false
apps = false
"""


def _codex(run: Run) -> list[str]:
    program = str(run.place / "node_modules" / ".bin" / "codex")
    # The command that it runs is ours, so it needs no sandbox of its own; those need kernel features.
    options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")
    output = run.do([program, "exec", *options, f"Write {FILE}."], {})
    again = run.do([program, "exec", "resume", "--last", *options, "Once more."], {})
    events = [json.loads(line) for line in output.out.splitlines() if line.startswith("{")]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    ran = [item for item in items if item["type"] == "command_execution"]
    said = [item["text"] for item in items if item["type"] == "agent_message"]
    if not ran or "the shell ran" not in ran[0]["aggregated_output"] or not said:
        raise Problem(f"it did {items}")
    usage = next((event["usage"] for event in events if event["type"] == "turn.completed"), {})
    if not usage.get("input_tokens") or not usage.get("output_tokens"):
        raise Problem(f"it counted no tokens: {usage}")
    return [
        _written(run),
        "the shell's output returned",
        _says(said[-1], TOLD, "the shell ran"),
        f"resumed: {_says(again.out, TOLD)}",
        f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out",
    ]


_EDIT = """\
I change one line.

greet.py
```python
<<<<<<< SEARCH
    return "hello"
=======
    return "grüß dich"
>>>>>>> REPLACE
```
"""


def _aider(run: Run) -> list[str]:
    prices = run.sandbox.home / ".aider" / "caches" / "model_prices_and_context_window.json"
    prices.parent.mkdir(parents=True)
    prices.write_text('{"none": {}}')  # else it would ask for today's
    path = run.write("greet.py", 'def greet():\n    return "hello"\n')
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    options = ("--yes-always", "--no-git", "--no-check-update", "--analytics-disable", "--no-gitignore")
    quiet = ("--no-show-model-warnings", "--no-pretty", "--no-show-release-notes", "--edit-format", "diff")
    command = [str(run.place / "aider"), *options, *quiet, "--message", "Greet in German.", path.name]
    output = run.do(command, settings)
    if path.read_text() != 'def greet():\n    return "grüß dich"\n':
        raise Problem(f"greet.py holds {path.read_text()!r}: {output.tail()}")
    return ["greet.py edited by SEARCH/REPLACE out of a streamed answer", _says(output.out, "Applied edit")]


def _opencode_words(work: Path) -> tuple[str, ...]:
    given = json.dumps({"filePath": str(work / FILE), "content": CONTENT}, ensure_ascii=False)
    return ("think", call_word("write", given))


def _opencode(run: Run) -> list[str]:
    program = str(run.place / "node_modules" / ".bin" / "opencode")
    settings = {"OPENCODE_DISABLE_AUTOUPDATE": "1"}
    listed = run.do([program, "models", "patchbay"], settings).out.split()
    if listed != [f"patchbay/{run.model}"]:
        raise Problem(f"it lists {listed}")
    output = run.do([program, "run", f"Write {FILE}.", "--auto", "--format", "json"], settings)
    parts = [json.loads(line)["part"] for line in output.out.splitlines() if line.startswith("{")]
    said = "".join(part["text"] for part in parts if part["type"] == "text")
    again = run.do([program, "run", "--continue", "Once more.", "--auto"], settings)
    counted = [part["tokens"] for part in parts if part["type"] == "step-finish"]
    if not counted or not all(tokens["input"] and tokens["output"] for tokens in counted):
        raise Problem(f"it counted no tokens: {counted}")
    return [
        "the model is listed",
        _written(run),
        _says(said, TOLD),
        f"continued: {_says(again.out, TOLD)}",
    ]


def _continue_words(work: Path) -> tuple[str, ...]:
    given = json.dumps({"filepath": str(work / FILE), "content": CONTENT}, ensure_ascii=False)
    return ("think", call_word("Write", given))


_CONTINUE_FOUND = """\
name: Found in the home
version: 1.0.0
schema: v1
rules:
  - Be brief.  # please
"""


def _continue(run: Run) -> list[str]:
    program = str(run.place / "node_modules" / ".bin" / "cn")
    settings = {"CONTINUE_TELEMETRY_ENABLED": "0"}
    said = run.do([program, "--auto", "-p", f"Write {FILE}."], settings).out
    again = run.do([program, "--auto", "--resume", "-p", "Once more."], settings).out
    return [_written(run), _says(said, TOLD), f"resumed: {_says(again, TOLD)}"]


def _codex_scenario(way: str) -> Scenario:
    return Scenario(
        name="Codex",
        version=install.version(install.CODEX),
        kind=Kind.RESPONSES,
        way=way,
        words=_codex_words,
        install=lambda: install.node_environment("codex", install.CODEX),
        drive=_codex,
        tool="codex",
        found={".codex/config.toml": _CODEX_FOUND},
    )


SCENARIOS = (
    Scenario(
        name="Claude Code",
        version=install.version(install.CLAUDE_CODE),
        kind=Kind.MESSAGES,
        way="chat",
        words=_claude_words,
        install=lambda: install.node_environment("claude-code", install.CLAUDE_CODE),
        drive=_claude,
        tool="claude-code",
        found={".claude/settings.json": '{"env": {"DISABLE_TELEMETRY": "1"}, "theme": "dark"}\n'},
    ),
    _codex_scenario("messages"),
    _codex_scenario("chat"),
    Scenario(
        name="aider",
        version=install.version(install.AIDER),
        kind=Kind.CHAT,
        way="messages",
        words=lambda _work: (f"text={spelt(_EDIT)}",),
        install=lambda: install.python_environment("aider", install.AIDER),
        drive=_aider,
        tool="aider",
        found={".aider.conf.yml": "# found in the home\ndark-mode: true\n"},
    ),
    Scenario(
        name="opencode",
        version=install.version(install.OPENCODE),
        kind=Kind.CHAT,
        way="messages",
        words=_opencode_words,
        install=lambda: install.node_environment("opencode", install.OPENCODE),
        drive=_opencode,
        tool="opencode",
        found={".config/opencode/opencode.jsonc": '{\n  // found in the home\n  "autoupdate": false,\n}\n'},
    ),
    Scenario(
        name="Continue",
        version=install.version(install.CONTINUE),
        kind=Kind.CHAT,
        way="messages",
        words=_continue_words,
        install=lambda: install.node_environment("continue", install.CONTINUE),
        drive=_continue,
        tool="continue",
        found={".continue/config.yaml": _CONTINUE_FOUND},
    ),
)
