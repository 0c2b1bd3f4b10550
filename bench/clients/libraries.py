"""Libraries and their commands: llm, the Vercel AI SDK, the official SDKs. Each does a tool loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path

from backends.wire.kinds import Kind
from bench.clients import install
from bench.clients.lab import call_word
from bench.clients.scenario import Problem, Run, Scenario

KEY = "any-text-will-do"
TOLD = f"The tool answered: {install.version(install.LLM[0])}"
KNOWN_MODEL = "claude-sonnet-4-5"  # llm-anthropic takes only names that it knows
LLM_MODELS = """\
- model_id: {model}
  model_name: {model}
  api_base: {url}/v1
  supports_tools: true
"""


def _llm_settings(run: Run) -> dict[str, str]:
    folder = run.sandbox.home / "llm"
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(LLM_MODELS.format(model=run.model, url=run.url))
    keys = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": run.url}
    return {"LLM_USER_PATH": str(folder), **keys}


def _llm(run: Run) -> list[str]:
    """A tool loop, streamed and in one piece."""
    settings = _llm_settings(run)
    known = f"anthropic/{KNOWN_MODEL}" if run.model == KNOWN_MODEL else run.model
    for words in ((), ("--no-stream",)):
        command = [str(run.place / "llm"), "-m", known, "-T", "llm_version", *words, "Which version?"]
        said = run.do(command, settings).out
        if TOLD not in said:
            raise Problem(f"it said {said!r}")
    return ["tool loop", "tool loop with --no-stream"]


def _in_node(script: str, *words: str) -> Callable[[Run], list[str]]:
    def drive(run: Run) -> list[str]:
        install.script_beside(run.place, "lib.mjs")
        path = install.script_beside(run.place, script)
        settings = {"PATCHBAY_URL": run.url, "PATCHBAY_MODEL": run.model}
        return run.do(["node", str(path), *words], settings).out.splitlines()

    return drive


def _in_python(word: str) -> Callable[[Run], list[str]]:
    def drive(run: Run) -> list[str]:
        settings = {"PATCHBAY_URL": run.url, "PATCHBAY_MODEL": run.model}
        return run.do([sys.executable, str(run.place), word], settings).out.splitlines()

    return drive


def _asks_for_weather(_work: Path) -> tuple[str, ...]:
    return ("think", "tool=get_weather")


def _llm_words(_work: Path) -> tuple[str, ...]:
    return (call_word("llm_version", "{}"),)


def _llm_scenario(name: str, version: str, kind: Kind, way: str, alias: str = "") -> Scenario:
    return Scenario(
        name,
        version,
        kind,
        way,
        words=_llm_words,
        install=lambda: install.python_environment("llm", *install.LLM),
        drive=_llm,
        alias=alias,
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
    _llm_scenario("llm", install.version(install.LLM[0]), Kind.CHAT, "messages"),
    _llm_scenario("llm-anthropic", install.version(install.LLM[1]), Kind.MESSAGES, "chat", KNOWN_MODEL),
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
