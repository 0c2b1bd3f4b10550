"""Libraries and their commands: llm, the Vercel AI SDK, the official SDKs. Each does a tool loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path

from backends.wire.kinds import Kind
from bench.clients import install
from bench.clients.lab import CLIENT_KEY, call_word
from bench.clients.scenario import Problem, Run, Scenario

TOLD = f"The tool answered: {install.version(install.LLM[0])}"
KNOWN_MODEL = "claude-sonnet-4-5"  # llm-anthropic takes only names that it knows

LLM_FOUND = """\
# found in the home
- model_id: mine
  model_name: mine  # not this one
  api_base: http://127.0.0.1:9/v1
"""


def _llm(run: Run) -> list[str]:
    """A tool loop with the connected default model, streamed and in one piece."""
    return _llm_tool_loops(run, (), {})


def _llm_anthropic(run: Run) -> list[str]:
    """The same by its plugin for the Anthropic API, which is told by environment variables."""
    settings = {"ANTHROPIC_API_KEY": CLIENT_KEY, "ANTHROPIC_BASE_URL": run.url}
    return _llm_tool_loops(run, ("-m", f"anthropic/{KNOWN_MODEL}"), settings)


def _llm_tool_loops(run: Run, model: tuple[str, ...], settings: dict[str, str]) -> list[str]:
    for words in ((), ("--no-stream",)):
        command = [str(run.place / "llm"), *model, "-T", "llm_version", *words, "Which version?"]
        said = run.do(command, settings).out
        if TOLD not in said:
            raise Problem(f"it said {said!r}")
    return ["tool loop", "tool loop with --no-stream"]


def _in_node(script: str, *words: str) -> Callable[[Run], list[str]]:
    def drive(run: Run) -> list[str]:
        install.script_beside(run.place, "lib.mjs")
        path = install.script_beside(run.place, script)
        settings = {"PATCHBAY_URL": run.url, "PATCHBAY_MODEL": run.model, "PATCHBAY_CLIENT_KEY": CLIENT_KEY}
        return run.do(["node", str(path), *words], settings).out.splitlines()

    return drive


def _in_python(word: str) -> Callable[[Run], list[str]]:
    def drive(run: Run) -> list[str]:
        settings = {"PATCHBAY_URL": run.url, "PATCHBAY_MODEL": run.model, "PATCHBAY_CLIENT_KEY": CLIENT_KEY}
        return run.do([sys.executable, str(run.place), word], settings).out.splitlines()

    return drive


def _asks_for_weather(_work: Path) -> tuple[str, ...]:
    return ("think", "tool=get_weather")


def _llm_words(_work: Path) -> tuple[str, ...]:
    return (call_word("llm_version", "{}"),)


def _llm_scenario() -> Scenario:
    return Scenario(
        "llm",
        install.version(install.LLM[0]),
        Kind.CHAT,
        "messages",
        words=_llm_words,
        install=lambda: install.python_environment("llm", *install.LLM),
        drive=_llm,
        tool="llm",
        found={".config/io.datasette.llm/extra-openai-models.yaml": LLM_FOUND},
    )


def _llm_anthropic_scenario() -> Scenario:
    return Scenario(
        "llm-anthropic",
        install.version(install.LLM[1]),
        Kind.MESSAGES,
        "chat",
        words=_llm_words,
        install=lambda: install.python_environment("llm", *install.LLM),
        drive=_llm_anthropic,
        alias=KNOWN_MODEL,
    )


def _ai_scenario(kind: Kind, way: str, word: str) -> Scenario:
    return Scenario(
        f"Vercel AI SDK {word}",
        install.version(install.AI_SDK[0]),
        kind,
        way,
        words=_asks_for_weather,
        install=lambda: install.node_environment("ai-sdk", *install.AI_SDK),
        drive=_in_node("ai_sdk.mjs", word),
    )


def _javascript_scenario(name: str, pin: str, kind: Kind, way: str, *words: str) -> Scenario:
    return Scenario(
        f"{name} JS SDK",
        install.version(pin),
        kind,
        way,
        words=_asks_for_weather,
        install=lambda: install.node_environment("javascript-sdks", *install.JAVASCRIPT_SDKS),
        drive=_in_node(f"{name.lower()}_sdk.mjs", *words),
    )


def _python_scenario(name: str, kind: Kind, way: str, word: str) -> Scenario:
    return Scenario(
        f"{name} Python SDK",
        installed_version(name.lower()),
        kind,
        way,
        words=_asks_for_weather,
        install=lambda: install.HERE / "python_sdks.py",
        drive=_in_python(word),
    )


_ANTHROPIC_JS, _OPENAI_JS = install.JAVASCRIPT_SDKS[:2]
SCENARIOS = (
    _llm_scenario(),
    _llm_anthropic_scenario(),
    _ai_scenario(Kind.MESSAGES, "chat", "anthropic"),
    _ai_scenario(Kind.RESPONSES, "messages", "responses"),
    _ai_scenario(Kind.CHAT, "messages", "chat"),
    _python_scenario("Anthropic", Kind.MESSAGES, "chat", "anthropic"),
    _python_scenario("OpenAI", Kind.CHAT, "messages", "chat"),
    _python_scenario("OpenAI", Kind.RESPONSES, "messages", "responses"),
    _javascript_scenario("Anthropic", _ANTHROPIC_JS, Kind.MESSAGES, "chat"),
    _javascript_scenario("OpenAI", _OPENAI_JS, Kind.CHAT, "messages", "chat"),
    _javascript_scenario("OpenAI", _OPENAI_JS, Kind.RESPONSES, "messages", "responses"),
)
