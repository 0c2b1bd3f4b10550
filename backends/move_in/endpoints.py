"""From the URL that another tool was given to a backend of ours: base URL, protocol, preset and name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backends.addresses import BaseUrl, check_base_url
from backends.move_in.shapes import BackendShape
from backends.presets import PRESETS, Preset
from backends.wire.kinds import Protocol

# The ends of a full endpoint URL, which is what some tools are given instead of a base.
_CHAT_ENDINGS = ("/chat/completions", "/responses", "/completions", "/embeddings", "/models")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SHARED_PORTS = frozenset({"vllm", "llamacpp", "litellm"})  # many programs listen where these do
# What people write where a program wants a key and a local server does not.
PLACEHOLDERS = {
    *("none", "null", "na", "n/a", "empty", "dummy", "fake", "fake-key", "my-fake-key", "anything", "local"),
    *("ollama", "lm-studio", "lmstudio", "vllm", "no-key", "not-needed", "sk-no-key-required", "sk-dummy"),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a backend is. `name` is the preset's where the URL is a preset's, else made from the host."""

    name: str
    base_url: str
    protocol: Protocol
    preset: str = ""

    def shape(self, *, name: str = "", model_globs: list[str] | None = None) -> BackendShape:
        """The backend to be made."""
        return BackendShape(
            name=name or self.name,
            base_url=self.base_url,
            protocol=self.protocol.value,
            preset=self.preset,
            model_globs=model_globs or [],
        )

    def wants_key(self, written: str = "") -> bool:
        """Whether an account without a key makes no sense, when `written` stands where the key would.

        Known providers are known; elsewhere a placeholder says that there is none, and so does plain http, which
        is for this machine and private networks.
        """
        if self.preset:
            return PRESETS[self.preset].needs_key
        return not is_placeholder(written) and check_base_url(self.base_url).scheme == "https"


def endpoint(
    url: str, protocol: Protocol | None = None, *, hint: str = "", add_version: bool = False
) -> Endpoint:
    """Read a base or endpoint URL. Raises BadBaseUrl.

    Without `protocol` the URL tells it: `/messages` at its end is Anthropic's. `hint`: the preset that the source
    names. `add_version` appends `/v1` to a URL without a path, for tools that are given a server's root.
    """
    text, told = _base_text(url.strip())
    base = check_base_url(text)
    wanted = protocol or told
    for key, preset in PRESETS.items():
        if key in _SHARED_PORTS and key != hint.lower():
            continue
        if (wanted is None or preset.protocol is wanted) and _is_at(base, preset):
            return Endpoint(key, preset.base_url, preset.protocol, key)
    final = wanted or Protocol.OPENAI
    suffix = "/v1" if add_version and not base.path and final is Protocol.OPENAI else ""
    return Endpoint(host_name(base), f"{base}{suffix}", final)


def is_placeholder(key: str) -> bool:
    """Whether a key says that there is none."""
    return key.strip().lower() in PLACEHOLDERS


def host_name(base: BaseUrl) -> str:
    """A backend's name from its host, and its port if that is unusual: `llm.example.com`, `gpu-box-8000`."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", base.host).strip("-.") or "server"
    usual = {"http": 80, "https": 443}[base.scheme]
    port = "" if base.port == usual else f"-{base.port}"
    return f"{host[: 64 - len(port)]}{port}"


def valid_name(text: str) -> str:
    """`text` as the name of a backend or an account: what no name may hold becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.strip()).strip("-")[:64] or "backend"


def _base_text(url: str) -> tuple[str, Protocol | None]:
    text = url.rstrip("/")
    if text.endswith("/messages"):
        return text.removesuffix("/messages").removesuffix("/v1"), Protocol.ANTHROPIC
    ending = next((end for end in _CHAT_ENDINGS if text.endswith(end)), "")
    return text.removesuffix(ending), None


def _is_at(base: BaseUrl, preset: Preset) -> bool:
    """The same server, and the preset's path or a part of it."""
    known = check_base_url(preset.base_url)
    same_host = base.host == known.host or {base.host, known.host} <= _LOOPBACK
    if not same_host or (base.scheme, base.port) != (known.scheme, known.port):
        return False
    is_part = known.path.startswith(f"{base.path}/") or (not known.path and base.path == "/v1")
    return base.path == known.path or is_part
