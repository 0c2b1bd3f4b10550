"""Other gateways, each as its documentation starts it: one process, no database, before the same upstream."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from bench.install import WORK, node_package, python_package, run
from bench.process import Launch
from bench.subjects import UPSTREAM_KEY, Ready, Subject

LITELLM_VERSION = "1.106.2"
PORTKEY_VERSION = "1.15.2"
ROUTER_VERSION = "1.0.73"  # the last that runs under Node.js 20
MASTER_KEY = "sk-bench-master"


class LiteLLM(Subject):
    """The proxy server with a master key."""

    name = "litellm"
    title = "LiteLLM proxy"
    speaks = frozenset({"chat", "messages"})

    def install(self) -> str:
        self._binaries = python_package(WORK / "litellm", "litellm[proxy]", LITELLM_VERSION)
        shown = run([str(self._binaries / "python"), "-m", "pip", "show", "litellm"])
        found = re.search(r"^Version: (\S+)", shown, re.MULTILINE)
        return found[1] if found else "unknown"

    def configure(self, home: Path, upstream: int, port: int, models: Sequence[str]) -> Ready:
        file = home / "config.yaml"  # JSON is YAML
        file.write_text(json.dumps(self._settings(upstream, models)))
        command = [str(self._binaries / "litellm"), "--config", str(file), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        return Ready(Launch(command, quiet, home), {"authorization": f"Bearer {MASTER_KEY}"})

    def _settings(self, upstream: int, models: Sequence[str]) -> dict[str, object]:
        params = {"api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": UPSTREAM_KEY}
        return {
            "model_list": [
                {"model_name": model, "litellm_params": {"model": f"openai/{model}", **params}}
                for model in models
            ],
            "general_settings": {"master_key": MASTER_KEY},
            "litellm_settings": {"telemetry": False},
        }


class Portkey(Subject):
    """The gateway under Node.js; the upstream is named by headers, as its documentation has it."""

    name = "portkey"
    title = "Portkey gateway"
    note = (
        "streams fail inside Portkey under current Node.js versions (`TypeError: immutable`, its issues"
        " 1389 and 1550); where they do, the answers below are counted as errors"
    )

    def install(self) -> str:
        self._package = node_package(WORK / "portkey", "@portkey-ai/gateway", PORTKEY_VERSION)
        shown: str = json.loads((self._package / "package.json").read_text())["version"]
        return f"{shown}, Node {run(['node', '--version']).strip().lstrip('v')}"

    def configure(self, home: Path, upstream: int, port: int, models: Sequence[str]) -> Ready:
        command = ["node", str(self._package / "build" / "start-server.js"), f"--port={port}", "--headless"]
        headers = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
            "authorization": f"Bearer {UPSTREAM_KEY}",
        }
        return Ready(Launch(command, {"NODE_ENV": "production"}, home), headers)


class ClaudeCodeRouter(Subject):
    """claude-code-router: it speaks Anthropic's protocol only, so it has the translated loads alone."""

    name = "claude-code-router"
    title = "claude-code-router"
    speaks = frozenset({"messages"})
    model_prefix = "mock,"
    note = "it adds an empty web search to whole answers of an upstream that sends `annotations: []`; its text counts"
    latency = frozenset[str]()

    def install(self) -> str:
        self._package = node_package(WORK / self.name, "@musistudio/claude-code-router", ROUTER_VERSION)
        shown: str = json.loads((self._package / "package.json").read_text())["version"]
        return f"{shown}, Node {run(['node', '--version']).strip().lstrip('v')}"

    def configure(self, home: Path, upstream: int, port: int, models: Sequence[str]) -> Ready:
        folder = home / ".claude-code-router"
        folder.mkdir()
        provider = {
            "name": "mock",
            "api_base_url": f"http://127.0.0.1:{upstream}/v1/chat/completions",
            "api_key": UPSTREAM_KEY,
            "models": list(models),
        }
        settings = {
            "PORT": port,
            "HOST": "127.0.0.1",
            "LOG": False,
            "APIKEY": MASTER_KEY,
            "NON_INTERACTIVE_MODE": True,
            "Providers": [provider],
            "Router": {"default": "mock,gpt-4o"},
        }
        (folder / "config.json").write_text(json.dumps(settings))
        command = ["node", str(self._package / "dist" / "cli.js"), "start"]
        quiet = {"HOME": str(home), "NODE_ENV": "production", "SERVICE_PORT": str(port)}
        return Ready(Launch(command, quiet, home), {"x-api-key": MASTER_KEY})
