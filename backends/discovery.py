"""Model servers on this machine: which of the usual ports answer, and what the answers say who it is.

Rule: only loopback, only GET, without a credential, and two seconds for everything together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from backends.addresses import BaseUrl, check_base_url
from backends.catalog import MAX_LIST_BYTES, CatalogError, parse_models
from backends.config import CatalogEntry
from backends.errors import UpstreamError
from backends.upstream import Deadlines, current_upstream

USUAL_PORTS = {"ollama": 11434, "lmstudio": 1234, "vllm": 8000, "llamacpp": 8080, "litellm": 4000}
SECONDS = 1.8
_DEADLINES = Deadlines(connect=1.0, first_byte=SECONDS, idle=1.0)
_MAX_SIGN_BYTES = 2**20
_OWN_HEADER = b"x-patchbay-request-id"


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that lists models. `kind`: its preset, "" for one that speaks OpenAI and does not say who it is."""

    port: int
    kind: str
    models: tuple[CatalogEntry, ...] = ()
    needs_key: bool = False

    @property
    def name(self) -> str:
        """A name for the backend: the preset's at its usual port."""
        if USUAL_PORTS.get(self.kind) == self.port:
            return self.kind
        return f"{self.kind or 'local'}-{self.port}"

    @property
    def base_url(self) -> str:
        """Where its OpenAI interface is."""
        return f"http://127.0.0.1:{self.port}/v1"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    @property
    def value(self) -> object:
        """The body as JSON, or None."""
        try:
            found: object = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found

    @property
    def is_patchbays(self) -> bool:
        """Whether a Patchbay answered: its own error, for one of the paths that only others know, says so."""
        return any(name == _OWN_HEADER for name, _ in self.headers)


@dataclass(frozen=True, slots=True)
class _Sign:
    """A path that one kind of server answers, and what its answer looks like."""

    kind: str
    path: str
    fits: Callable[[object], bool]


# The first that fits tells the kind: llama.cpp also answers some of Ollama's paths.
# Sources: the API pages of llama.cpp's server, LiteLLM's proxy, LM Studio, Ollama and vLLM.
_SIGNS = (
    _Sign("llamacpp", "/props", lambda value: _has(value, "default_generation_settings")),
    _Sign("litellm", "/health/liveliness", lambda value: value == "I'm alive!"),
    _Sign("lmstudio", "/api/v0/models", lambda value: _has(value, "data") and _has(value, "object")),
    _Sign("ollama", "/api/version", lambda value: _has(value, "version")),
    _Sign("vllm", "/version", lambda value: _has(value, "version")),
)
_OWNERS = {"vllm": "vllm", "llamacpp": "llamacpp"}  # `owned_by` in a model list


async def find_servers(ports: Iterable[int]) -> list[FoundServer]:
    """Every model server on these loopback ports, in their order."""
    found = await asyncio.gather(*(_bounded(port) for port in dict.fromkeys(ports)))
    return [server for server in found if server is not None]


async def _bounded(port: int) -> FoundServer | None:
    try:
        return await asyncio.wait_for(_look(port), SECONDS)
    except TimeoutError:
        return None


async def _look(port: int) -> FoundServer | None:
    base = check_base_url(f"http://127.0.0.1:{port}")
    listed = await _get(base, "/v1/models")
    if listed is None:
        return None
    answers = await asyncio.gather(*(_get(base, sign.path) for sign in _SIGNS))
    if any(answer is not None and answer.is_patchbays for answer in (listed, *answers)):
        return None
    kind = _kind(listed, answers)
    try:
        models = tuple(parse_models(listed.body)) if listed.status == 200 else ()
    except CatalogError:
        models = ()
        if not kind:
            return None
    needs_key = listed.status in (401, 403)
    if listed.status != 200 and not (needs_key and kind):
        return None
    return FoundServer(port, kind, models, needs_key)


def _kind(listed: _Answer, answers: Sequence[_Answer | None]) -> str:
    for sign, answer in zip(_SIGNS, answers, strict=True):
        if answer is not None and answer.status == 200 and sign.fits(answer.value):
            return sign.kind
    return next((_OWNERS[owner] for owner in _owners(listed.value) if owner in _OWNERS), "")


async def _get(base: BaseUrl, path: str) -> _Answer | None:
    """The answer, or None when there is none to be had."""
    limit = MAX_LIST_BYTES if path == "/v1/models" else _MAX_SIGN_BYTES
    try:
        response = await current_upstream().send(
            method="GET",
            base=base,
            path=path,
            query=b"",
            headers=[(b"accept", b"application/json"), (b"user-agent", b"patchbay")],
            body=b"",
            deadlines=_DEADLINES,
        )
        try:
            return _Answer(response.status, response.headers, await response.read(limit))
        finally:
            response.close()
    except UpstreamError:
        return None


def _has(value: object, name: str) -> bool:
    return isinstance(value, dict) and name in value


def _owners(value: object) -> list[str]:
    rows = value.get("data") if isinstance(value, dict) else None
    owners = (
        [row.get("owned_by") for row in rows or [] if isinstance(row, dict)] if isinstance(rows, list) else []
    )
    return [owner for owner in owners if isinstance(owner, str)]
